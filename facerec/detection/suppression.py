"""Of boxes that overlap, keep the one with the best score (non-maximum suppression)."""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

from facerec.detection.boxes import Boxes, areas, intersections


def suppress(boxes: Boxes, scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
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
    size = areas(boxes)
    kept: list[int] = []
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        common = intersections(boxes[best : best + 1], boxes[order])[0]
        order = order[common <= threshold * np.minimum(size[best], size[order])]
    return np.array(kept, dtype=np.int64)
