"""Counting pairs below thresholds, by sorting once instead of looping over thresholds.

Every function works on distances: smaller is more alike, and a pair is accepted as the same person
when its distance is strictly below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64] | Floats


@dataclass(frozen=True)
class Accepted:
    """Pairs accepted at each of t thresholds, for one weighing of the pairs or, a row each, for many.

    Attributes:
        same: (..., t) same-person pairs below the threshold (right).
        different: (..., t) different-person pairs below the threshold (wrong).
        positives: how many same-person pairs there are in all; (..., 1) where there are rows.
        negatives: how many different-person pairs there are in all.
    """

    same: Counts
    different: Counts
    positives: int | Floats
    negatives: int | Floats

    def __sub__(self, other: Accepted) -> Accepted:
        """Of the pairs that are not among the `other` ones."""
        return Accepted(
            self.same - other.same,
            self.different - other.different,
            self.positives - other.positives,
            self.negatives - other.negatives,
        )

    @property
    def tpr(self) -> Floats:
        """(..., t) share of the same-person pairs accepted; NaN where there are none."""
        return share_at_most(self.same, self.positives)

    @property
    def fpr(self) -> Floats:
        """(..., t) share of the different-person pairs accepted; NaN where there are none."""
        return share_at_most(self.different, self.negatives)

    @property
    def accuracy(self) -> Floats:
        """(..., t) share of all pairs that are judged rightly; NaN where there are none."""
        return share_at_most(self.same + (self.negatives - self.different), self.positives + self.negatives)


def share_at_most(part: Counts, whole: ArrayLike) -> Floats:
    """part / whole, broadcast; NaN where the whole is nothing."""
    found = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=np.broadcast_to(np.asarray(whole) > 0, part.shape))
    return found


def accepted(distances: Floats, same: Bools, thresholds: ArrayLike) -> Accepted:
    """Count the pairs with distance < threshold, for (n,) pairs and (t,) thresholds."""
    thresholds = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    positives, negatives = np.sort(distances[same]), np.sort(distances[~same])
    return Accepted(
        np.searchsorted(positives, thresholds, side="left").astype(np.int64),
        np.searchsorted(negatives, thresholds, side="left").astype(np.int64),
        len(positives),
        len(negatives),
    )


def roc(distances: Floats, same: Bools) -> tuple[Floats, Floats, Floats]:
    """The exact ROC: (fpr, tpr, thresholds), one point a distinct distance, from (0, 0) to (1, 1)."""
    thresholds = np.append(np.unique(distances), np.inf)
    counts = accepted(distances, same, thresholds)
    return counts.fpr, counts.tpr, thresholds


def auc(fpr: Floats, tpr: Floats) -> float:
    """Area under the ROC by trapezoids: the chance that a same pair beats a different one, ties half."""
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def eer(fpr: Floats, tpr: Floats) -> float:
    """Equal error rate: where the straight lines between ROC points cross false accepts = false rejects."""
    gap = fpr + tpr - 1  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    step = gap[after] - gap[before]
    share = -gap[before] / step if step > 0 else 0.0
    return float(fpr[before] + share * (fpr[after] - fpr[before]))
