"""Scores of probes against faces, block by block so that memory stays flat, and counts over them.

The score is the MegaFace devkit's: s(x, y) = 2 x.y - x.x - y.y = -|x - y|^2 in float32; greater is more alike. A row of
NaN is a face that is missing: it scores minus infinity against everything.

An `Engine` multiplies the probes with a block of faces and searches the scores. Two engines give equal results: numba on
the CPU, torch on any torch device. Both take their dot products from torch.mm, whose float32 sums may differ in the last
bit between devices.

`SubsetSweeps` counts among random subsets: the devkit repeats an experiment among 10, 100, 1,000 ... distractors with
several random lists. Here a set is one random order of the distractors, and its subset of size k the first k of them, so
each distractor belongs to one ring: the smallest subset it is in. Each ring is counted once, in the one pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BLOCK = 1024  # distractors multiplied at once: with 3,530 probes 14 MB of scores, which stay in the cache
NEAREST = 5  # distractors remembered for each probe, as in the devkit's `matches`
_BATCH = 1 << 21  # scores sorted at once by `CountsAbove`


class FeatureRows(Protocol):
    """A matrix that is read a slice of rows at a time: an array, a memory map, or cleaned rows of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """The rows of a contiguous slice."""


@dataclass(frozen=True)
class Features:
    """Rows ready to be multiplied: missing ones are zeros of infinite squared length."""

    rows: Floats
    squares: Floats
    missing: Bools


def checked_features(rows: NDArray[np.floating], what: str, start: int = 0) -> Features:
    """Float32 `rows`, copied only where need be, and squared lengths; FormatError for an infinite value."""
    values = np.require(rows, np.float32, ["C", "W"])
    squares = np.einsum("ij,ij->i", values, values)
    missing = np.asarray(np.isnan(squares))
    infinite = np.flatnonzero(np.isinf(squares))
    if len(infinite):
        raise FormatError(
            f"Row {start + infinite[0]} of the {what} is infinite or too large; mark missing faces with NaN."
        )
    if missing.any():
        values = np.where(missing[:, None], np.float32(0), values)
        squares[missing] = np.inf
    return Features(values, squares, missing)


def feature_blocks(rows: FeatureRows, what: str) -> Iterator[tuple[int, Features]]:
    """(first row, BLOCK rows) after one another."""
    for start in range(0, rows.shape[0], BLOCK):
        yield start, checked_features(rows[start : start + BLOCK], what, start)


@dataclass(frozen=True)
class MateScores:
    """Scores of each probe's mates: probe i's are the ascending scores[starts[i]:starts[i + 1]]."""

    scores: Floats
    starts: Ints


class ScoreBlock(Protocol):
    """Scores of all n probes against b distractors, valid until the next block is loaded."""

    def columns(self, chosen: Ints) -> ScoreBlock:
        """The block of some of its distractors."""

    def count_beaten(self, mates: MateScores, counter: Any) -> None:
        """Add to an engine's counter, for every mate, the scores of its probe that are strictly above it."""

    def keep_nearest(self, first: int, nearest: Floats, index: Ints) -> None:
        """Merge each row's greatest scores into the descending (n, NEAREST) lists; column 0 is number `first`."""

    def above(self, threshold: float) -> tuple[Floats, NDArray[np.int32]]:
        """(scores, probes) of all scores strictly above `threshold`."""

    def scores(self, rows: int | None = None) -> Floats:
        """(rows, b) scores of the first rows, or of all."""


class Engine(Protocol):
    """An engine multiplies the probes that it was made with."""

    def load(self, others: Features) -> ScoreBlock:
        """The block of these distractors."""

    def counter(self, mates: MateScores) -> Any:
        """Zeros for `count_beaten` to add to."""

    def counts(self, counter: Any, mates: MateScores) -> Ints:
        """The counts, in the order of mates.scores."""


