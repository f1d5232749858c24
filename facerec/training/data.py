"""Training data: several face sets as one with labels of their own, and the order in which samplers show them.

A batch of indices is a pure function of (seed, epoch, number), so any batch can be computed without the ones before
it, and training can resume in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.catalog import entries
from facerec.core import FormatError, ParamsError
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import Shards

FaceSets = Sequence[Shards]
Indices = NDArray[np.int64]

_UNUSED = -1


class TrainingFaces(FaceDataset):
    """Faces of several sets; the identities of each set are its own, or with merge "names" those of equal names one.

    Attributes:
        labels: (n,) int64 in 0..classes-1, -1 for faces of identities with fewer than `min_images`.
        classes: number of identities with at least `min_images` faces.
        usable: indices of their faces.
    """

    def __init__(self, sets: FaceSets, min_images: int = 1, merge: str = "sets") -> None:
        super().__init__(sets)
        for shards in sets:
            shards.expect_any_order()
        merged = _by_name(sets) if merge == "names" else _by_set(sets)
        self.labels, self.classes = _number(merged, min_images)
        self.usable: Indices = np.flatnonzero(self.labels != _UNUSED)

    def check(self, batch: int) -> None:
        """Raise ParamsError unless there are at least two identities and one full batch."""
        where = ", ".join(str(shards.path) for shards in self.sets)
        left_out = len(self) - len(self.usable)
        kept = f" after train.min_images left out {left_out}" if left_out else ""
        if self.classes < 2:
            raise ParamsError(
                f"Training needs faces of at least 2 identities; {where} hold {self.classes} in "
                f"{len(self.usable)} faces{kept}."
            )
        if len(self.usable) < batch:
            raise ParamsError(
                f"train.batch is {batch}, but {where} hold {len(self.usable)} faces{kept}; lower it or add faces."
            )

    @property
    def rendered(self) -> dict[str, bool]:
        """Whether the people of a set do not exist, by the name of the set."""
        return {shards.meta.dataset: entries.is_rendered(shards.meta.dataset) for shards in self.sets}


def _by_set(sets: FaceSets) -> Indices:
    """A number for every face that people of different sets never share."""
    merged, classes = [], 0
    for shards in sets:
        _check_known(shards)
        _, labels = np.unique(shards.labels, return_inverse=True)
        merged.append(labels.astype(np.int64) + classes)
        classes += int(labels.max(initial=-1)) + 1
    return np.concatenate(merged)


def _by_name(sets: FaceSets) -> Indices:
    """A number for every face, equal for equal names of people."""
    for shards in sets:
        _check_known(shards)
        if "" in shards.identities:
            raise FormatError(f"{shards.path} holds faces without a name; train.merge: names cannot be used with it.")
    names = [name for shards in sets for name in shards.identities]
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def _check_known(shards: Shards) -> None:
    if (shards.labels < 0).any():
        raise FormatError(f"{shards.path} holds faces of unknown identity; it cannot be trained on.")


def _number(people: Indices, min_images: int) -> tuple[Indices, int]:
    """Consecutive labels of those people, numbered from 0, who have enough images, and how many they are."""
    enough = np.bincount(people) >= min_images
    return np.where(enough, np.cumsum(enough) - 1, _UNUSED)[people].astype(np.int64), int(enough.sum())


_IDENTITIES, _IMAGES = 2, 3  # random streams other than those for shuffling and augmentation


class Sampler(Protocol):
    """Yields batches of face indices; `len()` is the number of batches per epoch."""

    def __len__(self) -> int:
        """Number of batches per epoch."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Indices]:
        """Indices (batch,) of the faces of each batch of the epoch, from batch number `start` on."""


class ShuffledSampler:
    """Every face once per epoch, shuffled; the incomplete last batch is left out, so no batch statistics are of a tiny batch."""

    def __init__(self, usable: Indices, batch: int, seed: int) -> None:
        self._usable, self._batch, self._seed = usable, batch, seed

    def __len__(self) -> int:
        return len(self._usable) // self._batch

    def batches(self, epoch: int, start: int = 0) -> Iterator[Indices]:
        """See `Sampler.batches`."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._usable))
        for number in range(start, len(self)):
            yield self._usable[order[number * self._batch : (number + 1) * self._batch]]


class BalancedSampler:
    """`images` faces of each of batch / images identities, for losses on pairs within the batch.

    Identities follow in random order; the faces of one are drawn without repetition if it has enough. An epoch has
    as many faces as the sets.
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
        """See `Sampler.batches`."""
        turn = len(self._ends) // self._people  # batches before an identity repeats
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
