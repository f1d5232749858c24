"""How far the metrics of a verification run could be off, and whether two runs differ: the bootstrap over identities.

In every trial people are drawn and each pair counts as often as its people were (`statistics.bootstrap`). Two runs are
compared in the same trials, so that what is hard for both cancels.

Intervals of one run keep the thresholds of its folds for accuracy. Comparisons choose thresholds again in every trial,
as the protocol does. This is the one difference, and it is measured: choosing them again makes the intervals of one run
20 % wider than the binomial's where pairs are independent; keeping them would tell equally good runs of 180 pairs apart
in 11 % of cases where it should be 5 %, since the luck of the thresholds is a large part of a paired difference.

Where it is unknown who the photos show (a .bin pack names nobody), pairs are drawn instead of people. That takes them as
independent and makes the intervals a little too narrow; `unit` says which it was. The protocol concat-mean measures the
training pairs of a fold by the mean of that fold, which no run keeps, so trials use the distance of each pair as its own
fold measured it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ParamsError
from facerec.evaluation.curves import rate_name, wilson
from facerec.evaluation.statistics.bootstrap import pair_changes, pair_trials, percentile_interval
from facerec.evaluation.statistics.significance import (
    DEFAULT_TRIALS,
    RunComparison,
    Trials,
    summarise_difference,
)
from facerec.evaluation.verification.cross_validation import VerificationResult
from facerec.evaluation.verification.distances import Accepted, Bools, Floats, auc, divide_or_nan, eer
from facerec.evaluation.verification.protocols import PROTOCOLS, Protocol, interpolate

Ints = NDArray[np.int64]
Interval = tuple[float, float]
_BAND = 200


@dataclass(frozen=True)
class VerificationIntervals:
    """95 % intervals (low, high) of one run.

    Attributes:
        unit: what was drawn, "identities" or "pairs".
        trials, seed: of the bootstrap.
        accuracy: of the mean over folds.
        tar: of the true accept rate on the pooled ROC, by target false accept rate.
        auc, eer: of the pooled ROC.
        fpr, tpr_low, tpr_high: (k,) the band of the ROC at k false accept rates.
    """

    unit: str
    trials: int
    seed: int
    accuracy: Interval
    tar: dict[float, Interval]
    auc: Interval
    eer: Interval
    fpr: Floats
    tpr_low: Floats
    tpr_high: Floats

    def roc(self, fprs: ArrayLike) -> tuple[Floats, Floats]:
        """(low, high) of the band at each of `fprs`: at the next lower rate of the band, the first one at least."""
        wanted = np.asarray(fprs, dtype=np.float64) * (1 + 1e-12)
        at = np.clip(np.searchsorted(self.fpr, wanted, side="right") - 1, 0, None)
        return self.tpr_low[at], self.tpr_high[at]


def bootstrap_intervals(
    result: VerificationResult, first: Sequence[str], second: Sequence[str], trials: int = 1000, seed: int = 1
) -> VerificationIntervals:
    """Intervals of `result`, whose pair i shows the people first[i] and second[i], "" where unknown.

    Raises:
        FormatError: when the names do not fit the pairs.
        ParamsError: for fewer than two trials.
    """
    if trials < 2:
        raise ParamsError(f"A bootstrap needs at least 2 trials, not {trials}.")
    if not len(first) == len(second) == len(result.same):
        raise FormatError(f"{len(result.same)} pairs need as many names, not {len(first)} and {len(second)}.")
    left, right, unit = number_identities(first, second, result.same)
    band = np.geomspace(1 / int((~result.same).sum()), 1, _BAND)  # from one impostor pair up to all
    fars = [rate.target for rate in result.rates]
    at = np.concatenate([fars, band]) * (1 + 1e-12)
    drawn = pair_trials(lambda weights: _pooled_metrics(result, weights, at), left, right, trials, seed)
    low, high = percentile_interval(drawn)
    accuracy, area, error, *rates = zip(low.tolist(), high.tolist(), strict=True)
    return VerificationIntervals(
        unit=unit,
        trials=trials,
        seed=seed,
        accuracy=_at_least_wilson(accuracy, result),
        tar=dict(zip(fars, rates[: len(fars)], strict=True)),
        auc=area,
        eer=error,
        fpr=band,
        tpr_low=low[3 + len(fars) :],
        tpr_high=high[3 + len(fars) :],
    )


def _pooled_metrics(result: VerificationResult, weights: Floats, fprs: Floats) -> Floats:
    """(trials, 3 + fprs): accuracy at the thresholds of the folds, AUC, EER, and TPR of the pooled ROC at `fprs`."""
    starts = np.cumsum([0, *result.fold_sizes[:-1]])
    right = (result.distances < np.repeat(result.fold_thresholds, result.fold_sizes)) == result.same
    good, drawn = (np.add.reduceat(each, starts, axis=1) for each in (weights * right, weights))
    folds = np.divide(good, drawn, out=np.full_like(good, np.nan), where=drawn > 0)
    return np.column_stack(
        [np.nanmean(folds, axis=1), _roc_metrics(result.distances, result.same, weights, fprs)]
    )


@dataclass(frozen=True)
class VerificationRun:
    """What one run found on n pairs.

    Attributes:
        distances: (n,) of each pair, as measured in its own fold.
        folds: (n,) number of each pair's fold.
        figures: "accuracy", "auc", "eer" and TAR by "tar@1e-3", as the run published them.
    """

    distances: Floats
    folds: Ints
    figures: Mapping[str, float]


@dataclass(frozen=True)
class ComparedPairs:
    """The n pairs that both runs judged: whether each is one person, and who its photos show, "" where unknown."""

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
    here, there = (
        WeightedPairs(run.distances, pairs.same, run.folds, rules, fars) for run in (first, second)
    )
    changes = pair_changes(
        lambda weights: there.metrics(weights) - here.metrics(weights), left, right, trials.count, trials.seed
    )
    names = ("accuracy", *(f"tar@{rate_name(far)}" for far in fars), "auc", "eer")
    figures = {}
    for name, change in zip(names, changes.T, strict=True):
        a, b = first.figures[name], second.figures[name]
        figures[name] = summarise_difference(a, b, b - a + change, trials.level)
    return RunComparison(
        headline="accuracy",
        figures=figures,
        pairs=count,
        unit=unit,
        units=len(np.unique([left, right])),
        equal=all(
            np.array_equal(a, b)
            for a, b in ((first.distances, second.distances), (first.folds, second.folds))
        ),
    )


def number_identities(first: Sequence[str], second: Sequence[str], same: Bools) -> tuple[Ints, Ints, str]:
    """Numbers of the identities on both sides, and the unit: "identities", or "pairs" where nobody is known.

    Names are "" where unknown. In a pair of one person one name is enough; any other pair with an unknown face is a
    unit of its own.
    """
    left, right = np.asarray(first, dtype=object), np.asarray(second, dtype=object)
    left, right = (
        np.where(same & (left == ""), right, left),
        np.where(same & (right == ""), left, right),
    )
    unknown = (left == "") | (right == "") | ((left == right) != same)
    own = [f"\0{pair}" for pair in range(len(same))]  # no name contains a zero byte
    left, right = np.where(unknown, own, left), np.where(unknown, own, right)
    codes = np.unique(np.concatenate([left, right]).astype(str), return_inverse=True)[1].astype(np.int64)
    return codes[: len(same)], codes[len(same) :], "pairs" if unknown.all() else "identities"


def _at_least_wilson(interval: Interval, result: VerificationResult) -> Interval:
    """Drawing anew cannot show errors that no pair had: an interval without width is Wilson's."""
    if interval[0] < interval[1]:
        return interval
    low, high = wilson(result.accuracy, len(result.same))
    return float(low), float(high)


