"""Box arithmetic: areas, overlaps, squares, suppression.

A box x1, y1, x2, y2 is a continuous rectangle, so its width is x2 - x1. Some systems count both end pixels,
x2 - x1 + 1; add one to x2 and y2 of their boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def box_areas(boxes: Boxes) -> NDArray[np.float64]:
    """Areas (n,) of boxes (n, 4); 0 where x2 < x1 or y2 < y1."""
    sides: Boxes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def box_intersections(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Areas (n, m) that each of the boxes a (n, 4) shares with each of b (m, 4)."""
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
    """The smallest squares that contain `boxes` and have their centres."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half])


def moved_boxes(boxes: Boxes, corrections: Boxes, pixel: float = 0) -> Boxes:
    """Boxes with each edge moved by its correction, in units of the box's width and height plus `pixel`."""
    sides = boxes[:, 2:] - boxes[:, :2] + pixel
    return boxes + corrections * np.hstack([sides, sides])


def suppress_overlaps(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Non-maximum suppression: the indices kept, best score first; no two have an IoU above `threshold`."""
    import torch  # only here, so that choosing a face does not import it
    import torchvision

    kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    return np.asarray(kept.numpy(), dtype=np.int64)


def suppress_contained(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """As `suppress_overlaps`, with the overlap as a share of the smaller box (the "min" mode of MTCNN).

    It also removes a small box inside a larger one, although their IoU is small.
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
