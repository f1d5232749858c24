"""Scores of probes against faces, block by block so that memory stays flat: features, engines, and mates.

The score is the MegaFace devkit's: s(x, y) = 2 x.y - x.x - y.y = -|x - y|^2 in float32; greater is more alike. A row of
NaN is a face that is missing: it scores minus infinity against everything.

An `Engine` multiplies the probes with a block of faces and searches the scores. Two engines give equal results: numba on
the CPU, torch on any torch device. Both take their dot products from torch.mm, whose float32 sums may differ in the last
bit between devices.
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


class FeatureRows(Protocol):
    """A matrix that is read a slice of rows at a time: an array or a memory map."""

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
    if np.isinf(squares).any():
        row = start + int(np.flatnonzero(np.isinf(squares))[0])
        raise FormatError(f"Row {row} of the {what} is infinite or too large; mark missing faces with NaN.")
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
    grids = [_ordered_pairs(group) for group in groups if len(group) > 1]
    if not grids:
        raise FormatError("No identity has two probes, so there is no mate to find.")
    probe, mate = np.concatenate(grids, axis=1)
    scores = np.empty(len(probe), dtype=np.float32)
    for start, block in score_blocks(engine, np.where(ready.missing[:, None], np.nan, ready.rows), "probes"):
        here = np.flatnonzero((mate >= start) & (mate < start + block.shape[1]))
        scores[here] = block[probe[here], mate[here] - start]
    return MatePairs(identity, probe, mate, scores)


def score_blocks(engine: Engine, others: FeatureRows, what: str) -> Iterator[tuple[int, Floats]]:
    """(first column, (n, b) scores) of the engine's probes against `others`, block after block."""
    for start, block in feature_blocks(others, what):
        yield start, engine.load(block).scores()


def _ordered_pairs(group: Ints) -> Ints:
    first, second = np.meshgrid(group, group, indexing="ij")
    return np.stack([first[first != second], second[first != second]])
