"""The engine for the CPU: loops compiled by numba, which skip rows by their greatest score. GPUs have `torch_engine`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from facerec.core import worker_count
from facerec.evaluation.identification.scoring import Features, Floats, Ints, MateScores

ROWS = 256
"""Probes that a thread takes at a time."""


class NumbaBlock:
    """Dot products, and the squared lengths that turn them into scores; see `scoring.ScoreBlock`."""

    def __init__(self, engine: NumbaEngine, dots: Floats, others: Floats) -> None:
        """Dots (n, b) of the engine's probes and of rows with the squared lengths `others` (b,)."""
        self._engine = engine
        self._block = (dots, engine.squares, others)

    @cached_property
    def _best(self) -> Floats:
        dots, probes, others = self._block
        best = np.empty(len(dots), dtype=np.float32)
        self._engine.by_rows(lambda r: row_maxima(dots[r], probes[r], others, best[r]))
        return best

    def columns(self, chosen: Ints) -> NumbaBlock:
        """See `scoring.ScoreBlock`."""
        dots, _, others = self._block
        return NumbaBlock(self._engine, np.take(dots, chosen, axis=1), others[chosen])

    def count_beaten(self, mates: MateScores, counter: Ints) -> None:
        """See `scoring.ScoreBlock`."""
        (dots, probes, others), best = self._block, self._best

        def count(r: slice) -> None:
            starts = mates.starts[r.start : r.stop + 1]
            count_beaten(dots[r], probes[r], others, best[r], mates.scores, starts, counter)

        self._engine.by_rows(count)

    def keep_nearest(self, first: int, nearest: Floats, index: Ints) -> None:
        """See `scoring.ScoreBlock`."""
        keep_nearest(*self._block, self._best, first, nearest, index)

    def above(self, threshold: float) -> tuple[Floats, NDArray[np.int32]]:
        """See `scoring.ScoreBlock`."""
        found: tuple[Floats, NDArray[np.int32]]
        found = above(*self._block, self._best, np.float32(threshold))
        return found

    def scores(self, rows: int | None = None) -> Floats:
        """See `scoring.ScoreBlock`."""
        dots, probes, others = self._block
        finished = dots[:rows] * np.float32(2)
        finished -= probes[:rows, None]
        finished -= others
        return finished


class NumbaEngine:
    """See `scoring.Engine`; FACEREC_WORKERS threads share the probes."""

    def __init__(self, probes: Features) -> None:
        """Take the probes; all blocks share one buffer of the size of the largest."""
        self.squares = probes.squares
        self._probes = probes.rows
        self._room = np.empty(0, np.float32)
        self._pool = ThreadPoolExecutor(worker_count())

    def load(self, others: Features) -> NumbaBlock:
        """See `scoring.Engine`."""
        n, b = len(self._probes), len(others.rows)
        if len(self._room) < n * b:
            self._room = np.empty(n * b, np.float32)
        dots = self._room[: n * b].reshape(n, b)
        self.by_rows(lambda r: np.matmul(self._probes[r], others.rows.T, out=dots[r]))
        return NumbaBlock(self, dots, others.squares)

    def counter(self, mates: MateScores) -> Ints:
        """See `scoring.Engine`."""
        return np.zeros(len(mates.scores), dtype=np.int64)

    def counts(self, counter: Ints, mates: MateScores) -> Ints:
        """See `scoring.Engine`."""
        return counter

    def by_rows(self, work: Callable[[slice], object]) -> None:
        """Do the work for slices of the probes; they are the same for any number of threads, and so are the sums."""
        slices = [slice(low, low + ROWS) for low in range(0, len(self._probes), ROWS)]
        deque(self._pool.map(work, slices), maxlen=0)


Loop = TypeVar("Loop", bound=Callable[..., object])


def _compiled(loop: Loop) -> Loop:
    compiled: Loop = numba.njit(loop, cache=True, nogil=True)
    return compiled


