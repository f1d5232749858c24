"""Counts over impostor scores that come block by block: the greatest, those above given marks, and random subsets.

Subsets: the devkit repeats an experiment among 10, 100, 1,000 ... distractors with several random lists. Here a set is
one random order of the distractors, and its subset of size k the first k of that order, so the subsets of a set are
nested and each distractor belongs to one ring: the smallest subset it is in. Each ring is counted once, in the one pass
over all distractors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification.scoring import Engine, Floats, Ints, MateScores, ScoreBlock

_BATCH = 1 << 21  # scores sorted at once by `CountsAbove`


class HighestScores:
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
        """(scores, probes), up to `size`, greatest score first; minus infinity is never `add`ed."""
        if not self._scores:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)
        scores, probes = np.concatenate(self._scores), np.concatenate(self._probes)
        order = np.argsort(-scores, kind="stable")[: self.size]
        return scores[order], probes[order]


class CountsAbove:
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


class SubsetSweeps:
    """Counts of every ring of every set, added up block by block."""

    def __init__(self, engine: Engine, mates: MateScores, distractors: int, sets: int, tail: int, seed: int) -> None:
        """Draw `sets` orders of the distractors; keep the `tail` greatest scores of each ring."""
        self.sizes = [10**power for power in range(1, 9) if 10**power < distractors]
        self._engine, self._mates = engine, mates
        self._rings = [self._draw(distractors, seed, number) for number in range(sets)]
        rings = [(number, ring) for number in range(sets) for ring in range(len(self.sizes))]
        self._counters = {key: engine.counter(mates) for key in rings}
        self._tails = {key: HighestScores(tail) for key in rings}

    def _draw(self, distractors: int, seed: int, number: int) -> NDArray[np.int8]:
        order = np.random.default_rng([seed, number]).permutation(distractors)
        rings = np.full(distractors, len(self.sizes), dtype=np.int8)
        for ring, size in reversed(list(enumerate(self.sizes))):
            rings[order[:size]] = ring
        return rings

    def add(self, start: int, width: int, block: ScoreBlock) -> None:
        """Count the scores of distractors start ... start + width."""
        for number, rings in enumerate(self._rings):
            here = rings[start : start + width]
            for ring in np.unique(here[here < len(self.sizes)]).tolist():
                chosen = block.columns(np.flatnonzero(here == ring))
                chosen.count_beaten(self._mates, self._counters[number, ring])
                tail = self._tails[number, ring]
                tail.add(*chosen.above(tail.threshold))

    def subsets(self) -> list[tuple[int, int, Ints, Floats]]:
        """Every subset, its rings added up, by size, then set: both, scores above each mate, greatest scores."""
        found = []
        for number in range(len(self._rings)):
            beaten, tail = np.zeros(len(self._mates.scores), dtype=np.int64), np.empty(0, dtype=np.float32)
            for ring, size in enumerate(self.sizes):
                beaten = beaten + self._engine.counts(self._counters[number, ring], self._mates)
                tail = -np.sort(-np.concatenate([tail, self._tails[number, ring].descending()[0]]))
                found.append((size, number + 1, beaten, tail))
        return sorted(found, key=lambda each: each[:2])
