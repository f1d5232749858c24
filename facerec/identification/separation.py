"""How well same-identity pairs are separated from billions of impostors: exact rates at the low end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.identification.scores import Bools, Floats, Ints

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """Positives by ascending score, and the impostors that score highest.

    Attributes:
        identity: (p,) of each unordered same-identity pair.
        enrolled: (p,) whether both its faces have features.
        false_positives: (p,) impostors that score strictly above it, right up to `known`.
        tail_identity: (k,) identity of the probe of the k highest impostors, highest first.
        known: so many false positives are exactly known.
        negatives: all probes x all distractors.
    """

    identity: Ints
    enrolled: Bools
    false_positives: Ints
    tail_identity: Ints
    known: int
    negatives: int

    def tpr(self, fpr: float) -> float:
        """Share of the positives with at most fpr * negatives impostors above them."""
        return float(np.mean((self.false_positives <= allowed(fpr, self.negatives)) & self.enrolled))

    def roc(self) -> tuple[Doubles, Doubles]:
        """(fpr, tpr) at each step of the curve, up to `known` false positives."""
        seen = np.sort(self.false_positives[self.enrolled & (self.false_positives <= self.known)])
        steps = np.unique(np.concatenate([[0], seen, [self.known]]))
        return steps / self.negatives, np.searchsorted(seen, steps, side="right") / len(self.identity)


def false_positives(positives: Floats, tail: Floats) -> Ints:
    """(p,) impostors of the descending tail that are strictly above each positive, which come ascending."""
    return np.searchsorted(-tail, -positives, side="left").astype(np.int64)


def allowed(fpr: float, negatives: int) -> int:
    """False positives that a rate allows; rounding of the product must not lose one."""
    return int(fpr * negatives * (1 + 1e-12))


def supports(fpr: float, negatives: int) -> bool:
    """Whether there are enough negatives for one false positive at this rate."""
    return fpr * negatives >= 1 - 1e-9
