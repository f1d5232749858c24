"""Scores of probes against many distractors, block by block, so that memory does not grow with them.

The score is the MegaFace devkit's: s(x, y) = 2 x.y - x.x - y.y = -|x - y|^2 in float32; greater is more
alike. A row of NaN is a face that could not be enrolled: it scores minus infinity against everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from facerec.errors import FormatError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BLOCK = 1024  # distractors multiplied at once
NEAREST = 5  # distractors remembered for each probe, as in the devkit's `matches`


@dataclass(frozen=True)
class Features:
    """Rows ready to be multiplied: missing ones are zeros of infinite squared length."""

    rows: Floats
    squares: Floats
    missing: NDArray[np.bool_]


def features(rows: NDArray[np.floating], what: str, start: int = 0) -> Features:
    """Float32 copies of `rows` with their squared lengths; FormatError for an infinite value."""
    values = np.array(rows, dtype=np.float32, order="C")
    missing = np.asarray(np.isnan(values).any(axis=1))
    values[missing] = 0
    squares = np.einsum("ij,ij->i", values, values)
    if not np.isfinite(squares).all():
        row = start + int(np.flatnonzero(~np.isfinite(squares))[0])
        raise FormatError(f"Row {row} of the {what} is infinite or too large; mark missing faces with NaN.")
    squares[missing] = np.inf
    return Features(values, squares, missing)


def against(probes: Features, others: NDArray[np.floating], what: str) -> Iterator[tuple[int, Floats]]:
    """Yield (first column, (n, block) scores) of the probes against `others`; the array is reused."""
    buffer = np.empty((len(probes.rows), BLOCK), dtype=np.float32)
    for start in range(0, len(others), BLOCK):
        block = features(others[start : start + BLOCK], what, start)
        scores = buffer[:, : len(block.rows)]
        np.matmul(probes.rows, block.rows.T, out=scores)
        _finish(scores, probes.squares, block.squares)
        yield start, scores


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _finish(scores: Floats, probes: Floats, others: Floats) -> None:
    """Turn dot products into scores, in place and in the devkit's order of operations."""
    two = np.float32(2)
    for i in range(scores.shape[0]):
        for d in range(scores.shape[1]):
            scores[i, d] = two * scores[i, d] - probes[i] - others[d]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _lower_than(values: Floats, low: int, high: int, score: np.float32) -> int:
    """First index in the ascending values[low:high] whose value is not below `score`."""
    while low < high:
        middle = (low + high) // 2
        if values[middle] < score:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def count_beaten(scores: Floats, best: Floats, mates: Floats, starts: Ints, beaten: Ints) -> None:
    """Add to beaten[k] the scores of row i that beat its mates up to k, but not the next better one.

    Row i's mates are the ascending mates[starts[i]:starts[i + 1]]; a score beats a mate that is strictly
    lower. best[i] is the row's greatest score, by which most rows of a good model are passed over.
    """
    for i in range(scores.shape[0]):
        low, high = starts[i], starts[i + 1]
        if low == high or best[i] <= mates[low]:
            continue
        worst = mates[low]
        for d in range(scores.shape[1]):
            if scores[i, d] > worst:
                beaten[_lower_than(mates, low, high, scores[i, d]) - 1] += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def keep_nearest(scores: Floats, best: Floats, first: int, nearest: Floats, index: Ints) -> None:
    """Insert row i's scores into its descending `nearest` list; of equal scores the earlier stays ahead."""
    last = nearest.shape[1] - 1
    for i in range(scores.shape[0]):
        if best[i] <= nearest[i, last]:
            continue
        for d in range(scores.shape[1]):
            score = scores[i, d]
            if score > nearest[i, last]:
                place = last
                while place > 0 and score > nearest[i, place - 1]:
                    nearest[i, place] = nearest[i, place - 1]
                    index[i, place] = index[i, place - 1]
                    place -= 1
                nearest[i, place] = score
                index[i, place] = first + d


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _append_above(scores: Floats, best: Floats, threshold: np.float32, buffer: Floats, used: int) -> int:
    for i in range(scores.shape[0]):
        if best[i] <= threshold:
            continue
        for d in range(scores.shape[1]):
            if scores[i, d] > threshold:
                buffer[used] = scores[i, d]
                used += 1
    return used


class Tail:
    """The exact `size` greatest of all scores shown to it, under a running threshold."""

    def __init__(self, size: int, block: int) -> None:
        """Hold `size` scores; `block` is the most that `add` is given at once."""
        self.size = size
        self._buffer = np.empty(2 * size + block, dtype=np.float32)
        self._used = 0
        self._threshold = np.float32(-np.inf)

    def add(self, scores: Floats, best: Floats) -> None:
        """Show a block of scores, with the greatest of each row."""
        self._used = _append_above(scores, best, self._threshold, self._buffer, self._used)
        if self._used > 2 * self.size:
            self._shrink()

    def _shrink(self) -> None:
        kept = self._buffer[: self._used]
        kept.partition(self._used - self.size)
        self._buffer[: self.size] = kept[self._used - self.size :].copy()
        self._used, self._threshold = self.size, self._buffer[: self.size].min()

    def descending(self) -> Floats:
        """Up to `size` greatest scores, greatest first; scores of minus infinity are left out."""
        if self._used > self.size:
            self._shrink()
        return -np.sort(-self._buffer[: self._used])
