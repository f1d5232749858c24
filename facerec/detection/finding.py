"""Faces of encoded photos, as many at a time as memory allows, with a second look at photos padded with black.

The padded view helps where a face fills its photo: the detector then sees a smaller face with a border around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.core import ImageError
from facerec.detection.faces import Detector, Faces
from facerec.imaging import images

LOOKED_AT = 16 << 20
"""Most pixels of a photo that a detector gets, since memory grows with them. A larger photo is reduced by the smallest
whole factor that suffices, and its faces are mapped back."""

_DECODED = 32 << 20  # pixels decoded at once

Image = NDArray[np.uint8]

NO_FACES = Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one photo, in its pixels.

    Attributes:
        faces: found in the photo itself.
        size: (height, width) of the upright photo; 0, 0 where it could not be decoded.
        error: why the photo could not be decoded, else "".
        retried: found in the padded view of the photo, where there was a second look.
    """

    faces: Faces
    size: tuple[int, int]
    error: str = ""
    retried: Faces = NO_FACES


@dataclass(frozen=True)
class _Decoded:
    image: Image
    size: tuple[int, int]
    factor: int


def find_faces(
    detector: Detector, photos: Iterable[bytes | memoryview | Image], retry: float = 0.0
) -> Iterator[FoundFaces]:
    """Find the faces of each photo, in order.

    Args:
        detector: finds them.
        photos: encoded, or RGB (h, w, 3).
        retry: photos whose best face scores less get a second look in their padded view: 0 none, 1 all.
    """
    batch: list[_Decoded | str] = []
    for data in photos:
        batch.append(_decode(data))
        if sum(each.image.size for each in batch if isinstance(each, _Decoded)) >= 3 * _DECODED:
            yield from _find(detector, batch, retry)
            batch = []
    yield from _find(detector, batch, retry)


def _decode(data: bytes | memoryview | Image) -> _Decoded | str:
    """The photo, reduced where it is large, or why it cannot be decoded."""
    try:
        image = data if isinstance(data, np.ndarray) else images.decode(data)
    except ImageError as error:
        return str(error)
    height, width = image.shape[:2]
    factor = 1
    while (height // factor) * (width // factor) > LOOKED_AT:
        factor += 1
    if factor > 1:
        # Whole blocks of pixels only, so that the mapping back is exact; the remainder at two edges is cut off.
        rows, columns = max(1, height // factor), max(1, width // factor)
        whole = image[: rows * factor, : columns * factor]
        image = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return _Decoded(image, (height, width), factor)


def _find(detector: Detector, batch: list[_Decoded | str], retry: float) -> Iterator[FoundFaces]:
    decoded = [each for each in batch if isinstance(each, _Decoded)]
    found = detector.detect([each.image for each in decoded])
    again = _find_in_padded(detector, decoded, found, retry)
    both = zip(found, again, strict=True)
    for each in batch:
        if isinstance(each, str):
            yield FoundFaces(NO_FACES, (0, 0), each)
        else:
            faces, retried = (_enlarge(one, each.factor) for one in next(both))
            yield FoundFaces(faces, each.size, retried=retried)


def _find_in_padded(detector: Detector, decoded: list[_Decoded], found: list[Faces], retry: float) -> list[Faces]:
    """The faces found in padded views, one entry a photo; no faces for a photo that needs no second look."""
    again = [NO_FACES] * len(decoded)
    rows = [row for row, faces in enumerate(found) if retry >= 1 or faces.scores.max(initial=0) < retry]
    for row, faces in zip(rows, detector.detect([pad_photo(decoded[row].image) for row in rows]), strict=True):
        height, width = decoded[row].image.shape[:2]
        again[row] = restore_faces(faces, (height, width))
    return again


def _enlarge(faces: Faces, factor: int) -> Faces:
    """Faces of a photo reduced by `factor` in pixels of the photo; pixel centres are integers in both."""
    if factor == 1:
        return faces
    shift = np.float32((factor - 1) / 2)
    return Faces(faces.boxes * factor + shift, faces.landmarks * factor + shift, faces.scores)


SIDE = 160
"""Pixels that the longer side of the photo has in its padded view."""

BORDER = 64
"""Black pixels on each side of the padded view."""


def pad_photo(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The padded view of an RGB photo (h, w, 3): resized to SIDE, with a black BORDER."""
    height, width = _inner(image.shape[:2])
    reduces = height < image.shape[0] or width < image.shape[1]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if reduces else cv2.INTER_LINEAR)
    view = cv2.copyMakeBorder(small, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(view, np.uint8)


def restore_faces(faces: Faces, size: tuple[int, int]) -> Faces:
    """Faces found in the padded view of a photo of `size` (height, width), in pixels of the photo itself."""
    height, width = _inner(size)
    scale = np.array([size[1] / width, size[0] / height])

    def back(points: NDArray[np.float32]) -> NDArray[np.float32]:
        # Resizing keeps the edges, which lie half a pixel outside the first and last pixel centres.
        found = (points.reshape(-1, 2).astype(np.float64) - BORDER + 0.5) * scale - 0.5
        moved: NDArray[np.float32] = (found.round(2) + 0.0).astype(np.float32).reshape(points.shape)
        return moved

    return Faces(back(faces.boxes), back(faces.landmarks), faces.scores)


def _inner(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width that the photo has within its view."""
    height, width = (max(1, round(side * SIDE / max(size))) for side in size)
    return height, width
