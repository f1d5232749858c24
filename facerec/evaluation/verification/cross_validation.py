"""Cross-validated verification accuracy, as LFW defined it: thresholds from nine folds judge the tenth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ParamsError, rate_name
from facerec.evaluation.curves import pairs_needed, supports_rate, wilson
from facerec.evaluation.verification.protocols import (
    PROTOCOLS,
    Accepted,
    Bools,
    EmbeddingPairs,
    Floats,
    Protocol,
    Rows,
    SortedDistances,
    auc,
    check_pairs,
    eer,
    interpolate,
    roc,
)

_ROWS = 4096  # embeddings in memory at a time


@dataclass(frozen=True)
class TarAtFar:
    """True accept rate at one target false accept rate.

    Attributes:
        target: the false accept rate asked for; each fold's threshold is set on the other folds.
        tar: mean over folds of the share of genuine pairs accepted.
        tar_std: its standard deviation over folds (ddof 0).
        far: mean over folds of the share of impostor pairs that were in fact accepted.
        threshold: mean over folds of the threshold; 0 (insightface) where no threshold reaches the target.
        supported: whether there are enough impostor pairs for that rate (`facerec.evaluation.curves.supports_rate`);
            else `tar`, `far` and `threshold` are what the protocol computes, but say nothing about it.
    """

    target: float
    tar: float
    tar_std: float
    far: float
    threshold: float
    supported: bool


@dataclass(frozen=True)
class VerificationResult:
    """Verification of n pairs in k folds, with every distance, from which curves and intervals follow.

    Attributes:
        protocol: name of the protocol.
        accuracy: mean over folds.
        accuracy_std: spread over folds as the protocol defines it.
        fold_accuracy: (k,) accuracy of each fold at the threshold chosen on the others.
        fold_thresholds: (k,) those thresholds, on `distances`.
        fold_sizes: (k,) pairs in each fold.
        rates: true accept rates at the targets asked for, in that order.
        fpr, tpr: the exact ROC of all pairs, from (0, 0) to (1, 1).
        roc_thresholds: the threshold of each ROC point; the last is infinite.
        auc: area under that ROC. eer: its equal error rate.
        distances: (n,) distance of each pair, as measured in its own fold; smaller is more alike.
        same: (n,) truth.
        failed: (n,) pairs with a missing face, counted as non-matches: errors where the pair is genuine.
        repeated: pairs that tell nothing new: of an embedding and itself, or of two that an earlier pair compared.
    """

    protocol: str
    accuracy: float
    accuracy_std: float
    fold_accuracy: Floats
    fold_thresholds: Floats
    fold_sizes: tuple[int, ...]
    rates: tuple[TarAtFar, ...]
    fpr: Floats
    tpr: Floats
    roc_thresholds: Floats
    auc: float
    eer: float
    distances: Floats
    same: Bools
    failed: Bools
    repeated: int

    @property
    def failures(self) -> int:
        """How many pairs failed."""
        return int(self.failed.sum())

    @property
    def tar(self) -> float | None:
        """True accept rate at the first target; None where the pairs do not support that rate."""
        return self.rates[0].tar if self.rates[0].supported else None

    @property
    def tar_std(self) -> float | None:
        """Standard deviation over folds of `tar`."""
        return self.rates[0].tar_std if self.rates[0].supported else None

    @property
    def far(self) -> float | None:
        """False accept rate that the thresholds for the first target gave; None as for `tar`."""
        return self.rates[0].far if self.rates[0].supported else None

    @property
    def threshold(self) -> float:
        """Mean over folds of the accuracy threshold."""
        return float(np.mean(self.fold_thresholds))

    @property
    def pair_folds(self) -> NDArray[np.int64]:
        """(n,) number of the fold of each pair."""
        return np.repeat(np.arange(len(self.fold_sizes)), self.fold_sizes)

    @property
    def pair_thresholds(self) -> Floats:
        """(n,) threshold that judged each pair, chosen on the other folds."""
        return self.fold_thresholds[self.pair_folds]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy; takes pairs as independent, so it is a little too narrow."""
        right = float(np.average(self.fold_accuracy, weights=self.fold_sizes))
        low, high = wilson(right, sum(self.fold_sizes))
        return float(low), float(high)

    def metrics(self) -> dict[str, float]:
        """Flat scalars for a metrics file; `tar` is at the first target, others are named 'tar@1e-4'.

        A rate that the pairs do not support is left out; for the first target `tar_pairs_needed` stands in its place.
        """
        low, high = self.interval
        first, *others = self.rates
        headline = {"tar": first.tar, "tar_std": first.tar_std, "far": first.far}
        return {
            "accuracy": self.accuracy,
            "accuracy_std": self.accuracy_std,
            "accuracy_low": low,
            "accuracy_high": high,
            **(headline if first.supported else {"tar_pairs_needed": pairs_needed(first.target)}),
            "tar_supported": first.supported,
            "far_target": first.target,
            **{f"tar@{rate_name(rate.target)}": rate.tar for rate in others if rate.supported},
            "auc": self.auc,
            "eer": self.eer,
            "threshold": self.threshold,
            "pairs": len(self.same),
            "genuine": int(self.same.sum()),
            "repeated_pairs": self.repeated / len(self.same),
            "failures": self.failures,
            "failures_genuine": int(self.failed[self.same].sum()),
        }


