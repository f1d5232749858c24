"""95 % bands of an identification result by bootstrap over the probes' identities.

All of a person's probes come and go together: their pairs, and their impostor scores. The distractors stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError
from facerec.evaluation.curves import rate_name
from facerec.evaluation.identification.result import Doubles, IdentificationResult, Separation
from facerec.evaluation.identification.scoring import Ints
from facerec.evaluation.statistics import bootstrap
from facerec.evaluation.statistics.significance import (
    DEFAULT_TRIALS,
    RunComparison,
    Trials,
    summarise_difference,
)

Band = tuple[NDArray[np.float64], NDArray[np.float64]]


class IdentificationBootstrap:
    """Draws of the identities of one result, and what the figures would be with them."""

    def __init__(self, result: IdentificationResult, trials: int = 1000, seed: int = 0) -> None:
        """Draw `trials` times as many identities as there are."""
        self._result = result
        self._weights = bootstrap.identity_weights(int(result.identity.max()) + 1, trials, seed)

    def cmc(self, ranks: ArrayLike) -> Band:
        """(low, high) of the share of pairs whose mate is among the best k, for each k of `ranks`, 1 is best."""
        ks = np.asarray(ranks, dtype=np.int64)
        pairs = self._result.identity[self._result.probe]
        identities = self._weights.shape[1]
        places = np.searchsorted(ks, self._result.ranks + 1)  # the first k that includes the rank
        hits = np.zeros((identities, len(ks) + 1))
        np.add.at(hits, (pairs, places), 1)
        totals = np.bincount(pairs, minlength=identities)
        return bootstrap.percentile_interval(
            bootstrap.weighted_shares(self._weights, np.cumsum(hits, axis=1)[:, : len(ks)], totals)
        )

    def roc(self, fprs: Sequence[float] | NDArray[np.float64]) -> Band:
        """(low, high) of the true-positive rate at each false-positive rate, both drawn anew in each trial.

        Where a trial allows more false positives than are exactly known, its rate is that at the last known.
        """
        rates = np.asarray(fprs, dtype=np.float64)
        return bootstrap.percentile_interval(
            np.stack([self._tpr(weights, rates) for weights in self._weights])
        )

    def _tpr(self, weights: NDArray[np.float64], fprs: NDArray[np.float64]) -> NDArray[np.float64]:
        negatives = float(weights @ self._probes) * self._result.distractors
        return self._result.separation.drawn_tpr(weights, fprs, negatives)

    @cached_property
    def _probes(self) -> Ints:
        """(identities,) probes of each."""
        return np.bincount(self._result.identity, minlength=self._weights.shape[1])


@dataclass(frozen=True)
class IdentificationRun:
    """What one run found for p probe-mate pairs of k identities.

    Attributes:
        ranks: (p,) distractors that score above the mate, 0 is best.
        separation: of its positives and impostors; its identities are numbered as those of the pairs.
        probes: (k,) probes of each identity.
    """

    ranks: Ints
    separation: Separation
    probes: Ints

    def figures(self, fprs: Sequence[float]) -> list[float]:
        """Rank-1 and the true-positive rates at `fprs`."""
        return [float(np.mean(self.ranks == 0)), *(self.separation.tpr(fpr) for fpr in fprs)]

    def drawn(self, draws: Doubles, identity: Ints, fprs: Sequence[float]) -> Doubles:
        """(trials, 1 + fprs) the same where identity i counts draws[:, i] times and pair i is of identity[i]."""
        people = draws.shape[1]
        hits = np.bincount(identity, self.ranks == 0, minlength=people)
        rank1 = bootstrap.weighted_shares(draws, hits, np.bincount(identity, minlength=people))
        if not fprs:
            return rank1[:, None]
        negatives = draws @ self.probes * (self.separation.negatives / self.probes.sum())
        rates = [
            self.separation.drawn_tpr(weights, fprs, count)
            for weights, count in zip(draws, negatives.tolist(), strict=True)
        ]
        return np.column_stack([rank1, np.array(rates)])


def compare_identification(
    first: IdentificationRun,
    second: IdentificationRun,
    identity: Ints,
    fprs: Sequence[float] = (),
    trials: Trials = DEFAULT_TRIALS,
) -> RunComparison:
    """Compare two runs by rank-1 and by the true-positive rate at `fprs`; pair i is of identity[i].

    Raises FormatError when the runs do not fit the pairs.
    """
    if not len(first.ranks) == len(second.ranks) == len(identity):
        raise FormatError(f"both runs must have ranked the same {len(identity)} pairs.")
    draws = bootstrap.identity_weights(len(first.probes), trials.count, trials.seed)
    names = ("rank1", *(f"tpr@{rate_name(fpr)}" for fpr in fprs))
    here, there = (run.figures(fprs) for run in (first, second))
    drawn = second.drawn(draws, identity, fprs) - first.drawn(draws, identity, fprs)
    return RunComparison(
        headline="rank1",
        figures={
            name: summarise_difference(here[k], there[k], drawn[:, k], trials.level)
            for k, name in enumerate(names)
        },
        pairs=len(identity),
        unit="identities",
        units=len(np.unique(identity)),
        equal=_equal(first, second),
    )


def _equal(first: IdentificationRun, second: IdentificationRun) -> bool:
    one, other = first.separation, second.separation
    return all(
        np.array_equal(a, b)
        for a, b in (
            (first.ranks, second.ranks),
            (one.false_positives, other.false_positives),
            (one.tail_identity, other.tail_identity),
        )
    )
