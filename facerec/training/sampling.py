"""In which order faces are shown: batches of indices, each a pure function of (seed, epoch, number).

So any batch can be had without the ones before it, and training goes on in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.core import ParamsError
from facerec.params import Train
from facerec.training.data import TrainingFaces

Indices = NDArray[np.int64]

_IDENTITIES, _IMAGES = 2, 3  # streams apart from those that shuffle and augment


class Sampler(Protocol):
    """`len()` is the number of batches of an epoch."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Indices]:
        """Indices (batch,) of faces, batch after batch from number `start` of the epoch on."""


def build_sampler(faces: TrainingFaces, recipe: Train) -> Sampler:
    """The sampler of the recipe; ParamsError where these faces cannot fill a batch."""
    if recipe.sampler.name == "balanced":
        return Balanced(faces, recipe.batch, recipe.sampler.images, recipe.seed)
    return Shuffled(faces.usable, recipe.batch, recipe.seed)


class Shuffled:
    """Every face once an epoch, shuffled; the incomplete last batch is left out.

    So batch statistics never see a tiny batch.
    """

    def __init__(self, usable: Indices, batch: int, seed: int) -> None:
        self._usable, self._batch, self._seed = usable, batch, seed

    def __len__(self) -> int:
        return len(self._usable) // self._batch

    def batches(self, epoch: int, start: int = 0) -> Iterator[Indices]:
        """As `Sampler.batches`."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._usable))
        for number in range(start, len(self)):
            yield self._usable[order[number * self._batch : (number + 1) * self._batch]]


class Balanced:
    """`images` faces of each of batch / images identities, as losses on pairs in the batch need them.

    The identities take turns in a random order; faces of one are drawn without repetition where it has enough.
    An epoch shows as many faces as there are.
    """

    def __init__(self, faces: TrainingFaces, batch: int, images: int, seed: int) -> None:
        self._people, self._images, self._seed = batch // images, images, seed
        self._length = len(faces.usable) // batch
        labels = faces.labels[faces.usable]
        self._members = faces.usable[np.argsort(labels, kind="stable")]
        self._ends = np.cumsum(np.bincount(labels, minlength=faces.classes))
        if faces.classes < self._people:
            raise ParamsError(
                f"train.batch {batch} takes {images} faces of each of {self._people} identities, but there are "
                f"{faces.classes}; lower train.batch or raise train.sampler.images."
            )

    def __len__(self) -> int:
        return self._length

    def batches(self, epoch: int, start: int = 0) -> Iterator[Indices]:
        """As `Sampler.batches`."""
        turn = len(self._ends) // self._people  # batches in which every identity comes at most once
        order = np.empty(0, np.int64)
        for number in range(start, len(self)):
            if number % turn == 0 or number == start:
                key = (self._seed, epoch, _IDENTITIES, number // turn)
                order = np.random.default_rng(key).permutation(len(self._ends))
            place = number % turn * self._people
            yield self._draw(order[place : place + self._people], epoch, number)

    def _draw(self, people: Indices, epoch: int, number: int) -> Indices:
        random = np.random.default_rng((self._seed, epoch, _IMAGES, number))
        drawn = []
        for label in people.tolist():
            first = self._ends[label - 1] if label else 0
            members = self._members[first : self._ends[label]]
            drawn.append(random.choice(members, self._images, replace=len(members) < self._images))
        return np.concatenate(drawn)
