"""Batches of decoded faces from face shards, prepared ahead of their use by threads.

    faces = FaceDataset([read_shards("data/faces/synth_people")])
    for batch in faces.batches([np.arange(64)]):  # (64, 112, 112, 3) uint8 RGB
        ...

OpenCV releases Python's lock while it decodes, so threads share the work without copying pixels. Batches come in the
order asked for, whatever the number of threads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, ImageError, map_in_threads
from facerec.imaging.images import decode
from facerec.store.shards import Shards, reduction


class FaceDataset:
    """The aligned faces of one or several sets as one sequence, all of one size.

    The sets share one template. Crops of twice, three times, ... the `size` (default: the smallest of the
    sets) are reduced to it by averaging.
    """

    def __init__(self, sets: Sequence[Shards], size: tuple[int, int] | None = None) -> None:
        if not sets:
            raise FormatError("No face sets are given; name at least one.")
        sizes = [_size(shards) for shards in sets]
        self.sets = tuple(sets)
        self.size = size or min(sizes)
        self.template = sets[0].meta.template
        for shards, given in zip(sets, sizes, strict=True):
            if shards.meta.template != self.template or not reduction(given, self.size):
                raise FormatError(
                    f"{shards.path} ({given[0]}x{given[1]}, {shards.meta.template}) cannot be brought to "
                    f"{self.size[0]}x{self.size[1]}, {self.template}; align all sets to one template."
                )
        self._sizes = sizes
        self._starts = [0, *accumulate(len(shards) for shards in sets)]

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def reduced(self) -> list[str]:
        """Names of the sets whose crops are larger than `size`."""
        pairs = zip(self.sets, self._sizes, strict=True)
        return [shards.meta.dataset for shards, given in pairs if given != self.size]

    def name(self, index: int) -> str:
        """Where face `index` is, at the beginning of a message."""
        number = bisect_right(self._starts, index) - 1
        shards, row = self.sets[number], index - self._starts[number]
        source = shards.rows(range(row, row + 1), ["source"])["source"][0].as_py()
        return f"Face {row} of {shards.path} ({source})"

    def image(self, index: int) -> NDArray[np.uint8]:
        """Face `index` decoded, RGB uint8 (h, w, 3); ImageError or FormatError names the face."""
        number = bisect_right(self._starts, index) - 1
        try:
            image = decode(self.sets[number].image(index - self._starts[number]))
        except ImageError as error:
            raise ImageError(f"{self.name(index)}: {error}") from error
        promised = self._sizes[number]
        if image.shape[:2] != promised:
            raise FormatError(
                f"{self.name(index)} is {image.shape[0]}x{image.shape[1]}, "
                f"but its set promises {promised[0]}x{promised[1]}; make the set again."
            )
        if promised == self.size:
            return image
        return np.asarray(cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Faces (b, h, w, 3) uint8 RGB at `indices`."""
        images = np.empty((len(indices), *self.size, 3), np.uint8)
        for image, index in zip(images, indices, strict=True):
            image[:] = self.image(int(index))
        return images

    def batches(self, order: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """The batch of every index array of `order`, decoded ahead by worker threads."""
        return map_in_threads(self.batch, order)


def _size(shards: Shards) -> tuple[int, int]:
    if shards.meta.kind != "faces" or shards.meta.size is None:
        raise FormatError(f"{shards.path} holds {shards.meta.kind}, but aligned faces are needed here.")
    return shards.meta.size
