"""What is trained on and in which order: several face sets as one, shuffled by (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FormatError, ParamsError
from facerec.formats.shards import Shards
from facerec.loading import Faces


class TrainingFaces(Faces):
    """Faces with `labels` (n,) int64 in 0..classes-1; every set's identities are its own."""

    def __init__(self, sets: Sequence[Shards]) -> None:
        super().__init__(sets)
        self.labels, self.classes = _merge(sets)

    def check(self, batch: int) -> None:
        """Raise ParamsError unless there are two identities and one full batch."""
        where = ", ".join(str(shards.path) for shards in self.sets)
        if self.classes < 2:
            raise ParamsError(
                f"Training needs faces of at least 2 identities; {where} hold {self.classes} in {len(self)} faces."
            )
        if len(self) < batch:
            raise ParamsError(
                f"train.batch is {batch}, but {where} hold {len(self)} faces; lower it or add faces."
            )


def _merge(sets: Sequence[Shards]) -> tuple[NDArray[np.int64], int]:
    """Labels without gaps over all sets, and how many there are."""
    merged, classes = [], 0
    for shards in sets:
        if (shards.labels < 0).any():
            raise FormatError(f"{shards.path} holds faces of unknown identity; it cannot be trained on.")
        known, labels = np.unique(shards.labels, return_inverse=True)
        merged.append(labels.astype(np.int64) + classes)
        classes += len(known)
    return np.concatenate(merged), classes


def batches(count: int, batch: int, seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Index arrays (batch,) of a shuffled pass over `count` faces; the incomplete last one is left out.

    A pure function of its arguments: batch statistics never see a tiny batch, and any epoch can be
    had without the ones before it.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    for start in range(0, count - batch + 1, batch):
        yield order[start : start + batch]