@dataclass(frozen=True)
class _Fold:
    """A fold's test pairs and, as it measures them, all pairs; folds of most protocols share the latter.

    The training pairs are all but the test pairs, and so are their counts below a threshold.
    """

    test: slice
    distances: Floats  # (n,) of all pairs
    every: SortedDistances
    every_far: Accepted  # their counts at the protocol's thresholds for false accept rates
    tested: SortedDistances


def evaluate(
    embeddings: ArrayLike | Rows,
    same: ArrayLike,
    protocol: str = "insightface",
    folds: int = 10,
    fars: Sequence[float] = (1e-3,),
) -> VerificationResult:
    """Verify n pairs of faces by cross-validation, with the protocols' published rules.

    >>> genuine, impostor = [[1.0, 0.0], [1.0, 0.1]], [[1.0, 0.0], [0.0, 1.0]]
    >>> result = evaluate([*genuine, *impostor] * 10, [True, False] * 10)
    >>> result.accuracy, result.auc
    (1.0, 1.0)

    Args:
        embeddings: (2n, d) floats; pair i is rows 2i and 2i + 1, in any scale. A row of NaN or zeros is a missing face.
        same: (n,) whether a pair is the same person.
        protocol: "insightface", "concat-mean" or "youden"; see `facerec.evaluation.verification.protocols`.
        folds: contiguous folds in the order of the pairs, the first n mod folds of them one pair longer.
        fars: false accept rates at which to give the true accept rate.

    Raises:
        FormatError: for arrays that do not fit each other, values that are infinite, pairs all of one kind,
            or fewer pairs than folds.
        ParamsError: for an unknown protocol, fewer than two folds, or rates outside (0, 1).
    """
    rules = _check_options(protocol, folds, fars)
    pairs = check_pairs(embeddings, same)
    parts = _split(pairs, rules, folds)
    choices = [_judge(fold, rules) for fold in parts]
    thresholds, accuracies = (np.array(column) for column in zip(*choices, strict=True))
    distances = np.concatenate([fold.distances[fold.test] for fold in parts])
    fpr, tpr, roc_thresholds = roc(distances, pairs.same)
    return VerificationResult(
        protocol=protocol,
        accuracy=float(accuracies.mean()),
        accuracy_std=rules.spread(accuracies),
        fold_accuracy=accuracies,
        fold_thresholds=thresholds,
        fold_sizes=tuple(fold.test.stop - fold.test.start for fold in parts),
        rates=_tar_at_far(parts, rules, fars),
        fpr=fpr,
        tpr=tpr,
        roc_thresholds=roc_thresholds,
        auc=auc(fpr, tpr),
        eer=eer(fpr, tpr),
        distances=distances,
        same=pairs.same,
        failed=pairs.failed,
        repeated=_count_repeated(pairs),
    )


