"""True accept rates at low false accept rates, exact over millions of scores, in the two readings in use.

    at or below   the highest true accept rate whose false accept rate is not above the one asked for
    nearest       InsightFace's and CVLface's tables: of the points of scikit-learn's `roc_curve`, the one whose false
                  accept rate is nearest, above or below; of equally near ones that with the lower threshold

They differ where few impostors count: among 15.6 million impostor pairs a rate of 1e-6 is 15.6 pairs, so that the second
may accept 16 and, since `roc_curve` leaves out points on straight lines, even more. Scores are sorted once, genuine and
impostor ones apart, which takes a third of the memory of sorting all with their labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError
from facerec.evaluation.curves import allowed_false_accepts, supports_rate

Scores = NDArray[np.floating]

_WINDOW = 4096  # impostors around the rate asked for that are looked at first


@dataclass(frozen=True)
class Reading:
    """A point of the ROC.

    Attributes:
        tar: share of the genuine scores accepted.
        far: share of the impostor scores accepted.
        threshold: the lowest score accepted; infinite where none is.
    """

    tar: float
    far: float
    threshold: float


@dataclass(frozen=True)
class SortedScores:
    """Ascending genuine and impostor scores; greater is more alike."""

    genuine: Scores
    impostor: Scores

    @classmethod
    def of(cls, scores: ArrayLike, same: ArrayLike) -> SortedScores:
        """Sort (n,) scores of pairs, `same` (n,) bool; FormatError for NaN, shapes that differ and one kind of pairs."""
        values, truth = np.asarray(scores), np.asarray(same)
        if values.ndim != 1 or values.shape != truth.shape or values.dtype.kind != "f" or truth.dtype != bool:
            raise FormatError(
                f"scores {values.dtype} {values.shape} do not fit pairs {truth.dtype} {truth.shape}; needed are a float "
                "and a true or false a pair."
            )
        if np.isnan(values).any():
            raise FormatError(f"the score of pair {np.flatnonzero(np.isnan(values))[0] + 1:,} is NaN.")
        if not truth.any() or truth.all():
            kind = "genuine" if truth.any() else "of different people"
            raise FormatError(f"all {len(truth):,} pairs are {kind}; rates need both kinds.")
        genuine, impostor = values[truth], values[~truth]
        genuine.sort()
        impostor.sort()
        return cls(genuine, impostor)

    def supports(self, far: float) -> bool:
        """Whether there are enough impostors for this rate (`facerec.evaluation.curves.supports_rate`)."""
        return supports_rate(far, len(self.impostor))

    def at_or_below(self, far: float) -> Reading:
        """The reading "at or below"; scores of minus infinity are never accepted.

        >>> SortedScores(np.array([0.2, 0.6, 0.9]), np.array([0.1, 0.3, 0.5, 0.7])).at_or_below(0.25)
        Reading(tar=0.6666666666666666, far=0.25, threshold=0.6)
        """
        count = len(self.impostor)
        allowed = allowed_false_accepts(far, count)
        bound = self.impostor[count - 1 - allowed] if allowed < count else -np.inf
        return self._above(bound)

    def nearest(self, far: float) -> Reading:
        """The reading "nearest"."""
        count, width = len(self.impostor), _WINDOW
        while True:
            middle = count - int(far * count)
            low, high = max(middle - width, 0), min(middle + width, count) - 1
            found = self._kept_points(low, high, far)
            if found is not None:
                return found
            width *= 8

    def _above(self, bound: float) -> Reading:
        """Where all scores strictly above `bound` are accepted."""
        places = [int(np.searchsorted(each, bound, side="right")) for each in (self.genuine, self.impostor)]
        pairs = tuple(zip((self.genuine, self.impostor), places, strict=True))
        tar, far = ((len(each) - place) / len(each) for each, place in pairs)
        lowest = [float(each[place]) for each, place in pairs if place < len(each)]
        return Reading(tar, far, min(lowest, default=float("inf")))

    def _kept_points(self, low: int, high: int, far: float) -> Reading | None:
        """The nearest point that `roc_curve` keeps among impostors low ... high; None where it may lie beyond them.

        A point is kept unless the curve goes on from it by the step that led to it. The last point in the window is left
        out, as its next step is not known.
        """
        first, last = low == 0, high == len(self.impostor) - 1
        floor = -np.inf if first else self.impostor[low]
        ceiling = np.inf if last else self.impostor[high]
        (genuine, above_genuine), (impostor, above_impostor) = (
            _between(each, floor, ceiling) for each in (self.genuine, self.impostor)
        )
        values = np.unique(np.concatenate([genuine, impostor]))[::-1]
        steps = np.stack([_counts(each, values) for each in (impostor, genuine)])
        fps, tps = np.cumsum(steps, axis=1) + np.array([[above_impostor], [above_genuine]])
        kept = np.append(np.diff(steps, axis=1).any(axis=0), first)
        if last:
            kept[0] = True
            starts = ((fps, 0), (tps, 0), (values, np.inf), (kept, True))
            fps, tps, values, kept = (np.insert(each, 0, start) for each, start in starts)
        fpr = fps[kept] / len(self.impostor)
        if not len(fpr) or not ((fpr[0] <= far or last) and (fpr[-1] >= far or first)):
            return None
        away = np.abs(fpr - far)
        chosen = len(away) - 1 - int(np.argmin(away[::-1]))
        return Reading(float(tps[kept][chosen] / len(self.genuine)), float(fpr[chosen]), float(values[kept][chosen]))


def _between(ascending: Scores, floor: float, ceiling: float) -> tuple[Scores, int]:
    """The scores from `floor` to `ceiling`, both in, and how many are above."""
    start, end = np.searchsorted(ascending, floor, side="left"), np.searchsorted(ascending, ceiling, side="right")
    return ascending[start:end], len(ascending) - int(end)


def _counts(ascending: Scores, values: Scores) -> NDArray[np.int64]:
    """How often each of the `values` occurs."""
    ends = [np.searchsorted(ascending, values, side=side) for side in ("left", "right")]
    return np.asarray(ends[1] - ends[0], dtype=np.int64)
