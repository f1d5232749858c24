"""The inner loops over scores, compiled by numba.

A block comes as dot products, still to be made into scores: s = 2 dots[i, d] - probes[i] - others[d], with
the squared lengths subtracted in the devkit's order. Scores are made a row at a time, where they stay in
the fastest cache, and only of rows that matter: most rows of a good model are passed over by their maximum.
Two loops are shaped for the vector units, which gain a factor of four to ten: numba's scalar maximum of a row
does not use them, folding the row in halves does; and counting the scores above each of a row's forty
mates, one mate at a time, is quicker than a bisection per score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from facerec.identification.scores import Floats, Ints

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
def finish(dots: Floats, probes: Floats, others: Floats, out: Floats) -> None:
    """Write all scores of a block to `out`."""
    for i in range(dots.shape[0]):
        score_row(dots[i], probes[i], others, out[i])


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

    Room for every score is asked for and given back: memory that is never written to costs nothing, a second
    reading of the dot products would.
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
