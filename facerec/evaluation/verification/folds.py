"""Cross-validated verification accuracy, as LFW defined it: thresholds from nine folds judge the tenth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facerec.core import FormatError, ParamsError
from facerec.evaluation.verification.counting import Bools, Floats, accepted, auc, eer, roc
from facerec.evaluation.verification.distances import EmbeddingPairs, check_pairs
from facerec.evaluation.verification.protocols import PROTOCOLS, Protocol, interpolate
from facerec.evaluation.verification.result import TarAtFar, VerificationResult


@dataclass(frozen=True)
class _Fold:
    test: slice
    train: Bools
    distances: Floats  # (n,) of all pairs, as this fold measures them


def evaluate(
    embeddings: ArrayLike,
    same: ArrayLike,
    protocol: str = "insightface",
    folds: int = 10,
    fars: Sequence[float] = (1e-3,),
) -> VerificationResult:
    """Evaluate n pairs of faces.

    Args:
        embeddings: (2n, d) floats; pair i is rows 2i and 2i + 1, in any scale. A row of NaN or zeros is a
            face that could not be enrolled: its pair is a non-match at the greatest distance, an error
            if it is the same person.
        same: (n,) whether a pair is the same person.
        protocol: "insightface", "concat-mean" or "youden"; see `facerec.evaluation.verification.protocols`.
        folds: contiguous folds in the order of the pairs, the first n mod folds of them one pair longer.
        fars: false-accept rates at which to give the true-accept rate.

    Raises:
        FormatError: for arrays that do not fit each other, values that are infinite, pairs all of one kind,
            or fewer pairs than folds.
        ParamsError: for an unknown protocol, fewer than two folds, or rates outside (0, 1).

    Source: the protocols' published code as described in `facerec.evaluation.verification.protocols`.
    """
    rules = _check_options(protocol, folds, fars)
    pairs = check_pairs(embeddings, same)
    parts = _split(pairs, rules, folds)
    choices = [_judge(fold, pairs.same, rules) for fold in parts]
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
        rates=_tar_at_far(parts, pairs.same, rules, fars),
        fpr=fpr,
        tpr=tpr,
        roc_thresholds=roc_thresholds,
        auc=auc(fpr, tpr),
        eer=eer(fpr, tpr),
        distances=distances,
        same=pairs.same,
        failures=int(pairs.failed.sum()),
    )


def _check_options(protocol: str, folds: int, fars: Sequence[float]) -> Protocol:
    if protocol not in PROTOCOLS:
        raise ParamsError(
            f"There is no verification protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}."
        )
    if folds < 2:
        raise ParamsError(f"Cross-validation needs at least 2 folds, not {folds}.")
    if not fars or not all(0 < far < 1 for far in fars):
        raise ParamsError(
            f"False-accept rates must lie between 0 and 1, and there must be one; not {list(fars)}."
        )
    return PROTOCOLS[protocol]


def _split(pairs: EmbeddingPairs, rules: Protocol, folds: int) -> list[_Fold]:
    n = len(pairs)
    if n < folds:
        raise FormatError(f"{n} pairs cannot fill {folds} folds; give more pairs or ask for fewer folds.")
    sizes = [n // folds + (fold < n % folds) for fold in range(folds)]
    ends = np.cumsum(sizes).tolist()
    parts: list[_Fold] = []
    for end, size in zip(ends, sizes, strict=True):
        train = np.ones(n, dtype=bool)
        train[end - size : end] = False
        reuse = parts and not rules.per_fold
        distances = parts[0].distances if reuse else rules.distances(pairs, train)
        parts.append(_Fold(slice(end - size, end), train, distances))
    return parts


def _judge(fold: _Fold, same: Bools, rules: Protocol) -> tuple[np.float64, np.float64]:
    """The threshold chosen on the training folds, and the accuracy it gives on the test fold."""
    train_distances = fold.distances[fold.train]
    candidates = rules.thresholds(train_distances)
    goodness = rules.goodness(accepted(train_distances, same[fold.train], candidates))
    threshold = rules.best(candidates, goodness)
    test = accepted(fold.distances[fold.test], same[fold.test], threshold)
    return threshold, np.float64(test.accuracy[0])


def _tar_at_far(
    parts: Sequence[_Fold], same: Bools, rules: Protocol, fars: Sequence[float]
) -> tuple[TarAtFar, ...]:
    """Rates per target; means leave out folds without pairs of the kind in question."""
    thresholds = np.array([_far_thresholds(fold, same, rules, fars) for fold in parts])  # (folds, targets)
    tested = [
        accepted(fold.distances[fold.test], same[fold.test], row)
        for fold, row in zip(parts, thresholds, strict=True)
    ]
    tars = np.array([counts.tpr for counts in tested if counts.positives])
    reached = np.array([counts.fpr for counts in tested if counts.negatives])
    negatives = int((~same).sum())
    return tuple(
        TarAtFar(
            target=far,
            tar=float(tars[:, k].mean()),
            tar_std=float(tars[:, k].std()),
            far=float(reached[:, k].mean()),
            threshold=float(thresholds[:, k].mean()),
            supported=negatives * far >= 1 - 1e-9,
        )
        for k, far in enumerate(fars)
    )


def _far_thresholds(fold: _Fold, same: Bools, rules: Protocol, fars: Sequence[float]) -> Floats:
    train = accepted(fold.distances[fold.train], same[fold.train], rules.far_thresholds)
    return interpolate(fars, train.fpr, rules.far_thresholds)
