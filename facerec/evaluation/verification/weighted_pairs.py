"""A protocol on weighted pairs: its metrics when each pair counts as often as a bootstrap drew it.

The pairs are judged as the protocol says: the folds stay, and the thresholds of each fold, for accuracy and for a false
accept rate, are chosen again on the other folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.verification.distances import Accepted, Bools, Floats, auc, divide_or_nan, eer
from facerec.evaluation.verification.protocols import Protocol, interpolate

Ints = NDArray[np.int64]


class WeightedPairs:
    """The pairs of one run, sorted once for all trials, and the metrics of its protocol when they are weighted."""

    def __init__(
        self, distances: Floats, same: Bools, folds: Ints, rules: Protocol, fars: Sequence[float] = ()
    ) -> None:
        """Take (n,) distances, truths and folds of the pairs, and the false accept rates to find TAR at."""
        self._distances, self._same, self._rules = distances, same, rules
        self._fars = list(fars)
        self._all = _SortedPairs.of(distances, same, np.ones(len(same), dtype=bool))
        impostors = np.append(0, np.cumsum(~self._all.same))[self._all.below(rules.far_thresholds)]
        self._grid = rules.far_thresholds[_steps(impostors)]
        self._far_places = self._all.below(self._grid)
        self._folds = [self._fold(folds == fold) for fold in np.unique(folds)]

    def metrics(self, weights: Floats) -> Floats:
        """(trials, 1 + fars + 2) accuracy, TARs, AUC and EER where pair i counts weights[:, i] times.

        NaN in a trial that drew none of the genuine or none of the impostor pairs.
        """
        sums = self._all.sums(weights)
        false_accepts = np.take(sums.impostor, self._far_places, axis=1)
        folds = _mean([self._judge(fold, weights, sums, false_accepts) for fold in self._folds])
        found = np.hstack([folds, roc_metrics(self._distances, self._same, weights)])
        found[(sums.genuine[:, -1] == 0) | (sums.impostor[:, -1] == 0)] = np.nan
        return found

    def _fold(self, test: Bools) -> _FoldPairs:
        own = _SortedPairs.of(self._distances, self._same, test)
        candidates = self._rules.thresholds(self._distances[~test])
        places = self._all.below(candidates)
        starts = np.append(0, np.flatnonzero(np.diff(places)) + 1)
        return _FoldPairs(
            own=own,
            candidates=candidates,
            repeats=np.diff(np.append(starts, len(candidates))),
            places=places[starts],
            own_places=own.below(candidates[starts]),
            far_places=own.below(self._grid),
        )

    def _judge(self, fold: _FoldPairs, weights: Floats, sums: _Sums, false_accepts: Floats) -> Floats:
        """(trials, 1 + fars) accuracy and TARs of one fold; NaN where no pair that they need was drawn."""
        own = fold.own.sums(weights)
        train = sums.accepted(fold.places) - own.accepted(fold.own_places)
        thresholds = self._best(fold, self._rules.goodness(train))
        accuracy = own.accepted(fold.own.below(thresholds)[:, None]).accuracy
        accuracy[np.isnan(thresholds)] = np.nan
        trained = divide_or_nan(
            false_accepts - np.take(own.impostor, fold.far_places, axis=1), train.negatives
        )
        chosen = np.array([interpolate(self._fars, curve, self._grid) for curve in trained])
        tars = [own.accepted(fold.own.below(column)[:, None]).tpr for column in chosen.T]
        return np.hstack([accuracy, *tars])

    def _best(self, fold: _FoldPairs, goodness: Floats) -> Floats:
        """(trials,) the threshold of each; NaN where nothing was drawn to choose it on."""
        chosen = np.full(len(goodness), np.nan)
        for trial in np.flatnonzero(~np.isnan(goodness).any(axis=1)):
            chosen[trial] = self._rules.best(fold.candidates, np.repeat(goodness[trial], fold.repeats))
        return chosen


@dataclass(frozen=True)
class _Sums:
    """(trials, m + 1) running sums of the weights of the genuine and the impostor pairs, by ascending distance."""

    genuine: Floats
    impostor: Floats

    def accepted(self, places: Ints) -> Accepted:
        """Counts when so many of the closest pairs are accepted: (t,) for all trials, or (trials, 1), each its own."""
        take = np.take if places.ndim == 1 else np.take_along_axis
        return Accepted(
            take(self.genuine, places, axis=1),
            take(self.impostor, places, axis=1),
            self.genuine[:, -1:],
            self.impostor[:, -1:],
        )


@dataclass(frozen=True)
class _SortedPairs:
    """Rows of some pairs by ascending distance, those distances, and whether they are genuine."""

    rows: Ints
    distances: Floats
    same: Bools

    @classmethod
    def of(cls, distances: Floats, same: Bools, inside: Bools) -> _SortedPairs:
        rows = np.flatnonzero(inside)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        return cls(rows, distances[rows], same[rows])

    def below(self, thresholds: Floats) -> Ints:
        """How many of the pairs each threshold accepts."""
        return np.searchsorted(self.distances, thresholds, side="left").astype(np.int64)

    def sums(self, weights: Floats) -> _Sums:
        drawn, zeros = np.take(weights, self.rows, axis=1), np.zeros((len(weights), 1))
        return _Sums(
            *(np.hstack([zeros, np.cumsum(drawn * kind, axis=1)]) for kind in (self.same, ~self.same))
        )


@dataclass(frozen=True)
class _FoldPairs:
    """A fold, and the thresholds that may be chosen for it.

    Attributes:
        own: its pairs.
        candidates: (t,) thresholds to choose from.
        repeats: (r,) how many of them, one after another, accept the same pairs.
        places, own_places: (r,) pairs that those accept, of all and of its own.
        far_places: pairs of its own that are accepted at each threshold for a false accept rate.
    """

    own: _SortedPairs
    candidates: Floats
    repeats: Ints
    places: Ints
    own_places: Ints
    far_places: Ints


def _steps(counts: Ints) -> Ints:
    """Places in ascending `counts` on both sides of a step, and both ends: all that interpolation needs."""
    steps = np.flatnonzero(np.diff(counts))
    return np.unique(np.concatenate([[0], steps, steps + 1, [len(counts) - 1]]))


def _mean(folds: Sequence[Floats]) -> Floats:
    """Mean over the folds that have a value."""
    values = np.array(folds)
    return divide_or_nan(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))


def roc_metrics(distances: Floats, same: Bools, weights: Floats, fprs: Floats | None = None) -> Floats:
    """(trials, 2 + fprs) AUC, EER and TPR at `fprs` of the ROC of all pairs."""
    at = np.empty(0) if fprs is None else fprs
    return np.array(
        [
            [auc(fpr, tpr), eer(fpr, tpr), *tpr[np.searchsorted(fpr, at, side="right") - 1]]
            for fpr, tpr in weighted_rocs(distances, same, weights)
        ]
    )


def weighted_rocs(distances: Floats, same: Bools, weights: Floats) -> Iterator[tuple[Floats, Floats]]:
    """(fpr, tpr) of each trial, from (0, 0) to (1, 1), a point a distinct distance.

    Args:
        distances, same: (n,) of the pairs.
        weights: (trials, n) how often each pair counts.
    """
    order = np.argsort(distances, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(distances[order])), len(order) - 1)
    drawn, truth = np.take(weights, order, axis=1), same[order]
    accepted = [np.cumsum(drawn * kind, axis=1)[:, ends] for kind in (~truth, truth)]
    origin = np.zeros((len(weights), 1))
    fpr, tpr = (np.hstack([origin, sums / np.maximum(sums[:, -1:], 1e-300)]) for sums in accepted)
    yield from zip(fpr, tpr, strict=True)
