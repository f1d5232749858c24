"""Photos of equal size in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
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
