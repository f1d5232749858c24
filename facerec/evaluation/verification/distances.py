"""Pairs of embeddings: checked, measured, and counted below thresholds, from which ROC, AUC and EER follow.

A photo whose face was not found or not aligned has an embedding row of NaN (or of zeros, which has no direction
either). Its pairs are *failures*: non-matches at the greatest distance there is. So they count as errors where the pair
is genuine, and as rightly rejected where it is an impostor pair.

Smaller distances are more alike, and a pair is accepted as the same person when its distance is strictly below the
threshold. Pairs are sorted once instead of compared with every threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64] | Floats

_BLOCK = 256  # pairs at a time: float64 copies that stay in the cache


@dataclass(frozen=True)
class EmbeddingPairs:
    """n pairs: embeddings (2n, d) with pair i in rows 2i and 2i + 1, same (n,), failed (n,)."""

    embeddings: NDArray[np.floating]
    same: Bools
    failed: Bools

    def __len__(self) -> int:
        return len(self.same)


def check_pairs(embeddings: ArrayLike, same: ArrayLike) -> EmbeddingPairs:
    """Wrap arrays as `EmbeddingPairs`; FormatError when shapes, types or values make no sense."""
    rows, truth = np.asarray(embeddings), np.asarray(same)
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating) or rows.shape[1] == 0:
        raise FormatError(f"Embeddings must be a float matrix (2n, d), not {rows.dtype} of shape {rows.shape}.")
    if truth.ndim != 1 or len(rows) != 2 * len(truth):
        raise FormatError(
            f"{len(rows)} embeddings do not fit a list of pairs of shape {truth.shape}: "
            "pair i is rows 2i and 2i + 1, so there must be two rows a pair."
        )
    if truth.dtype != bool:
        if not np.isin(truth, (0, 1)).all():
            raise FormatError("The list of same/different pairs may hold only true and false.")
        truth = truth.astype(bool)
    if not truth.any() or truth.all():
        kind = "same" if truth.any() else "different"
        raise FormatError(f"All {len(truth)} pairs are of the {kind} kind; verification needs both kinds.")
    failed = _failed(rows)
    if failed.all():
        raise FormatError(f"No pair of {len(truth)} has two embeddings; every face is missing (NaN or zeros).")
    return EmbeddingPairs(rows, truth, failed)


def _failed(rows: NDArray[np.floating]) -> Bools:
    norms = np.einsum("ij,ij->i", rows, rows)
    suspects = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if np.isinf(rows[suspects]).any():
        row = int(suspects[np.isinf(rows[suspects]).any(axis=1)][0])
        raise FormatError(f"Embedding row {row} holds an infinite value; mark faces that are missing with NaN.")
    failed = np.zeros(len(rows), dtype=bool)
    failed[suspects] = np.isnan(rows[suspects]).any(axis=1) | ~rows[suspects].any(axis=1)
    return np.asarray(failed.reshape(-1, 2).any(axis=1))


def cosines(pairs: EmbeddingPairs, centre: Floats | None = None) -> Floats:
    """(n,) cosine of each pair in float64, after subtracting `centre` (d,); NaN for failures."""
    values = np.empty(len(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        for start in range(0, len(pairs), _BLOCK):
            block = pairs.embeddings[2 * start : 2 * (start + _BLOCK)].astype(np.float64)
            if centre is not None:
                block -= centre
            first, second = block[0::2], block[1::2]
            norms = np.sqrt(np.einsum("ij,ij->i", block, block))
            dots = np.einsum("ij,ij->i", first, second)
            values[start : start + _BLOCK] = dots / (norms[0::2] * norms[1::2])
    values[pairs.failed] = np.nan
    return np.clip(values, -1, 1)


@dataclass(frozen=True)
class Accepted:
    """Pairs accepted at each of t thresholds, for one weighing of the pairs or, a row each, for many.

    Attributes:
        genuine: (..., t) genuine pairs below the threshold, which are judged rightly.
        impostor: (..., t) impostor pairs below the threshold, which are judged wrongly.
        positives: how many genuine pairs there are in all; (..., 1) where there are rows.
        negatives: how many impostor pairs there are in all.
    """

    genuine: Counts
    impostor: Counts
    positives: int | Floats
    negatives: int | Floats

    def __sub__(self, other: Accepted) -> Accepted:
        """Counts of the pairs that are not among the `other` ones."""
        return Accepted(
            self.genuine - other.genuine,
            self.impostor - other.impostor,
            self.positives - other.positives,
            self.negatives - other.negatives,
        )

    @property
    def tpr(self) -> Floats:
        """(..., t) share of the genuine pairs accepted; NaN where there are none."""
        return divide_or_nan(self.genuine, self.positives)

    @property
    def fpr(self) -> Floats:
        """(..., t) share of the impostor pairs accepted; NaN where there are none."""
        return divide_or_nan(self.impostor, self.negatives)

    @property
    def accuracy(self) -> Floats:
        """(..., t) share of all pairs judged rightly; NaN where there are none."""
        return divide_or_nan(self.genuine + (self.negatives - self.impostor), self.positives + self.negatives)


def divide_or_nan(part: Counts, whole: ArrayLike) -> Floats:
    """part / whole, broadcast; NaN where the whole is 0."""
    found = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=np.broadcast_to(np.asarray(whole) > 0, part.shape))
    return found


def count_accepted(distances: Floats, same: Bools, thresholds: ArrayLike) -> Accepted:
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
    counts = count_accepted(distances, same, thresholds)
    return counts.fpr, counts.tpr, thresholds


def auc(fpr: Floats, tpr: Floats) -> float:
    """Area under the ROC by trapezoids: the chance that a genuine pair is closer than an impostor pair, ties half."""
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def eer(fpr: Floats, tpr: Floats) -> float:
    """Equal error rate: where the straight lines between ROC points cross false accepts = false rejects."""
    gap = fpr + tpr - 1  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    step = gap[after] - gap[before]
    share = -gap[before] / step if step > 0 else 0.0
    return float(fpr[before] + share * (fpr[after] - fpr[before]))