@_compiled
def score_row(dots: Floats, probe: np.float32, others: Floats, out: Floats) -> None:
    """Write the scores of one row of dot products to `out`."""
    two = np.float32(2)
    for d in range(dots.shape[0]):
        out[d] = two * dots[d] - probe - others[d]


@_compiled
def row_maxima(dots: Floats, probes: Floats, others: Floats, best: Floats) -> None:
    """best[i] = the greatest score of row i."""
    scores = np.empty(dots.shape[1], dtype=np.float32)
    for i in range(dots.shape[0]):
        score_row(dots[i], probes[i], others, scores)
        width = dots.shape[1]
        while width > 1:
            half = (width + 1) // 2
            for d in range(width - half):
                scores[d] = scores[half + d] if scores[half + d] > scores[d] else scores[d]
            width = half
        best[i] = scores[0]


@_compiled
def _count(scores: Floats, threshold: np.float32) -> int:
    count = np.int32(0)  # 32 bits like the scores, so that a vector holds as many of either
    for d in range(scores.shape[0]):
        count = np.int32(count + np.int32(scores[d] > threshold))
    return int(count)


@_compiled
def count_beaten(
    dots: Floats, probes: Floats, others: Floats, best: Floats, mates: Floats, starts: Ints, beaten: Ints
) -> None:
    """Add to beaten[k] how many scores of row i are strictly above its mate k.

    Row i's mates are the ascending mates[starts[i]:starts[i + 1]]; best[i] is not below its greatest score.
    """
    scores = np.empty(dots.shape[1], dtype=np.float32)
    for i in range(dots.shape[0]):
        first, last = starts[i], starts[i + 1]
        if first == last or best[i] <= mates[first]:
            continue
        score_row(dots[i], probes[i], others, scores)
        for k in range(first, last):
            mate = mates[k]
            if best[i] <= mate:
                break
            beaten[k] += _count(scores, mate)


@_compiled
def keep_nearest(
    dots: Floats, probes: Floats, others: Floats, best: Floats, first: int, nearest: Floats, index: Ints
) -> None:
    """Insert row i's scores into its descending `nearest` list; of equal scores the earlier stays ahead."""
    scores = np.empty(dots.shape[1], dtype=np.float32)
    last = nearest.shape[1] - 1
    for i in range(dots.shape[0]):
        if best[i] <= nearest[i, last]:
            continue
        score_row(dots[i], probes[i], others, scores)
        for d in range(scores.shape[0]):
            score = scores[d]
            if score > nearest[i, last]:
                place = last
                while place > 0 and score > nearest[i, place - 1]:
                    nearest[i, place] = nearest[i, place - 1]
                    index[i, place] = index[i, place - 1]
                    place -= 1
                nearest[i, place] = score
                index[i, place] = first + d


@_compiled
def above(
    dots: Floats, probes: Floats, others: Floats, best: Floats, threshold: np.float32
) -> tuple[Floats, NDArray[np.int32]]:
    """(scores, rows) of all that are strictly above `threshold`, row after row.

    Buffers for every score are allocated and cut afterwards: memory that is never written costs nothing, while reading
    the dot products twice would.
    """
    width = dots.shape[1]
    scores = np.empty(width, dtype=np.float32)
    hits = np.zeros((width + 7) // 8 * 8, dtype=np.uint8)
    eights = hits.view(np.uint64)  # most eights of a row hold no hit, and are passed over at once
    found, rows = np.empty(dots.size, dtype=np.float32), np.empty(dots.size, dtype=np.int32)
    used = 0
    for i in range(dots.shape[0]):
        if best[i] <= threshold:
            continue
        score_row(dots[i], probes[i], others, scores)
        for d in range(width):
            hits[d] = scores[d] > threshold
        for eight in range(eights.shape[0]):
            if eights[eight]:
                for d in range(8 * eight, 8 * eight + 8):
                    if hits[d]:
                        found[used], rows[used] = scores[d], i
                        used += 1
    return found[:used].copy(), rows[:used].copy()
