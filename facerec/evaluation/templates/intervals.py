"""Intervals of template rates by the bootstrap over subjects: people are drawn, not pairs, which share people a lot.

In every trial a pair of one person counts as often as the person was drawn, a pair of two people w_a w_b times (see
`facerec.evaluation.statistics.bootstrap`), and the threshold is found again. Nothing is approximated: one compiled loop
walks down the sorted impostor scores until the rate is reached. All counts are whole, so results are the same on every
machine, for any number of threads. A thousand trials over 15.7 million pairs take about a minute.

For a search, the people of the probes are drawn; the gallery stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import map_in_threads
from facerec.evaluation.statistics import bootstrap
from facerec.evaluation.templates.galleries import GallerySearch

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Draws = NDArray[np.int32]

_TRIALS = 20  # that one thread computes at a time


@dataclass(frozen=True)
class SubjectScores:
    """Scores with the numbers of the subjects they belong to, all by ascending score.

    Attributes:
        genuine: with `subject`.
        impostor: with `first` and `second`, which are equal where a score belongs to one subject only.
    """

    genuine: NDArray[np.floating]
    subject: NDArray[np.int32]
    impostor: NDArray[np.floating]
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        same: NDArray[np.bool_],
        first: ArrayLike,
        second: ArrayLike,
        subjects: ArrayLike,
    ) -> SubjectScores:
        """Sort (n,) scores of pairs of the rows `first` and `second`, which show subjects[first] and subjects[second]."""
        left, right, who = np.asarray(first), np.asarray(second), np.asarray(subjects, dtype=np.int32)
        genuine, impostor = (np.flatnonzero(kind).astype(np.int32) for kind in (same, ~same))
        genuine = genuine[np.argsort(scores[genuine], kind="stable")]
        impostor = impostor[np.argsort(scores[impostor])]
        return cls(scores[genuine], who[left[genuine]], scores[impostor], who[left[impostor]], who[right[impostor]])


def draw_subjects(count: int, trials: int, seed: int) -> Draws:
    """(trials, count) how often each subject is drawn."""
    return bootstrap.identity_weights(count, trials, seed).astype(np.int32)


def tar_intervals(scores: SubjectScores, trials: int, seed: int, fars: Sequence[float]) -> tuple[Doubles, Doubles]:
    """(low, high) of 95 % intervals of the true accept rates at `fars`."""
    subjects = 1 + max(int(each.max(initial=0)) for each in (scores.subject, scores.first, scores.second))
    return bootstrap.percentile_interval(tar_trials(scores, draw_subjects(subjects, trials, seed), fars))


def search_intervals(
    searches: Sequence[GallerySearch],
    people: ArrayLike,
    trials: int,
    seed: int,
    ranks: Sequence[int],
    fpirs: Sequence[float],
) -> tuple[Doubles, Doubles]:
    """(low, high) of 95 % intervals of the means of `search_trials`; probe i shows people[i], any number."""
    numbers, subjects = np.unique(people, return_inverse=True)
    draws = draw_subjects(len(numbers), trials, seed)
    return bootstrap.percentile_interval(search_trials(searches, subjects, draws, ranks, fpirs))


def tar_trials(scores: SubjectScores, draws: Draws, fars: Sequence[float]) -> Doubles:
    """(trials, fars) true accept rates "at or below" each rate; NaN where a trial drew no genuine score."""
    order = np.argsort(fars)
    work = partial(_some_trials, scores, np.asarray(fars, dtype=np.float64)[order])
    parts = [draws[start : start + _TRIALS] for start in range(0, len(draws), _TRIALS)]
    found = np.concatenate(list(map_in_threads(work, parts)))
    return np.asarray(found[:, np.argsort(order)])


def search_trials(
    searches: Sequence[GallerySearch], people: ArrayLike, draws: Draws, ranks: Sequence[int], fpirs: Sequence[float]
) -> Doubles:
    """(trials, ranks + fpirs) means over galleries of rank-k and TPIR, when probe i is of subject people[i]."""
    subjects = np.asarray(people, dtype=np.int32)
    found = []
    for each in searches:
        mates, others = np.flatnonzero(each.mated), np.flatnonzero(~each.mated)
        mates, others = mates[np.argsort(each.mate[mates])], others[np.argsort(each.stranger[others])]
        own, foreign = subjects[mates], subjects[others]
        hits = np.zeros((draws.shape[1], len(ranks)))
        np.add.at(hits, own, each.rank[mates][:, None] <= np.asarray(ranks))
        shares = bootstrap.weighted_shares(draws, hits, np.bincount(own, minlength=draws.shape[1]))
        scores = SubjectScores(each.mate[mates], own, each.stranger[others], foreign, foreign)
        found.append(np.hstack([shares, tar_trials(scores, draws, fpirs)]))
    return np.asarray(np.mean(found, axis=0))


def join_subjects(templates: int, first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.int32]:
    """(templates,) subjects as genuine pairs join them: pair i says that first[i] and second[i] show one person."""
    parent = list(range(templates))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        parent[max(root(one), root(other))] = min(root(one), root(other))
    roots = [root(row) for row in range(templates)]
    return np.unique(roots, return_inverse=True)[1].astype(np.int32)


def _some_trials(scores: SubjectScores, fars: Doubles, draws: Draws) -> Doubles:
    rates = np.empty((len(draws), len(fars)))
    totals = np.zeros(len(draws), dtype=np.int64)
    add_weights(draws, scores.first, scores.second, totals)
    pairs: tuple[Any, ...] = (scores.genuine, scores.subject, scores.impostor, scores.first, scores.second)
    weighted_rates(draws, *pairs, totals[:, None] * fars * (1 + 1e-12), rates)
    return rates


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add_weights(draws: Draws, first: NDArray[np.int32], second: NDArray[np.int32], totals: Ints) -> None:
    """Add the weights of all pairs to the total of each trial."""
    for start in range(0, len(first), 8192):  # pairs that stay in the cache
        end = min(start + 8192, len(first))
        for trial in range(len(draws)):
            drawn, total = draws[trial], 0
            for pair in range(start, end):
                one, other = first[pair], second[pair]
                total += drawn[one] * (1 if one == other else drawn[other])
            totals[trial] += total


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def weighted_rates(
    draws: Draws,
    genuine: Doubles,
    subject: NDArray[np.int32],
    impostor: Doubles,
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    allowed: Doubles,
    rates: Doubles,
) -> None:
    """Fill `rates` (trials, r): share of the genuine weight above the first impostors that weigh more than `allowed`.

    `allowed` (trials, r) ascends within a trial. Impostors of one score come all or not at all.
    """
    for trial in range(len(draws)):
        drawn = draws[trial]
        whole = 0
        for each in subject:
            whole += drawn[each]
        accepted, hit, place, mate, rate = 0, 0, len(impostor) - 1, len(genuine) - 1, 0
        while rate < rates.shape[1]:
            bound, group = -np.inf, 0
            if place >= 0:
                bound = impostor[place]
            while place >= 0 and impostor[place] == bound:
                one, other = first[place], second[place]
                group += drawn[one] * (1 if one == other else drawn[other])
                place -= 1
            end = place < 0 and group == 0
            if accepted + group > allowed[trial, rate] or end:
                limit = -np.inf if end else bound
                while mate >= 0 and genuine[mate] > limit:
                    hit += drawn[subject[mate]]
                    mate -= 1
            while rate < rates.shape[1] and (accepted + group > allowed[trial, rate] or end):
                rates[trial, rate] = hit / whole if whole > 0 else np.nan
                rate += 1
            accepted += group
