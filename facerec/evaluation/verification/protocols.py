"""The verification protocols in use: how pairs of embeddings are measured, counted below thresholds and judged.

The protocols give different numbers for one model:

    insightface   squared distance of L2-normalised embeddings, in [0, 4]; thresholds 0, .01, ... 3.99, the
                  first of the most accurate (InsightFace `verification.py`, the common reading of LFW)
    concat-mean   cosine after subtracting the mean of the training folds; 20,001 thresholds, the mean of
                  the most accurate (Face_Pytorch, Pytorch_Face_Recognition; made for original and flipped
                  embeddings laid side by side)
    youden        cosine; 1,000 thresholds between the extreme training scores, the first of those with the
                  greatest TPR - FPR; the spread is the standard error, ddof 1 (FaceX-Zoo)

Only the first defines TAR at FAR; the others borrow its rule. Cosines are kept as distances -cos, so that smaller is
more alike everywhere, and a pair is accepted when its distance is strictly below the threshold.

A photo whose face was not found or not aligned has a row of NaN or zeros. Its pairs are *failures*: non-matches at the
greatest distance there is, so errors where the pair is genuine.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64] | Floats

_BLOCK = 256  # pairs at a time: float64 copies that stay in the cache


class Rows(typing.Protocol):
    """Embeddings (2n, d) of n pairs, an array or taken from a matrix as they are needed (`store.pairs.PairedRows`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: Any, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class EmbeddingPairs:
    """n pairs: embeddings (2n, d) with pair i in rows 2i and 2i + 1, same (n,), failed (n,)."""

    embeddings: Rows
    same: Bools
    failed: Bools

    def __len__(self) -> int:
        return len(self.same)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """Number of the first pair and embeddings of some thousand pairs after one another."""
        for start in range(0, len(self), _BLOCK):
            yield start, self.embeddings[2 * start : 2 * (start + _BLOCK)]


def check_pairs(embeddings: ArrayLike | Rows, same: ArrayLike) -> EmbeddingPairs:
    """Wrap arrays as `EmbeddingPairs`; FormatError when shapes, types or values make no sense."""
    rows: Any = embeddings if hasattr(embeddings, "shape") else np.asarray(embeddings)
    truth = np.asarray(same)
    if len(rows.shape) != 2 or not np.issubdtype(rows.dtype, np.floating) or rows.shape[1] == 0:
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
    for kind, chosen in (("genuine", truth), ("impostor", ~truth)):
        if failed[chosen].all():
            raise FormatError(
                f"None of the {chosen.sum()} {kind} pairs has two embeddings, so nothing can be measured: their faces are "
                "missing (NaN or zeros). Look at the failures of the alignment, or for what the pairs were made."
            )
    return EmbeddingPairs(rows, truth, failed)


def _failed(rows: Rows) -> Bools:
    norms = np.empty(len(rows), rows.dtype)
    with np.errstate(over="ignore", under="ignore"):
        for start in range(0, len(rows), 2 * _BLOCK):
            block = rows[start : start + 2 * _BLOCK]
            norms[start : start + 2 * _BLOCK] = np.einsum("ij,ij->i", block, block)
    suspects = np.flatnonzero(~(norms >= np.finfo(norms.dtype).tiny) | np.isinf(norms))
    doubtful = rows[suspects]
    infinite = suspects[np.isinf(doubtful).any(axis=1)]
    if len(infinite):
        raise FormatError(f"Embedding row {infinite[0]} holds an infinite value; mark faces that are missing with NaN.")
    missing = np.isnan(doubtful).any(axis=1) | ~doubtful.any(axis=1)
    _check_lengths(suspects[~missing], doubtful[~missing].astype(np.float64))
    failed = np.zeros(len(rows), dtype=bool)
    failed[suspects] = missing
    return np.asarray(failed.reshape(-1, 2).any(axis=1))


def _check_lengths(places: NDArray[np.int64], rows: Floats) -> None:
    """FormatError where the length of a row cannot be computed in float64, so that it has no cosine."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    bad = np.flatnonzero(~(squares >= np.finfo(np.float64).tiny) | np.isinf(squares))
    if len(bad):
        raise FormatError(
            f"Embedding row {places[bad[0]]} has values up to {np.abs(rows[bad[0]]).max():.3g}, with which no similarity "
            "can be computed; look for the mistake that made them, or divide each row by its length."
        )


def cosines(pairs: EmbeddingPairs, centre: Floats | None = None) -> Floats:
    """(n,) cosine of each pair in float64, after subtracting `centre` (d,); NaN for failures."""
    values = np.empty(len(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        for start, rows in pairs.blocks():
            block = rows.astype(np.float64)
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
        genuine, impostor = self.genuine - other.genuine, self.impostor - other.impostor
        return Accepted(genuine, impostor, self.positives - other.positives, self.negatives - other.negatives)

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


@dataclass(frozen=True)
class SortedDistances:
    """The distances of genuine and of impostor pairs, each ascending, so that counting below a threshold is a search."""

    genuine: Floats
    impostor: Floats

    @classmethod
    def of(cls, distances: Floats, same: Bools) -> SortedDistances:
        """From the (n,) distances of pairs and whether they are genuine."""
        return cls(np.sort(distances[same]), np.sort(distances[~same]))

    def count_accepted(self, thresholds: ArrayLike) -> Accepted:
        """Count the pairs with distance < threshold, for (t,) thresholds or one."""
        wanted = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
        genuine, impostor = (np.searchsorted(kind, wanted, side="left") for kind in (self.genuine, self.impostor))
        return Accepted(genuine, impostor, len(self.genuine), len(self.impostor))


def roc(distances: Floats, same: Bools) -> tuple[Floats, Floats, Floats]:
    """The exact ROC: (fpr, tpr, thresholds), one point a distinct distance, from (0, 0) to (1, 1)."""
    thresholds = np.append(np.unique(distances), np.inf)
    counts = SortedDistances.of(distances, same).count_accepted(thresholds)
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
