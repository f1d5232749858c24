"""What is trained on: several face sets as one, with labels of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facerec.backbones.storage import StoredBackbone
from facerec.catalog import entries
from facerec.core import FormatError, ParamsError
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import Shards
from facerec.store.training_sets import TrainingSet, merged_training_sets

_UNUSED = -1


class TrainingFaces(FaceDataset):
    """Faces of several sets; every set's identities are its own.

    `labels` (n,) int64 in 0..classes-1, -1 for faces of identities with fewer than `min_images`; `usable` are
    the indices of the others.
    """

    def __init__(self, sets: Sequence[Shards], min_images: int = 1) -> None:
        super().__init__(sets)
        self.labels, self.classes = _merge(sets, min_images)
        self.usable: NDArray[np.int64] = np.flatnonzero(self.labels != _UNUSED)

    def check(self, batch: int) -> None:
        """Raise ParamsError unless there are two identities and one full batch."""
        where = ", ".join(str(shards.path) for shards in self.sets)
        kept = "" if len(self.usable) == len(self) else f" after train.min_images left out {self._left_out}"
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
    def _left_out(self) -> int:
        return len(self) - len(self.usable)


def _merge(sets: Sequence[Shards], min_images: int) -> tuple[NDArray[np.int64], int]:
    """Labels without gaps over all sets, and how many there are."""
    merged, classes = [], 0
    for shards in sets:
        if (shards.labels < 0).any():
            raise FormatError(f"{shards.path} holds faces of unknown identity; it cannot be trained on.")
        _, labels, counts = np.unique(shards.labels, return_inverse=True, return_counts=True)
        enough = counts >= min_images
        renumbered = np.where(enough, np.cumsum(enough) - 1 + classes, _UNUSED)
        merged.append(renumbered[labels].astype(np.int64))
        classes += int(enough.sum())
    return np.concatenate(merged), classes


def credited(backbone: StoredBackbone, sets: Sequence[Shards]) -> StoredBackbone:
    """The backbone with the names of these face sets beside those it had learnt from before (`train.init`)."""
    names = {shards.meta.dataset for shards in sets}
    now = [TrainingSet(name, entries.is_rendered(name)) for name in names]
    return replace(backbone, trained_on=merged_training_sets(backbone.trained_on, now))