class WeightedPairs:
    """The pairs of one run, sorted once for all trials."""

    def __init__(
        self, distances: Floats, same: Bools, folds: Ints, rules: Protocol, fars: Sequence[float] = ()
    ) -> None:
        """Take (n,) distances, truths and folds of the pairs, and the false accept rates to find TAR at."""
        self._distances, self._same, self._rules = distances, same, rules
        self._fars = list(fars)
        self._all = _Part.of(distances, same, np.ones(len(same), dtype=bool))
        self._grid = rules.far_thresholds[_steps(self._all.impostor.below(rules.far_thresholds))]
        self._far_places = self._all.impostor.below(self._grid)
        self._folds = [self._fold(folds == fold) for fold in np.unique(folds)]

    def metrics(self, weights: Floats) -> Floats:
        """(trials, 1 + fars + 2) accuracy, TARs, AUC and EER where pair i counts weights[:, i] times.

        NaN in a trial that drew none of the genuine or none of the impostor pairs.
        """
        sums = self._all.sums(weights)
        false_accepts = np.take(sums.impostor, self._far_places, axis=1)
        folds = _mean([self._judge(fold, weights, sums, false_accepts) for fold in self._folds])
        found = np.hstack([folds, _roc_metrics(self._distances, self._same, weights)])
        found[(sums.genuine[:, -1] == 0) | (sums.impostor[:, -1] == 0)] = np.nan
        return found

    def _fold(self, test: Bools) -> _Fold:
        own = _Part.of(self._distances, self._same, test)
        candidates = self._rules.thresholds(self._distances[~test])
        genuine, impostor = self._all.below(candidates)
        starts = np.append(0, np.flatnonzero((np.diff(genuine) != 0) | (np.diff(impostor) != 0)) + 1)
        return _Fold(
            own=own,
            candidates=candidates,
            repeats=np.diff(np.append(starts, len(candidates))),
            places=(genuine[starts], impostor[starts]),
            own_places=own.below(candidates[starts]),
            far_places=own.impostor.below(self._grid),
        )

    def _judge(self, fold: _Fold, weights: Floats, sums: _Sums, false_accepts: Floats) -> Floats:
        """(trials, 1 + fars) accuracy and TARs of one fold; NaN where no pair that they need was drawn."""
        own = fold.own.sums(weights)
        train = sums.at(*fold.places) - own.at(*fold.own_places)
        thresholds = self._best(fold, self._rules.goodness(train))
        accuracy = own.at_own(*fold.own.below(thresholds)).accuracy
        accuracy[np.isnan(thresholds)] = np.nan
        trained = divide_or_nan(
            false_accepts - np.take(own.impostor, fold.far_places, axis=1), train.negatives
        )
        chosen = np.array([interpolate(self._fars, curve, self._grid) for curve in trained])
        tars = [own.at_own(*fold.own.below(column)).tpr for column in chosen.T]
        return np.hstack([accuracy, *tars])

    def _best(self, fold: _Fold, goodness: Floats) -> Floats:
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

    def at(self, genuine: Ints, impostor: Ints) -> Accepted:
        """Accepted in each trial when the `genuine` and `impostor` (t,) closest pairs are."""
        return Accepted(
            np.take(self.genuine, genuine, axis=1),  # several times as fast as an index
            np.take(self.impostor, impostor, axis=1),
            self.genuine[:, -1:],
            self.impostor[:, -1:],
        )

    def at_own(self, genuine: Ints, impostor: Ints) -> Accepted:
        """The same for (trials,) numbers of pairs, each trial's own."""
        trials = np.arange(len(self.genuine))
        return Accepted(
            self.genuine[trials, genuine][:, None],
            self.impostor[trials, impostor][:, None],
            self.genuine[:, -1:],
            self.impostor[:, -1:],
        )


