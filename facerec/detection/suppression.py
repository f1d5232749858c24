"""Of boxes that overlap, keep the one with the best score (non-maximum suppression)."""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

from facerec.detection.boxes import Boxes, areas, intersections


def suppress(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Indices kept, best score first, so that no two kept boxes have an IoU above `threshold`."""
    kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    return np.asarray(kept.numpy(), dtype=np.int64)


def suppress_contained(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """As `suppress`, with the overlap measured against the smaller box (the "min" mode of MTCNN).

    It removes a small box that lies inside a larger one, whose IoU is small.
    """
    order = np.argsort(-scores, kind="stable")
    size = areas(boxes)
    smaller = np.minimum(size[:, None], size[None, :])
    overlaps = intersections(boxes, boxes) > threshold * smaller
    kept: list[int] = []
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        order = order[~overlaps[best, order]]
    return np.array(kept, dtype=np.int64)
