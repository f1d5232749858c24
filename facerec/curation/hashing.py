"""A perceptual hash: pictures that look alike have hashes that differ in few bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_HASH = 16  # rows and columns of brightness differences


def difference_hash(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The difference hash (32 bytes) of an RGB face: whether each of 16x16 places is darker than the one to its right."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_HASH + 1, _HASH), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, :-1] < small[:, 1:])