@dataclass(frozen=True)
class _Kind:
    """Rows of pairs of one kind by ascending distance, and those distances."""

    rows: Ints
    distances: Floats

    @classmethod
    def of(cls, distances: Floats, inside: Bools) -> _Kind:
        rows = np.flatnonzero(inside)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        return cls(rows, distances[rows])

    def below(self, thresholds: Floats) -> Ints:
        """How many of the pairs each threshold accepts."""
        return np.searchsorted(self.distances, thresholds, side="left").astype(np.int64)

    def sums(self, weights: Floats) -> Floats:
        return np.hstack(
            [np.zeros((len(weights), 1)), np.cumsum(np.take(weights, self.rows, axis=1), axis=1)]
        )


@dataclass(frozen=True)
class _Part:
    """Pairs of both kinds: all, or those of a fold."""

    genuine: _Kind
    impostor: _Kind

    @classmethod
    def of(cls, distances: Floats, same: Bools, inside: Bools) -> _Part:
        return cls(_Kind.of(distances, inside & same), _Kind.of(distances, inside & ~same))

    def below(self, thresholds: Floats) -> tuple[Ints, Ints]:
        return self.genuine.below(thresholds), self.impostor.below(thresholds)

    def sums(self, weights: Floats) -> _Sums:
        return _Sums(self.genuine.sums(weights), self.impostor.sums(weights))


@dataclass(frozen=True)
class _Fold:
    """A fold and what may judge it.

    Attributes:
        own: its pairs.
        candidates: (t,) thresholds to choose from.
        repeats: (r,) how many of them, one after another, accept the same pairs.
        places, own_places: (r,) genuine and impostor pairs that those accept, of all and of its own.
        far_places: impostor pairs of its own that are accepted at each threshold for a false accept rate.
    """

    own: _Part
    candidates: Floats
    repeats: Ints
    places: tuple[Ints, Ints]
    own_places: tuple[Ints, Ints]
    far_places: Ints


def _steps(counts: Ints) -> Ints:
    """Places in ascending `counts` on both sides of a step, and both ends: all that interpolation needs."""
    steps = np.flatnonzero(np.diff(counts))
    return np.unique(np.concatenate([[0], steps, steps + 1, [len(counts) - 1]]))


def _mean(folds: Sequence[Floats]) -> Floats:
    """Mean over the folds that have a value."""
    values = np.array(folds)
    return divide_or_nan(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))


def _roc_metrics(distances: Floats, same: Bools, weights: Floats, fprs: Floats | None = None) -> Floats:
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
