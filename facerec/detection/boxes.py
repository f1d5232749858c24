"""Box arithmetic: areas, overlaps, squares, suppression.

A box x1, y1, x2, y2 is a continuous rectangle, so its width is x2 - x1. Some systems count both end pixels,
x2 - x1 + 1; add one to x2 and y2 of their boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

_TOGETHER = 256  # boxes compared with one another at once


def box_areas(boxes: Boxes) -> NDArray[np.float64]:
    """Areas (n,) of boxes (n, 4); 0 where x2 < x1 or y2 < y1."""
    sides: Boxes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def box_intersections(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Areas (n, m) that each of the boxes a (n, 4) shares with each of b (m, 4)."""
    width, height = (
        np.minimum(a[:, None, axis + 2], b[:, axis + 2]) - np.maximum(a[:, None, axis], b[:, axis]) for axis in (0, 1)
    )
    common: Boxes = np.maximum(width, 0) * np.maximum(height, 0)
    return common


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
    """Non-maximum suppression: the indices kept, best score first; no two have an IoU above `threshold`.

    It keeps what torchvision.ops.nms keeps, also of equal scores: the first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = order[:0]
    for start in range(0, len(order), _TOGETHER):
        block = order[start : start + _TOGETHER]
        block = block[~_overlapping(boxes[kept], boxes[block], threshold).any(axis=0)]
        overlapping = _overlapping(boxes[block], boxes[block], threshold)
        alive = np.ones(len(block), bool)
        for place in range(len(block)):
            if alive[place]:
                alive[place + 1 :] &= ~overlapping[place, place + 1 :]
        kept = np.append(kept, block[alive])
    return kept


def _overlapping(a: Boxes, b: Boxes, threshold: float) -> NDArray[np.bool_]:
    """Whether the IoU of each of the boxes a (n, 4) with each of b (m, 4) is above `threshold`, (n, m).

    As in torchvision, the area of a box whose corners are exchanged is negative.
    """
    common = box_intersections(a, b)
    here, there = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):  # no box overlaps where both are empty
        above: NDArray[np.bool_] = common / (here[:, None] + there - common) > threshold
    return above


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
