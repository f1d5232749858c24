"""Draw faces on a photo, to look at what a detector found."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.detection.base import Faces

# Left eye red, right eye green, nose blue, left and right mouth corner yellow and magenta: a swapped
# order is seen at a glance.
_COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]


def draw_faces(
    image: NDArray[np.uint8], faces: Faces, frame: tuple[int, int, int] = (255, 255, 255)
) -> NDArray[np.uint8]:
    """A copy of the RGB image (h, w, 3) with a box, white or in colour `frame`, and five landmarks for each face.

    Landmarks of shape (n, 0, 2) are not drawn.
    """
    canvas = np.ascontiguousarray(image).copy()
    radius = max(1, round(min(image.shape[:2]) / 150))
    for box, points in zip(faces.boxes, faces.landmarks, strict=True):
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), frame, radius)
        for (x, y), colour in zip(points, _COLOURS, strict=False):
            cv2.circle(canvas, (round(float(x)), round(float(y))), radius, colour, -1)
    return canvas
