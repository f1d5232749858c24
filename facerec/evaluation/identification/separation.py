"""How well same-identity pairs are separated from billions of impostors: exact rates at the low end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification.scores import Bools, Floats, Ints

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """Positives by ascending score, and the impostors that score highest.

    Attributes:
        pair: (p,) row of each unordered same-identity pair among the ordered ones.
        identity: (p,) of each.
        enrolled: (p,) whether both its faces have features.
        false_positives: (p,) impostors that score strictly above it, right up to `known`.
        tail_identity: (k,) identity of the probe of the k highest impostors, highest first.
        known: so many false positives are exactly known.
        negatives: all probes x all distractors.
    """

    pair: Ints
    identity: Ints
    enrolled: Bools
    false_positives: Ints
    tail_identity: Ints
    known: int
    negatives: int

    def tpr(self, fpr: float) -> float:
        """Share of the positives with at most fpr * negatives impostors above them."""
        return float(np.mean((self.false_positives <= allowed(fpr, self.negatives)) & self.enrolled))

    def drawn_tpr(self, weights: Doubles, fprs: Sequence[float] | Doubles, negatives: float) -> Doubles:
        """(fprs,) shares of the positives where identity i counts weights[i] times; NaN where that leaves none.

        `negatives` is how many impostors there are then. Where a rate allows more false positives than are exactly
        known, the share is that at the last known.
        """
        above = np.append(0.0, np.cumsum(weights[self.tail_identity]))  # by false positives in the list
        seen, identity = self._known_positives
        found = np.append(0.0, np.cumsum(weights[identity]))
        allowed = np.asarray(fprs, dtype=np.float64) * negatives * (1 + 1e-12)
        total = weights[self.identity].sum()
        if not total:
            return np.full(len(allowed), np.nan)
        return np.asarray(found[np.searchsorted(above[seen], allowed, side="right")] / total)

    @cached_property
    def _known_positives(self) -> tuple[Ints, Ints]:
        """(false positives, identity) of the positives with exactly known counts, best first."""
        known = np.flatnonzero(self.enrolled & (self.false_positives <= self.known))[::-1]
        return self.false_positives[known], self.identity[known]

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
