"""Photos in batches of bounded memory whose composition does not show in the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray


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
