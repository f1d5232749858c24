"""Random subsets of 10, 100, 1,000 ... distractors out of the one pass over all of them.

The devkit repeats an experiment for every size with several lists drawn at random. Here a set is one random
order of the distractors, and its subset of size k the first k of that order, so subsets of a set are nested
and each distractor belongs to one ring: the smallest subset it is in. Each ring is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification.engines import Block, Engine, Mates
from facerec.evaluation.identification.negatives import Tail
from facerec.evaluation.identification.scores import Floats, Ints


@dataclass(frozen=True)
class Subset:
    """Identification among some of the distractors.

    Attributes:
        size: how many distractors. set: which random order they are from, counted from 1.
        rank1: share of pairs whose mate scores above all of them.
        tpr: exact true-positive rate by false-positive rate, where the subset supports the rate.
    """

    size: int
    set: int
    rank1: float
    tpr: dict[float, float]


@dataclass(frozen=True)
class Counted:
    """What a subset's scores amount to: beaten (p,) in the order of the mates, and its greatest scores."""

    size: int
    set: int
    beaten: Ints
    tail: Floats


class Rings:
    """Counts of every ring of every set, added up block by block."""

    def __init__(
        self, engine: Engine, mates: Mates, distractors: int, sets: int, tail: int, seed: int
    ) -> None:
        """Draw `sets` orders of the distractors; keep the `tail` greatest scores of each ring."""
        self.sizes = [10**power for power in range(1, 9) if 10**power < distractors]
        self._engine, self._mates = engine, mates
        self._ring = np.stack([self._draw(distractors, seed, number) for number in range(sets)])
        rings = [(number, ring) for number in range(sets) for ring in range(len(self.sizes))]
        self._counters = {key: engine.counter(mates) for key in rings}
        self._tails = {key: Tail(tail) for key in rings}

    def _draw(self, distractors: int, seed: int, number: int) -> NDArray[np.int8]:
        order = np.random.default_rng([seed, number]).permutation(distractors)
        rings = np.full(distractors, len(self.sizes), dtype=np.int8)
        for ring, size in reversed(list(enumerate(self.sizes))):
            rings[order[:size]] = ring
        return rings

    def add(self, start: int, width: int, block: Block) -> None:
        """Count the scores of distractors start ... start + width."""
        for number, rings in enumerate(self._ring[:, start : start + width]):
            for ring in np.unique(rings[rings < len(self.sizes)]).tolist():
                chosen = block.columns(np.flatnonzero(rings == ring))
                chosen.count_beaten(self._mates, self._counters[number, ring])
                tail = self._tails[number, ring]
                tail.add(*chosen.above(tail.threshold))

    def subsets(self) -> list[Counted]:
        """Every subset, its rings added up: by size, then set."""
        found = []
        for number in range(len(self._ring)):
            beaten, tail = np.zeros(len(self._mates.scores), dtype=np.int64), np.empty(0, dtype=np.float32)
            for ring, size in enumerate(self.sizes):
                beaten = beaten + self._engine.counts(self._counters[number, ring], self._mates)
                tail = -np.sort(-np.concatenate([tail, self._tails[number, ring].descending()[0]]))
                found.append(Counted(size, number + 1, beaten, tail))
        return sorted(found, key=lambda each: (each.size, each.set))
