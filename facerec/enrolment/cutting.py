"""From a photo and the face chosen in it to the crop that networks are shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facerec import alignment, images
from facerec.enrolment.options import Options
from facerec.enrolment.rungs import Face


def matrices(
    faces: Sequence[Face], sizes: Sequence[tuple[int, int]], options: Options
) -> NDArray[np.float64]:
    """Transforms (n, 2, 3) from photos of `sizes` (height, width) to crops, estimated together."""
    found = np.empty((len(faces), 2, 3))
    turned = np.array([face.turned for face in faces], bool)
    landmarks = np.array([face.landmarks for face in faces if face.turned], np.float64)
    found[turned] = alignment.similarity(landmarks.reshape(-1, 5, 2), options.size)
    for row in np.flatnonzero(~turned).tolist():
        box = faces[row].box
        if box is None:
            found[row] = alignment.upright(alignment.centre_square(sizes[row]), options.size)[0]
        else:
            found[row] = alignment.upright(box, options.size, options.margin)[0]
    return found


def cut(photo: NDArray[np.uint8], matrix: NDArray[np.float64], options: Options) -> bytes:
    """JPEG bytes of the crop that `matrix` (2, 3) cuts from an RGB photo (h, w, 3)."""
    crop = alignment.warp(photo, matrix, options.size)
    return images.encode_jpeg(crop, options.quality, options.subsampling)
