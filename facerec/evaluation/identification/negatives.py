"""Counts over impostor scores that are shown block by block: the greatest of all, and those above given marks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification.scores import Floats, Ints

_BATCH = 1 << 21  # scores sorted at once by `Above`


class Tail:
    """The `size` greatest of all scores shown to it, and the probe each belongs to, under a running threshold."""

    def __init__(self, size: int) -> None:
        """Hold `size` scores, and up to twice as many between two clearances."""
        self.size = size
        self.threshold = -np.inf
        self._scores: list[Floats] = []
        self._probes: list[NDArray[np.int32]] = []
        self._used = 0

    def add(self, scores: Floats, probes: NDArray[np.int32]) -> None:
        """Show it scores above the threshold."""
        self._scores.append(scores)
        self._probes.append(probes)
        self._used += len(scores)
        if self._used > 2 * self.size:
            self._clear()

    def _clear(self) -> None:
        scores, probes = np.concatenate(self._scores), np.concatenate(self._probes)
        kept = np.argpartition(scores, len(scores) - self.size)[len(scores) - self.size :]
        self._scores, self._probes, self._used = [scores[kept]], [probes[kept]], self.size
        self.threshold = float(self._scores[0].min())

    def descending(self) -> tuple[Floats, NDArray[np.int32]]:
        """(scores, probes), up to `size`, greatest score first; minus infinity is left out by `add`ing none."""
        if not self._scores:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)
        scores, probes = np.concatenate(self._scores), np.concatenate(self._probes)
        order = np.argsort(-scores, kind="stable")[: self.size]
        return scores[order], probes[order]


class Above:
    """For each of some scores, how many of the scores shown are strictly greater."""

    def __init__(self, marks: Floats) -> None:
        """Count for each of the (p,) `marks`."""
        self._marks = marks
        self._counts = np.zeros(len(marks), dtype=np.int64)
        self._waiting: list[Floats] = []
        self._used = 0

    def add(self, scores: Floats) -> None:
        """Show it scores of any shape; many are sorted at once."""
        self._waiting.append(scores.ravel())
        self._used += scores.size
        if self._used >= _BATCH:
            self._count()

    def _count(self) -> None:
        ordered = np.sort(np.concatenate(self._waiting))
        self._counts += len(ordered) - np.searchsorted(ordered, self._marks, side="right")
        self._waiting, self._used = [], 0

    def counts(self) -> Ints:
        """(p,) counts, in the order of the marks."""
        if self._waiting:
            self._count()
        return self._counts
