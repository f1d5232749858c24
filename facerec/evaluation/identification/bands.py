"""Bands of an identification result: 95 % intervals by the bootstrap over the identities of the probes.

All probes of a person are drawn together, with their pairs and their impostor scores. The distractors stay, so the
bands tell about other people among these distractors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facerec.evaluation.curves import Band
from facerec.evaluation.identification.result import Doubles, IdentificationResult, Ints, Separation
from facerec.evaluation.statistics import bootstrap


@dataclass(frozen=True)
class IdentificationRun:
    """One run over p probe-mate pairs of k identities.

    Attributes:
        ranks: (p,) distractors that score above the mate, 0 is best.
        separation: of its positives and impostors; its identities are numbered as those of the pairs.
        probes: (k,) probes of each identity.
    """

    ranks: Ints
    separation: Separation
    probes: Ints

    def metrics(self, fprs: Sequence[float]) -> list[float]:
        """Rank-1 and the true positive rates at `fprs`."""
        return [float(np.mean(self.ranks == 0)), *(self.separation.tpr(fpr) for fpr in fprs)]

    def cmc_trials(self, draws: Doubles, identity: Ints, ranks: ArrayLike) -> Doubles:
        """(trials, ranks) share of pairs whose mate is among the best k, for each k of `ranks`, 1 is best.

        Identity i counts draws[:, i] times, and pair j is of identity[j].
        """
        ks, people = np.asarray(ranks, dtype=np.int64), draws.shape[1]
        places = np.searchsorted(ks, self.ranks + 1)  # the first k that includes the rank
        hits = np.zeros((people, len(ks) + 1))
        np.add.at(hits, (identity, places), 1)
        totals = np.bincount(identity, minlength=people)
        return bootstrap.weighted_shares(draws, np.cumsum(hits, axis=1)[:, : len(ks)], totals)

    def tpr_trials(self, draws: Doubles, fprs: ArrayLike) -> Doubles:
        """(trials, fprs) true positive rate at each false positive rate, both measured again in each trial.

        Where a trial allows more false positives than are exactly known, its rate is that at the last known.
        """
        rates = np.asarray(fprs, dtype=np.float64)
        negatives = draws @ self.probes * (self.separation.negatives / self.probes.sum())
        trials = zip(draws, negatives.tolist(), strict=True)
        return np.array([self.separation.weighted_tpr(weights, rates, count) for weights, count in trials])


class IdentificationBootstrap:
    """95 % bands of one result."""

    def __init__(self, result: IdentificationResult, trials: int = 1000, seed: int = 0) -> None:
        """Draw `trials` times as many identities as there are."""
        self._run = IdentificationRun(result.ranks, result.separation, np.bincount(result.identity))
        self._identity = result.identity[result.probe]
        self._draws = bootstrap.identity_weights(len(self._run.probes), trials, seed)

    def cmc(self, ranks: ArrayLike) -> Band:
        """(low, high) of the share of pairs whose mate is among the best k, for each k of `ranks`, 1 is best."""
        return bootstrap.percentile_interval(self._run.cmc_trials(self._draws, self._identity, ranks))

    def roc(self, fprs: ArrayLike) -> Band:
        """(low, high) of the true positive rate at each false positive rate."""
        return bootstrap.percentile_interval(self._run.tpr_trials(self._draws, fprs))
