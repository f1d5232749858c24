"""Intervals of a verification result: how far its metrics could be off, by the bootstrap over identities.

In every trial people are drawn and each pair counts as often as its people were (`statistics.bootstrap`).

Intervals of one run keep the thresholds of its folds for accuracy. The comparison of two runs (`paired`) chooses
thresholds again in every trial, as the protocol does. This is the one difference, and it is measured: choosing them
again makes the intervals of one run 20 % wider than the binomial's where pairs are independent; keeping them would tell
equally good runs of 180 pairs apart in 11 % of cases where it should be 5 %, since the luck of the thresholds is a large
part of a paired difference.

Where it is unknown who the photos show (a .bin pack has no names), pairs are drawn instead of people. That takes them as
independent and makes the intervals a little too narrow; `unit` says which it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ParamsError
from facerec.evaluation.curves import wilson
from facerec.evaluation.statistics.bootstrap import pair_trials, percentile_interval
from facerec.evaluation.verification.cross_validation import VerificationResult
from facerec.evaluation.verification.protocols import Bools, Floats, auc, eer

Ints = NDArray[np.int64]
Interval = tuple[float, float]
_BAND = 200
_CONTRADICTING = (
    0.05  # share of pairs; a set of photos has a few wrong names, broken identities contradict half of them
)


@dataclass(frozen=True)
class VerificationIntervals:
    """95 % intervals (low, high) of one run.

    Attributes:
        unit: "identities" or "pairs", whichever were drawn.
        accuracy: of the mean over folds.
        tar: of the true accept rate on the pooled ROC, by target false accept rate.
        auc, eer: of the pooled ROC.
        fpr, tpr_low, tpr_high: (k,) the band of the ROC at k false accept rates.
    """

    unit: str
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
    curve = RocOrder.of(result.distances, result.same)
    drawn = pair_trials(lambda weights: _pooled_metrics(result, curve, weights, at), left, right, trials, seed)
    low, high = percentile_interval(drawn)
    accuracy, area, error, *rates = zip(low.tolist(), high.tolist(), strict=True)
    if accuracy[0] >= accuracy[1]:  # drawing pairs again cannot show errors that none had
        lowest, highest = wilson(result.accuracy, len(result.same))
        accuracy = (float(lowest), float(highest))
    return VerificationIntervals(
        unit=unit,
        accuracy=accuracy,
        tar=dict(zip(fars, rates[: len(fars)], strict=True)),
        auc=area,
        eer=error,
        fpr=band,
        tpr_low=low[3 + len(fars) :],
        tpr_high=high[3 + len(fars) :],
    )


def _pooled_metrics(result: VerificationResult, curve: RocOrder, weights: Floats, fprs: Floats) -> Floats:
    """(trials, 3 + fprs): accuracy at the thresholds of the folds, AUC, EER, and TPR of the pooled ROC at `fprs`."""
    starts = np.cumsum([0, *result.fold_sizes[:-1]])
    right = (result.distances < result.pair_thresholds) == result.same
    good, drawn = (np.add.reduceat(each, starts, axis=1) for each in (weights * right, weights))
    folds = np.divide(good, drawn, out=np.full_like(good, np.nan), where=drawn > 0)
    return np.column_stack([np.nanmean(folds, axis=1), roc_metrics(curve, weights, fprs)])


def number_identities(first: Sequence[str], second: Sequence[str], same: Bools) -> tuple[Ints, Ints, str]:
    """Number the identities on both sides; the unit is "identities", or "pairs" where no identity is known.

    Names are "" where unknown. In a pair of one person one name is enough; any other pair with an unknown face is a
    unit of its own. Where more than 5 % of the pairs contradict their names, no name is believed.
    """
    left, right = np.asarray(first, dtype=object), np.asarray(second, dtype=object)
    left, right = (np.where(same & (left == ""), right, left), np.where(same & (right == ""), left, right))
    unknown = (left == "") | (right == "") | ((left == right) != same)
    unknown |= contradicting_names(first, second, same) > _CONTRADICTING
    own = [f"\0{pair}" for pair in range(len(same))]  # no name contains a zero byte
    left, right = np.where(unknown, own, left), np.where(unknown, own, right)
    codes = np.unique(np.concatenate([left, right]).astype(str), return_inverse=True)[1].astype(np.int64)
    return codes[: len(same)], codes[len(same) :], "pairs" if unknown.all() else "identities"


def contradicting_names(first: Sequence[str], second: Sequence[str], same: Bools) -> float:
    """Share of the pairs whose photos have two names although they are genuine, or one name although they are not.

    >>> contradicting_names(["Ann", "Ann"], ["Ann", "Ann"], np.array([True, False]))
    0.5
    """
    left, right = np.asarray(first, dtype=object), np.asarray(second, dtype=object)
    return float(np.mean((left != "") & (right != "") & ((left == right) != same)))


def people_in_several_folds(first: Sequence[str], second: Sequence[str], folds: Ints) -> int:
    """How many people are shown in more than one fold; "" is no name.

    A threshold is meant to be chosen on other people than it judges. Source: LFW's protocol, whose folds have no people in
    common (Huang et al., "Labeled Faces in the Wild", 2007).

    >>> people_in_several_folds(["Ann", "Bo"], ["Bo", "Cy"], np.array([0, 1]))
    1
    """
    shown = {(person, fold) for names in (first, second) for person, fold in zip(names, folds.tolist(), strict=True)}
    counts = Counter(person for person, _ in shown if person)
    return sum(count > 1 for count in counts.values())


@dataclass(frozen=True)
class RocOrder:
    """n pairs by ascending distance: their (n,) order, where equal distances end, and the (n,) truth in that order."""

    order: Ints
    ends: Ints
    same: Bools

    @classmethod
    def of(cls, distances: Floats, same: Bools) -> RocOrder:
        """The order of (n,) distances."""
        order = np.argsort(distances, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(distances[order])), len(order) - 1)
        return cls(order, ends, same[order])


def roc_metrics(pairs: RocOrder, weights: Floats, fprs: Sequence[float] | Floats = ()) -> Floats:
    """(trials, 2 + fprs) AUC, EER and TPR at `fprs` of n pairs' ROC when pair i counts weights[:, i] times."""
    drawn = np.take(weights, pairs.order, axis=1)
    accepted = [np.cumsum(drawn * kind, axis=1)[:, pairs.ends] for kind in (~pairs.same, pairs.same)]
    origin = np.zeros((len(weights), 1))
    rates = (np.hstack([origin, sums / np.maximum(sums[:, -1:], 1e-300)]) for sums in accepted)
    return np.array(
        [
            [auc(fpr, tpr), eer(fpr, tpr), *tpr[np.searchsorted(fpr, fprs, side="right") - 1]]
            for fpr, tpr in zip(*rates, strict=True)
        ]
    )
