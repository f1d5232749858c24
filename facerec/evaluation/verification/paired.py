"""Paired comparison of two verification runs: what differs, and whether by more than chance.

Both runs are judged in the same trials of the bootstrap over identities, so that what is hard for both cancels. In every
trial the pairs are judged as the protocol says: the folds stay, and the thresholds of each fold, for accuracy and for a
false accept rate, are chosen again on the other folds (`intervals` says why). The protocol concat-mean measures the
training pairs of a fold by the mean of that fold, which no run keeps, so trials use the distance of each pair as its own
fold measured it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facerec.core import FormatError, rate_name
from facerec.evaluation.statistics.bootstrap import pair_changes
from facerec.evaluation.statistics.significance import DEFAULT_TRIALS, RunComparison, Trials, summarise_difference
from facerec.evaluation.verification.intervals import Ints, RocOrder, number_identities, roc_metrics
from facerec.evaluation.verification.protocols import (
    PROTOCOLS,
    Accepted,
    Bools,
    Floats,
    Protocol,
    divide_or_nan,
    interpolate,
)


@dataclass(frozen=True)
class VerificationRun:
    """One run on n pairs.

    Attributes:
        distances: (n,) distance of each pair, as measured in its own fold.
        folds: (n,) number of each pair's fold.
        metrics: metrics by name, "accuracy", "auc", "eer" and TAR by "tar@1e-3", as the run published them.
    """

    distances: Floats
    folds: Ints
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class ComparedPairs:
    """The n pairs that both runs judged: whether each is genuine, and the identities of its photos, "" where unknown."""

    same: Bools
    first: Sequence[str]
    second: Sequence[str]


def compare_verification(
    first: VerificationRun,
    second: VerificationRun,
    pairs: ComparedPairs,
    protocol: str,
    fars: Sequence[float] = (),
    trials: Trials = DEFAULT_TRIALS,
) -> RunComparison:
    """Compare two runs that one protocol judged, by accuracy, TAR at `fars`, AUC and EER.

    The metrics are those the runs published; the trials say how far their difference may be off. Raises FormatError when
    the runs do not fit the pairs.
    """
    count = len(pairs.same)
    if any(len(each) != count for run in (first, second) for each in (run.distances, run.folds)):
        raise FormatError(f"both runs must have judged the same {count} pairs.")
    left, right, unit = number_identities(pairs.first, pairs.second, pairs.same)
    rules = PROTOCOLS[protocol]
    here, there = (WeightedPairs(run.distances, pairs.same, run.folds, rules, fars) for run in (first, second))
    changes = pair_changes(
        lambda weights: there.metrics(weights) - here.metrics(weights), left, right, trials.count, trials.seed
    )
    metrics = {}
    for name, change in zip(
        ("accuracy", *(f"tar@{rate_name(far)}" for far in fars), "auc", "eer"), changes.T, strict=True
    ):
        a, b = first.metrics[name], second.metrics[name]
        metrics[name] = summarise_difference(a, b, b - a + change, trials.level)
    return RunComparison(
        headline="accuracy",
        metrics=metrics,
        pairs=count,
        unit=unit,
        units=len(np.unique([left, right])),
        equal=all(np.array_equal(a, b) for a, b in ((first.distances, second.distances), (first.folds, second.folds))),
    )


class WeightedPairs:
    """The pairs of one run, sorted once for all trials, and the metrics of its protocol when they are weighted."""

    def __init__(self, distances: Floats, same: Bools, folds: Ints, rules: Protocol, fars: Sequence[float]) -> None:
        """Take (n,) distances, truths and folds of the pairs, and the false accept rates to find TAR at."""
        self._distances, self._same, self._rules, self._fars = distances, same, rules, fars
        self._curve = RocOrder.of(distances, same)
        self._all = _SortedPairs.of(distances, same, np.ones(len(same), dtype=bool))
        impostors = np.append(0, np.cumsum(~self._all.same))[self._all.below(rules.far_thresholds)]
        steps = np.flatnonzero(np.diff(impostors))  # interpolation needs both sides of each step, and both ends
        self._grid = rules.far_thresholds[np.unique([0, *steps, *(steps + 1), len(impostors) - 1])]
        self._far_places = self._all.below(self._grid)
        self._folds = [self._fold(folds == fold) for fold in np.unique(folds)]

    def metrics(self, weights: Floats) -> Floats:
        """(trials, 1 + fars + 2) accuracy, TARs, AUC and EER where pair i counts weights[:, i] times.

        NaN in a trial that drew none of the genuine or none of the impostor pairs.
        """
        sums = self._all.sums(weights)
        false_accepts = np.take(sums.impostor, self._far_places, axis=1)
        folds = np.array([self._judge(fold, weights, sums, false_accepts) for fold in self._folds])
        mean = divide_or_nan(np.nansum(folds, axis=0), (~np.isnan(folds)).sum(axis=0))
        found = np.hstack([mean, roc_metrics(self._curve, weights)])
        found[(sums.genuine[:, -1] == 0) | (sums.impostor[:, -1] == 0)] = np.nan
        return found

    def _fold(self, test: Bools) -> _FoldPairs:
        own = _SortedPairs.of(self._distances, self._same, test)
        candidates = self._rules.thresholds(self._distances[~test])
        places = self._all.below(candidates)
        starts = np.append(0, np.flatnonzero(np.diff(places)) + 1)
        repeats, steps = np.diff(np.append(starts, len(candidates))), candidates[starts]
        return _FoldPairs(own, candidates, repeats, places[starts], own.below(steps), own.below(self._grid))

    def _judge(self, fold: _FoldPairs, weights: Floats, sums: _Sums, false_accepts: Floats) -> Floats:
        """(trials, 1 + fars) accuracy and TARs of one fold; NaN where no pair that they need was drawn."""
        own = fold.own.sums(weights)
        train = sums.accepted(fold.places) - own.accepted(fold.own_places)
        thresholds = self._best(fold, self._rules.goodness(train))
        accuracy = own.accepted(fold.own.below(thresholds)[:, None]).accuracy
        accuracy[np.isnan(thresholds)] = np.nan
        trained = divide_or_nan(false_accepts - np.take(own.impostor, fold.far_places, axis=1), train.negatives)
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
        genuine, impostor = (take(each, places, axis=1) for each in (self.genuine, self.impostor))
        return Accepted(genuine, impostor, self.genuine[:, -1:], self.impostor[:, -1:])


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
        return _Sums(*(np.hstack([zeros, np.cumsum(drawn * kind, axis=1)]) for kind in (self.same, ~self.same)))


@dataclass(frozen=True)
class _FoldPairs:
    """The pairs of a fold, and the thresholds that may be chosen for it."""

    own: _SortedPairs
    candidates: Floats  # (t,) thresholds to choose from
    repeats: Ints  # (r,) how many of them, one after another, accept the same pairs
    places: Ints  # (r,) pairs that those accept, of all
    own_places: Ints  # (r,) and of the fold's own
    far_places: Ints  # its own pairs that are accepted at each threshold for a false accept rate
