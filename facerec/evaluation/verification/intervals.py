"""How far the figures of a verification run could be off: percentile intervals by bootstrap over identities.

Where it is unknown who the photos show (a .bin pack names nobody), every pair is its own unit, which takes
pairs as independent and makes the intervals a little too narrow; `Intervals.unit` says which it was. The
folds' accuracy thresholds are kept; thresholds for a false accept rate, which hang on a few pairs, are
found anew in every trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facerec.core import FormatError, ParamsError
from facerec.evaluation.curves import wilson
from facerec.evaluation.statistics.bootstrap import identity_weights, interval, pair_weights
from facerec.evaluation.verification.counting import Bools, Floats, auc, eer
from facerec.evaluation.verification.result import VerificationResult
from facerec.evaluation.verification.weighted_bootstrap import Ints, rocs

_CHUNK = 50  # trials at once: a few megabytes for 6,000 pairs
_BAND = 200
Interval = tuple[float, float]


@dataclass(frozen=True)
class Intervals:
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


def bootstrap(
    result: VerificationResult, first: Sequence[str], second: Sequence[str], trials: int = 1000, seed: int = 1
) -> Intervals:
    """Intervals of `result`, whose pair i shows the people first[i] and second[i], "" where unknown.

    Raises FormatError when the names do not fit the pairs and ParamsError for fewer than two trials. Source:
    the vertex bootstrap of `facerec.evaluation.statistics.bootstrap`.
    """
    if trials < 2:
        raise ParamsError(f"A bootstrap needs at least 2 trials, not {trials}.")
    if not len(first) == len(second) == len(result.same):
        raise FormatError(f"{len(result.same)} pairs need as many names, not {len(first)} and {len(second)}.")
    a, b, unit = people(first, second, result.same)
    draws = identity_weights(int(max(a.max(), b.max())) + 1, trials, seed)
    chunks = [
        _statistics(result, pair_weights(draws[start : start + _CHUNK], a, b))
        for start in range(0, trials, _CHUNK)
    ]
    low, high = interval(np.concatenate(chunks))
    targets = [rate.target for rate in result.rates]
    pairs = [(float(x), float(y)) for x, y in zip(low, high, strict=True)]
    return Intervals(
        unit=unit,
        trials=trials,
        seed=seed,
        accuracy=_at_least_wilson(pairs[0], result),
        auc=pairs[1],
        eer=pairs[2],
        tar=dict(zip(targets, pairs[3 : 3 + len(targets)], strict=True)),
        fpr=_grid(result),
        tpr_low=low[3 + len(targets) :],
        tpr_high=high[3 + len(targets) :],
    )


def people(first: Sequence[str], second: Sequence[str], same: Bools) -> tuple[Ints, Ints, str]:
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


def _statistics(result: VerificationResult, weights: Floats) -> Floats:
    """(trials, 3 + targets + points): accuracy, AUC, EER, TAR at the targets and along the band."""
    at = np.concatenate([[rate.target for rate in result.rates], _grid(result)]) * (1 + 1e-12)
    rows, curves = [], rocs(result.distances, result.same, weights)
    for fold_mean, (fpr, tpr) in zip(_accuracy(result, weights), curves, strict=True):
        reached = tpr[np.searchsorted(fpr, at, side="right") - 1]
        rows.append(np.concatenate([[fold_mean, auc(fpr, tpr), eer(fpr, tpr)], reached]))
    return np.array(rows)


def _accuracy(result: VerificationResult, weights: Floats) -> Floats:
    """(trials,) mean over folds of the weighted share of pairs judged rightly."""
    ends = np.cumsum(np.array(result.fold_sizes, dtype=np.int64))
    starts = ends - np.array(result.fold_sizes, dtype=np.int64)
    thresholds = np.repeat(result.fold_thresholds, result.fold_sizes)
    right = (result.distances < thresholds) == result.same
    good = np.add.reduceat(weights * right, starts, axis=1)
    drawn = np.add.reduceat(weights, starts, axis=1)
    folds = np.divide(good, drawn, out=np.full_like(good, np.nan), where=drawn > 0)
    means: Floats = np.nanmean(folds, axis=1)
    return means


def _grid(result: VerificationResult) -> Floats:
    """False accept rates of the band: even in the logarithm, from one different pair up to all."""
    grid: Floats = np.geomspace(1 / int((~result.same).sum()), 1, _BAND)
    return grid


def _at_least_wilson(interval: Interval, result: VerificationResult) -> Interval:
    """Drawing anew cannot show errors that no pair had: an interval without width is Wilson's."""
    if interval[0] < interval[1]:
        return interval
    low, high = wilson(result.accuracy, len(result.same))
    return float(low), float(high)
