"""Training data: several face sets as one with labels of their own, and the order in which samplers show them.

A batch of indices is a pure function of (seed, epoch, number), so any batch can be computed without the ones before
it, and training can resume in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.catalog import entries
from facerec.core import FormatError, ParamsError, note
from facerec.store.decisions import Decisions, decided_labels, read_decisions
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import Shards

FaceSets = Sequence[Shards]
Indices = NDArray[np.int64]

_UNUSED = -1


class TrainingFaces(FaceDataset):
    """Faces of several sets; the identities of each set are its own, or with merge "names" those of equal names one.

    The decisions in `exclude` leave faces out and merge identities. `labelled` is whether the labels are trained on, so
    that none may be unknown.

    Attributes:
        labels: (n,) int64 in 0..classes-1, -1 for faces that are left out: those of identities with fewer than
            `min_images`, and by a decision.
        classes: number of identities with at least `min_images` faces.
        usable: indices of their faces.
    """

    def __init__(
        self,
        sets: FaceSets,
        min_images: int = 1,
        exclude: str | Path | None = None,
        labelled: bool = True,
        merge: str = "sets",
    ) -> None:
        super().__init__(sets)
        for shards in sets:
            shards.expect_any_order()
        decided = None if exclude is None else read_decisions(exclude)
        labels = [_kept_labels(shards, decided, labelled) for shards in sets]
        people = _by_name(sets, labels) if merge == "names" else _by_set(labels)
        self.labels, self.classes = _number(people, min_images)
        self.usable: Indices = np.flatnonzero(self.labels != _UNUSED)
        self._least, self._decided = 2 if labelled else 1, decided is not None
        if unknown := {*(decided.sets if decided else ())} - {shards.meta.dataset for shards in sets}:
            note(f"decisions about {', '.join(sorted(unknown))} change nothing, since training does not use these sets")

    def check(self, batch: int) -> None:
        """Raise ParamsError unless there are at least two identities, where labels matter, and one full batch."""
        where = ", ".join(str(shards.path) for shards in self.sets)
        left_out = len(self) - len(self.usable)
        keys = "train.min_images and train.exclude" if self._decided else "train.min_images"
        kept = f" after {keys} left out {left_out}" if left_out else ""
        if self.classes < self._least:
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


def _kept_labels(shards: Shards, decided: Decisions | None, labelled: bool) -> Indices:
    """The labels of a set after the decisions about it, -1 for what is left out; unknown people share one."""
    unknown = shards.labels < 0
    if labelled and unknown.any():
        raise FormatError(f"{shards.path} holds faces of unknown identity; it cannot be trained on.")
    labels = np.where(unknown, shards.labels.max() + 1, shards.labels) if unknown.any() else shards.labels
    own = decided.of_set(shards.meta.dataset) if decided else []
    return decided_labels(shards, labels, own) if own else labels


def _by_set(sets: Sequence[Indices]) -> Indices:
    """A number for every face that people of different sets never share; -1 for what is left out."""
    merged, people = [], 0
    for labels in sets:
        known = labels != _UNUSED
        numbers = np.unique(labels[known], return_inverse=True)[1] + people
        people = int(numbers.max(initial=people - 1)) + 1
        merged.append(np.full(len(labels), _UNUSED, np.int64))
        merged[-1][known] = numbers
    return np.concatenate(merged)


def _by_name(sets: FaceSets, labels: Sequence[Indices]) -> Indices:
    """A number for every face, equal for equal names of people; -1 for what is left out."""
    names = []
    for shards, kept in zip(sets, labels, strict=True):
        if "" in shards.identities:
            raise FormatError(f"{shards.path} holds faces without a name; train.merge: names cannot be used with it.")
        called = dict(zip(shards.labels.tolist(), shards.identities, strict=True))
        names += [called.get(label, "") for label in kept.tolist()]
    known = np.array(names, dtype=str) != ""
    numbers = np.full(len(names), _UNUSED, np.int64)
    numbers[known] = np.unique(np.array(names, dtype=str)[known], return_inverse=True)[1]
    return numbers


def _number(people: Indices, min_images: int) -> tuple[Indices, int]:
    """Consecutive labels of those people, numbered from 0, who have enough images, and how many they are."""
    counts = np.bincount(people[people != _UNUSED])
    enough = (counts >= min_images) & (counts > 0)
    numbers = np.append(np.where(enough, np.cumsum(enough) - 1, _UNUSED), _UNUSED)  # the last is that of _UNUSED
    return numbers[people].astype(np.int64), int(enough.sum())


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
