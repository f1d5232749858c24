"""What a detector is and what it finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from facerec.core import ImageError


@dataclass(frozen=True)
class Faces:
    """The faces of one photo by descending score, in photo pixels (integer coordinates = pixel centres).

    `boxes` (n, 4) float32 x1, y1, x2, y2, may reach outside the photo; `landmarks` (n, 5, 2) float32: left
    eye, right eye, nose, left and right mouth corner as seen in the image; `scores` (n,) float32 in 0..1.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)


class Detector(Protocol):
    """Finds faces. `name` is its registry name."""

    name: str

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """The faces of each RGB image (h, w, 3); images may differ in size."""


def checked(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """The images with contiguous memory; ImageError when one is not uint8 (h, w, 3)."""
    for number, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(
                f"Image {number} is {image.dtype} {image.shape}, but a detector takes RGB uint8 (h, w, 3)."
            )
    return [np.ascontiguousarray(image) for image in images]


def tidy(boxes: NDArray[np.float64], landmarks: NDArray[np.float64], scores: NDArray[np.float64]) -> Faces:
    """Faces rounded to 1/100 pixel and 1e-5 of score, by descending score, then position.

    Rounding removes the last-bit noise of batched arithmetic, so that the faces of a photo practically
    never depend on which photos shared its batch.
    """
    boxes, landmarks, scores = boxes.round(2), landmarks.round(2), scores.round(5)
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores))
    return Faces(
        (boxes[order] + 0.0).astype(np.float32),  # + 0.0 turns -0 into 0
        (landmarks[order] + 0.0).astype(np.float32).reshape(-1, 5, 2),
        scores[order].astype(np.float32),
    )


def by_size(images: Sequence[NDArray[np.uint8]], pixels: int) -> Iterator[list[int]]:
    """Indices of images of equal height and width, at most `pixels` in a batch but at least one image.

    Within a size the order is kept.
    """

    def size(index: int) -> tuple[int, ...]:
        return images[index].shape[:2]

    for (height, width), group in groupby(sorted(range(len(images)), key=size), key=size):
        members = list(group)
        step = max(1, pixels // (height * width))
        yield from (members[start : start + step] for start in range(0, len(members), step))


def groups(
    images: Sequence[NDArray[np.uint8]], device: torch.device
) -> Iterator[Sequence[NDArray[np.uint8]]]:
    """The photos that a detector handles together, in order: one on a CPU, 64 elsewhere.

    A CPU's convolution of one photo and of many differ in the last bit, and many are hardly faster; one by
    one, the faces of a photo cannot depend on its neighbours.
    """
    step = 1 if device.type == "cpu" else 64
    return (images[start : start + step] for start in range(0, len(images), step))
