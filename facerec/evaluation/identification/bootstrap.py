"""95 % bands of an identification result by bootstrap over the probes' identities.

All of a person's probes come and go together: their pairs, and their impostor scores. The distractors stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.evaluation.identification.result import IdentificationResult
from facerec.evaluation.identification.scores import Ints
from facerec.evaluation.statistics import bootstrap

Band = tuple[NDArray[np.float64], NDArray[np.float64]]


class Bootstrap:
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
        return bootstrap.interval(
            bootstrap.shares(self._weights, np.cumsum(hits, axis=1)[:, : len(ks)], totals)
        )

    def roc(self, fprs: Sequence[float] | NDArray[np.float64]) -> Band:
        """(low, high) of the true-positive rate at each false-positive rate, both drawn anew in each trial.

        Where a trial allows more false positives than are exactly known, its rate is that at the last known.
        """
        rates = np.asarray(fprs, dtype=np.float64)
        return bootstrap.interval(np.stack([self._tpr(weights, rates) for weights in self._weights]))

    def _tpr(self, weights: NDArray[np.float64], fprs: NDArray[np.float64]) -> NDArray[np.float64]:
        negatives = float(weights @ self._probes) * self._result.distractors
        return self._result.separation.drawn_tpr(weights, fprs, negatives)

    @cached_property
    def _probes(self) -> Ints:
        """(identities,) probes of each."""
        return np.bincount(self._result.identity, minlength=self._weights.shape[1])
