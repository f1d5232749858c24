"""Box arithmetic: areas, overlaps, squares.

A box x1, y1, x2, y2 is a continuous rectangle: its width is x2 - x1, without the "+ 1 pixel" that some
systems count.
"""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def box_areas(boxes: Boxes) -> NDArray[np.float64]:
    """Areas (n,) of boxes (n, 4); an inside-out box has none."""
    sides: Boxes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def box_intersections(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Areas (n, m) common to each of boxes a (n, 4) and each of b (m, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides: Boxes = np.maximum(high - low, 0)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union (n, m); 0 where both boxes are empty."""
    common = box_intersections(a, b)
    union = box_areas(a)[:, None] + box_areas(b)[None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def squared_boxes(boxes: Boxes) -> Boxes:
    """The smallest squares with the centres of `boxes` that hold them."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half])


def moved_boxes(boxes: Boxes, corrections: Boxes, pixel: float = 0) -> Boxes:
    """Boxes with each edge moved by its correction, in units of the box's width and height plus `pixel`."""
    sides = boxes[:, 2:] - boxes[:, :2] + pixel
    return boxes + corrections * np.hstack([sides, sides])


def suppress_overlaps(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Indices kept, best score first, so that no two kept boxes have an IoU above `threshold`.

    torchvision's, which measures a box x1, y1, x2, y2 as x2 - x1 wide. For the convention that counts both end
    pixels, x2 - x1 + 1, add one to x2 and y2.
    """
    kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    return np.asarray(kept.numpy(), dtype=np.int64)


def suppress_contained(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """As `suppress`, with the overlap measured against the smaller box (the "min" mode of MTCNN).

    It removes a small box that lies inside a larger one, whose IoU is small.
    """
    order = np.argsort(-scores, kind="stable")
    size = box_areas(boxes)
    kept: list[int] = []
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        common = box_intersections(boxes[best : best + 1], boxes[order])[0]
        order = order[common <= threshold * np.minimum(size[best], size[order])]
    return np.array(kept, dtype=np.int64)
