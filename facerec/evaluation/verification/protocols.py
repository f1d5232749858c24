"""The verification protocols in use. They give different numbers for one model.

    insightface   squared distance of L2-normalised embeddings, in [0, 4]; thresholds 0, .01, ... 3.99, the
                  first of the most accurate (InsightFace `verification.py`, the common reading of LFW)
    concat-mean   cosine after subtracting the mean of the training folds; 20,001 thresholds, the mean of
                  the most accurate (Face_Pytorch, Pytorch_Face_Recognition; made for original and flipped
                  embeddings laid side by side)
    youden        cosine; 1,000 thresholds between the extreme training scores, the first of those with the
                  greatest TPR - FPR; the spread is the standard error, ddof 1 (FaceX-Zoo)

Only the first defines TAR at FAR; the others borrow its rule. Cosines are kept as distances -cos, so that
smaller is more alike everywhere. A pair exactly at the threshold is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facerec.evaluation.verification.distances import Accepted, Bools, EmbeddingPairs, Floats, cosines


@dataclass(frozen=True)
class Protocol:
    """How one protocol measures pairs and chooses thresholds; the defaults are the most common rules.

    Attributes:
        distances: (pairs, (n,) mask of training pairs) -> (n,) distances.
        thresholds: training distances -> thresholds to try, in the order in which ties are settled.
        far_thresholds: ascending thresholds between which the one for a false-accept rate is interpolated.
        per_fold: whether the distances depend on the training pairs.
        goodness: counts at the thresholds -> the value that the threshold maximises.
        choose: thresholds that are equally good -> the threshold.
        spread: fold accuracies -> their spread as this protocol reports it.
    """

    distances: Callable[[EmbeddingPairs, Bools], Floats]
    thresholds: Callable[[Floats], Floats]
    far_thresholds: Floats
    per_fold: bool = False
    goodness: Callable[[Accepted], Floats] = lambda counts: counts.accuracy
    choose: Callable[[Floats], np.float64] = lambda best: np.float64(best[0])
    spread: Callable[[Floats], float] = lambda accuracies: float(accuracies.std())

    def best(self, candidates: Floats, goodness: Floats) -> np.float64:
        """The threshold, of (t,) candidates whose goodness on the training pairs is given."""
        return self.choose(candidates[goodness == goodness.max()])


def interpolate(fars: Sequence[float], curve: Floats, thresholds: Floats) -> Floats:
    """(targets,) thresholds at which the training FAR reaches `fars`; the lowest where it stays below.

    `curve` is the training FAR at each of the ascending `thresholds`, linear between them.
    """
    return np.where(curve[-1] >= np.asarray(fars), np.interp(fars, curve, thresholds), thresholds[0])


def _squared(pairs: EmbeddingPairs, train: Bools) -> Floats:
    """|a - b|^2 of unit vectors as 2 - 2 a.b; 4, the greatest, for failures."""
    return np.nan_to_num(2 - 2 * cosines(pairs), nan=4.0)


def _negated_cosine(pairs: EmbeddingPairs, train: Bools) -> Floats:
    return np.nan_to_num(-cosines(pairs), nan=1.0)


def _negated_centred_cosine(pairs: EmbeddingPairs, train: Bools) -> Floats:
    usable = np.repeat(train & ~pairs.failed, 2)
    rows = pairs.embeddings[usable]
    centre: Floats = rows.mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(rows.shape[1])
    return np.nan_to_num(-cosines(pairs, centre), nan=1.0)


def _between_extremes(train_distances: Floats) -> Floats:
    low, high = -train_distances.max(), -train_distances.min()  # as scores: ascending from the lowest
    thresholds: Floats = -(low + (high - low) / 1000 * np.arange(1, 1001))
    return thresholds


_GRID = np.arange(-10_000, 10_001) / 10_000
PROTOCOLS: dict[str, Protocol] = {
    "insightface": Protocol(_squared, lambda train: np.arange(0, 4, 0.01), np.arange(0, 4, 0.001)),
    "concat-mean": Protocol(
        _negated_centred_cosine, lambda train: _GRID, _GRID, per_fold=True, choose=lambda best: np.float64(best.mean())
    ),
    "youden": Protocol(
        _negated_cosine,
        _between_extremes,
        _GRID,
        goodness=lambda counts: counts.tpr - counts.fpr,
        spread=lambda accuracies: float(accuracies.std(ddof=1) / np.sqrt(len(accuracies))),
    ),
}
