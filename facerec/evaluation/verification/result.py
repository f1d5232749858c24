"""What a verification run found: frozen, with every score kept so that curves need no second run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerec.evaluation.curves import rate_name, wilson
from facerec.evaluation.verification.counting import Bools, Floats


@dataclass(frozen=True)
class TarAtFar:
    """True-accept rate at one target false-accept rate.

    Attributes:
        target: the false-accept rate asked for; each fold's threshold is set on the other folds.
        tar: mean over folds of the share of same-person pairs accepted.
        tar_std: its standard deviation over folds (ddof 0).
        far: mean over folds of the share of different-person pairs that were accepted in fact.
        threshold: mean over folds of the threshold; 0 (insightface) where no threshold reaches the target.
        supported: whether there are at least 1/target different-person pairs. Where there are not, the
            number is what the protocol yields, but says nothing about that rate.
    """

    target: float
    tar: float
    tar_std: float
    far: float
    threshold: float
    supported: bool


@dataclass(frozen=True)
class VerificationResult:
    """Verification of n pairs in k folds.

    Attributes:
        protocol: name of the protocol.
        accuracy: mean over folds.
        accuracy_std: spread over folds as the protocol defines it.
        fold_accuracy: (k,) accuracy of each fold at the threshold chosen on the others.
        fold_thresholds: (k,) those thresholds, on `distances`.
        fold_sizes: (k,) pairs in each fold.
        rates: true-accept rates at the targets asked for, in that order.
        fpr, tpr: the exact ROC of all pairs, from (0, 0) to (1, 1).
        roc_thresholds: the threshold of each ROC point; the last is infinite.
        auc: area under that ROC. eer: its equal error rate.
        distances: (n,) distance of each pair, as measured in its own fold; smaller is more alike.
        same: (n,) truth.
        failures: pairs with a face that could not be enrolled (a row of NaN or zeros), counted as
            non-matches: errors where the pair is the same person.
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
    failures: int

    @property
    def tar(self) -> float:
        """True-accept rate at the first target."""
        return self.rates[0].tar

    @property
    def tar_std(self) -> float:
        """Standard deviation over folds of `tar`."""
        return self.rates[0].tar_std

    @property
    def far(self) -> float:
        """False-accept rate that the thresholds for the first target gave."""
        return self.rates[0].far

    @property
    def threshold(self) -> float:
        """Mean over folds of the accuracy threshold."""
        return float(np.mean(self.fold_thresholds))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy; takes pairs as independent, so it is a little too narrow."""
        right = float(np.average(self.fold_accuracy, weights=self.fold_sizes))
        low, high = wilson(right, sum(self.fold_sizes))
        return float(low), float(high)

    def metrics(self) -> dict[str, float]:
        """Flat scalars for a metrics file; `tar` is at the first target, others are named 'tar@1e-4'."""
        low, high = self.interval
        first, *others = self.rates
        return {
            "accuracy": self.accuracy,
            "accuracy_std": self.accuracy_std,
            "accuracy_low": low,
            "accuracy_high": high,
            "tar": first.tar,
            "tar_std": first.tar_std,
            "tar_supported": first.supported,
            "far": first.far,
            "far_target": first.target,
            **{f"tar@{rate_name(rate.target)}": rate.tar for rate in others if rate.supported},
            "auc": self.auc,
            "eer": self.eer,
            "threshold": self.threshold,
            "pairs": len(self.same),
            "failures": self.failures,
        }
