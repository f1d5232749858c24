"""What a protocol finds when pairs count as often as a bootstrap drew them.

Every trial is judged as the pairs themselves are: the folds stay, and each fold's thresholds, for accuracy and
for a false accept rate, are chosen anew on the other folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.verification.counting import Accepted, Bools, Floats, auc, eer, share_at_most
from facerec.evaluation.verification.protocols import Protocol, interpolate

Ints = NDArray[np.int64]


def rocs(distances: Floats, same: Bools, weights: Floats) -> Iterator[tuple[Floats, Floats]]:
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


class WeightedPairs:
    """The pairs of one run, sorted once for all trials."""

    def __init__(
        self, distances: Floats, same: Bools, folds: Ints, rules: Protocol, fars: Sequence[float] = ()
    ) -> None:
        """Take (n,) distances, truths and folds of the pairs, and the false accept rates to find TAR at."""
        self._distances, self._same, self._rules = distances, same, rules
        self._fars = list(fars)
        self._all = _Part.of(distances, same, np.ones(len(same), dtype=bool))
        self._grid = rules.far_thresholds[_steps(self._all.different.below(rules.far_thresholds))]
        self._far_places = self._all.different.below(self._grid)
        self._folds = [self._fold(folds == fold) for fold in np.unique(folds)]

    def figures(self, weights: Floats) -> Floats:
        """(trials, 1 + fars + 2) accuracy, TARs, AUC and EER where pair i counts weights[:, i] times.

        NaN in a trial that drew none of the same or none of the different pairs.
        """
        sums = self._all.sums(weights)
        false_accepts = np.take(sums.different, self._far_places, axis=1)
        folds = _mean([self._judge(fold, weights, sums, false_accepts) for fold in self._folds])
        pooled = [(auc(*curve), eer(*curve)) for curve in rocs(self._distances, self._same, weights)]
        found = np.hstack([folds, np.array(pooled)])
        found[(sums.same[:, -1] == 0) | (sums.different[:, -1] == 0)] = np.nan
        return found

    def _fold(self, test: Bools) -> _Fold:
        own = _Part.of(self._distances, self._same, test)
        candidates = self._rules.thresholds(self._distances[~test])
        same, different = self._all.below(candidates)
        starts = np.append(0, np.flatnonzero((np.diff(same) != 0) | (np.diff(different) != 0)) + 1)
        return _Fold(
            own=own,
            candidates=candidates,
            repeats=np.diff(np.append(starts, len(candidates))),
            places=(same[starts], different[starts]),
            own_places=own.below(candidates[starts]),
            far_places=own.different.below(self._grid),
        )

    def _judge(self, fold: _Fold, weights: Floats, sums: _Sums, false_accepts: Floats) -> Floats:
        """(trials, 1 + fars) accuracy and TARs of one fold; NaN where no pair that they need was drawn."""
        own = fold.own.sums(weights)
        train = sums.at(*fold.places) - own.at(*fold.own_places)
        thresholds = self._best(fold, self._rules.goodness(train))
        accuracy = own.at_own(*fold.own.below(thresholds)).accuracy
        accuracy[np.isnan(thresholds)] = np.nan
        trained = share_at_most(
            false_accepts - np.take(own.different, fold.far_places, axis=1), train.negatives
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
    """(trials, m + 1) running sums of the weights of the same and the different pairs, by ascending distance."""

    same: Floats
    different: Floats

    def at(self, same: Ints, different: Ints) -> Accepted:
        """Accepted in each trial when the `same` and `different` (t,) first pairs are."""
        return Accepted(
            np.take(self.same, same, axis=1),  # several times as fast as an index
            np.take(self.different, different, axis=1),
            self.same[:, -1:],
            self.different[:, -1:],
        )

    def at_own(self, same: Ints, different: Ints) -> Accepted:
        """The same for (trials,) numbers of pairs, each trial's own."""
        trials = np.arange(len(self.same))
        return Accepted(
            self.same[trials, same][:, None],
            self.different[trials, different][:, None],
            self.same[:, -1:],
            self.different[:, -1:],
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

    same: _Kind
    different: _Kind

    @classmethod
    def of(cls, distances: Floats, same: Bools, inside: Bools) -> _Part:
        return cls(_Kind.of(distances, inside & same), _Kind.of(distances, inside & ~same))

    def below(self, thresholds: Floats) -> tuple[Ints, Ints]:
        return self.same.below(thresholds), self.different.below(thresholds)

    def sums(self, weights: Floats) -> _Sums:
        return _Sums(self.same.sums(weights), self.different.sums(weights))


@dataclass(frozen=True)
class _Fold:
    """A fold and what may judge it.

    Attributes:
        own: its pairs.
        candidates: (t,) thresholds to choose from.
        repeats: (r,) how many of them, one after another, accept the same pairs.
        places, own_places: (r,) same and different pairs that those accept, of all and of its own.
        far_places: different pairs of its own that are accepted at each threshold for a false accept rate.
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
    return share_at_most(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))