def _count_repeated(pairs: EmbeddingPairs) -> int:
    """How many pairs compare an embedding with itself, or the two of an earlier pair; failures are left out."""
    # Sums of the first and of the last values are equal wherever pairs are, in either order, and seldom elsewhere.
    ends = np.concatenate([rows[:, [0, -1]] for _, rows in pairs.blocks()]).astype(np.float64).reshape(-1, 2, 2)
    sums = ends[:, 0] + ends[:, 1]
    key = sums[:, 0] + np.pi * sums[:, 1]
    order = np.argsort(key)
    alike = np.append(np.diff(key[order]) == 0, False)
    doubtful = (ends[:, 0] == ends[:, 1]).all(axis=1)
    doubtful[order] |= alike | np.roll(alike, 1)
    chosen = np.flatnonzero(np.repeat(doubtful & ~pairs.failed, 2))
    pieces = (pairs.embeddings[chosen[start : start + _ROWS]] for start in range(0, len(chosen), _ROWS))
    digests = np.array([hash(row.tobytes()) for rows in pieces for row in rows], dtype=np.int64).reshape(-1, 2)
    digests.sort(axis=1)
    return len(digests) - len(np.unique(digests[digests[:, 0] != digests[:, 1]], axis=0))


def _check_options(protocol: str, folds: int, fars: Sequence[float]) -> Protocol:
    if protocol not in PROTOCOLS:
        raise ParamsError(f"There is no verification protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}.")
    if folds < 2:
        raise ParamsError(f"Cross-validation needs at least 2 folds, not {folds}.")
    if not fars or not all(0 < far < 1 for far in fars):
        raise ParamsError(f"False accept rates must lie between 0 and 1, and there must be one; not {list(fars)}.")
    return PROTOCOLS[protocol]


def _split(pairs: EmbeddingPairs, rules: Protocol, folds: int) -> list[_Fold]:
    n = len(pairs)
    if n < folds:
        raise FormatError(f"{n} pairs cannot fill {folds} folds; give more pairs or ask for fewer folds.")
    parts: list[_Fold] = []
    for rows in np.array_split(np.arange(n), folds):
        test = slice(int(rows[0]), int(rows[-1]) + 1)
        if parts and not rules.per_fold:
            distances, every, far = parts[0].distances, parts[0].every, parts[0].every_far
        else:
            train = np.ones(n, dtype=bool)
            train[test] = False
            distances = rules.distances(pairs, train)
            every = SortedDistances.of(distances, pairs.same)
            far = every.count_accepted(rules.far_thresholds)
        parts.append(_Fold(test, distances, every, far, SortedDistances.of(distances[test], pairs.same[test])))
    return parts


def _judge(fold: _Fold, rules: Protocol) -> tuple[np.float64, np.float64]:
    """The threshold chosen on the training folds, and the accuracy it gives on the test fold."""
    candidates = rules.thresholds(np.delete(fold.distances, fold.test))
    trained = fold.every.count_accepted(candidates) - fold.tested.count_accepted(candidates)
    threshold = rules.best(candidates, rules.goodness(trained))
    return threshold, np.float64(fold.tested.count_accepted(threshold).accuracy[0])


def _tar_at_far(parts: Sequence[_Fold], rules: Protocol, fars: Sequence[float]) -> tuple[TarAtFar, ...]:
    """Rates per target; means leave out folds without pairs of the kind in question."""
    grid = rules.far_thresholds
    trained = [(fold.every_far - fold.tested.count_accepted(grid)).fpr for fold in parts]
    thresholds = np.array([interpolate(fars, curve, grid) for curve in trained])  # (folds, targets)
    tested = [fold.tested.count_accepted(row) for fold, row in zip(parts, thresholds, strict=True)]
    tars = np.array([counts.tpr for counts in tested if counts.positives])
    reached = np.array([counts.fpr for counts in tested if counts.negatives])
    negatives = len(parts[0].every.impostor)
    return tuple(
        TarAtFar(
            target=far,
            tar=float(tars[:, k].mean()),
            tar_std=float(tars[:, k].std()),
            far=float(reached[:, k].mean()),
            threshold=float(thresholds[:, k].mean()),
            supported=supports_rate(far, negatives),
        )
        for k, far in enumerate(fars)
    )