@dataclass(frozen=True)
class MatePairs:
    """All ordered pairs of one identity: by identity in sorted order, then probe, then mate.

    Attributes:
        identity: (n,) number of each probe's identity, in sorted order of their names.
        probe, mate: (p,) rows of the probes.
        scores: (p,) of the pairs.
    """

    identity: Ints
    probe: Ints
    mate: Ints
    scores: Floats

    @cached_property
    def by_probe(self) -> tuple[Ints, MateScores]:
        """The order that sorts the pairs by probe and score, and the mates in that order."""
        order = np.lexsort((self.scores, self.probe))
        starts = np.searchsorted(self.probe[order], np.arange(len(self.identity) + 1))
        return order, MateScores(self.scores[order], starts.astype(np.int64))

    @cached_property
    def positives(self) -> Ints:
        """Unordered pairs, the probe earlier in the list than its mate, by ascending score."""
        chosen = np.flatnonzero(self.probe < self.mate)
        return chosen[np.argsort(self.scores[chosen], kind="stable")]


def pair_mates(engine: Engine, ready: Features, names: NDArray[np.generic]) -> MatePairs:
    """Pair the probes by name; FormatError where no identity has two."""
    identity = np.unique(names, return_inverse=True)[1].ravel()
    by_identity = np.argsort(identity, kind="stable")
    groups = np.split(by_identity, np.flatnonzero(np.diff(identity[by_identity])) + 1)
    grid = np.concatenate([np.reshape(np.meshgrid(group, group, indexing="ij"), (2, -1)) for group in groups], axis=1)
    probe, mate = grid[:, grid[0] != grid[1]]
    if not len(probe):
        raise FormatError("No identity has two probes, so there is no mate to find.")
    scores = np.empty(len(probe), dtype=np.float32)
    for start, block in score_blocks(engine, np.where(ready.missing[:, None], np.nan, ready.rows), "probes"):
        here = np.flatnonzero((mate >= start) & (mate < start + block.shape[1]))
        scores[here] = block[probe[here], mate[here] - start]
    return MatePairs(identity, probe, mate, scores)


def score_blocks(engine: Engine, others: FeatureRows, what: str) -> Iterator[tuple[int, Floats]]:
    """(first column, (n, b) scores) of the engine's probes against `others`, block after block."""
    for start, block in feature_blocks(others, what):
        yield start, engine.load(block).scores()


class HighestScores:
    """The `size` greatest of all scores shown to it, and the probe each belongs to, under a running threshold."""

    def __init__(self, size: int) -> None:
        """Hold `size` scores, and up to twice as many between two clearances."""
        self.size, self.threshold = size, -np.inf
        self._scores, self._probes = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)

    def add(self, scores: Floats, probes: NDArray[np.int32]) -> None:
        """Show it scores above the threshold."""
        self._scores, self._probes = np.append(self._scores, scores), np.append(self._probes, probes)
        if len(self._scores) > 2 * self.size:
            kept = np.argpartition(self._scores, len(self._scores) - self.size)[len(self._scores) - self.size :]
            self._scores, self._probes = self._scores[kept], self._probes[kept]
            self.threshold = float(self._scores.min())

    def descending(self) -> tuple[Floats, NDArray[np.int32]]:
        """(scores, probes), up to `size`, greatest score first; minus infinity is never `add`ed."""
        order = np.argsort(-self._scores, kind="stable")[: self.size]
        return self._scores[order], self._probes[order]


class CountsAbove:
    """For each of some scores, how many of the scores shown are strictly greater."""

    def __init__(self, marks: Floats) -> None:
        """Count for each of the (p,) `marks`."""
        self._marks, self._counts = marks, np.zeros(len(marks), dtype=np.int64)
        self._waiting = np.empty(0, dtype=np.float32)

    def add(self, scores: Floats) -> None:
        """Show it scores of any shape; many are sorted at once."""
        self._waiting = np.append(self._waiting, scores)
        if len(self._waiting) >= _BATCH:
            self.counts()

    def counts(self) -> Ints:
        """(p,) counts, in the order of the marks."""
        ordered = np.sort(self._waiting)
        self._counts += len(ordered) - np.searchsorted(ordered, self._marks, side="right")
        self._waiting = ordered[:0]
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
