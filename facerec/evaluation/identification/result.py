"""What an identification run found: frozen, with every rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.curves import rate_name
from facerec.evaluation.identification.scores import Ints
from facerec.evaluation.identification.separation import Separation
from facerec.evaluation.identification.sweeps import Subset


@dataclass(frozen=True)
class IdentificationResult:
    """Identification of p probe-mate pairs among m distractors.

    Attributes:
        rank1: share of pairs whose mate scores above every distractor (ties with the mate are won by it).
        ranks: (p,) how many distractors score above the mate, 0 is best; ordered by identity, then by
            probe, then by mate, the last two as in the list given.
        probe, mate: (p,) rows of the probes that each rank belongs to.
        identity: (probes,) number of each probe's identity, in sorted order of their names.
        tpr: true-positive rate by false-positive rate asked for, exact: positives are the unordered
            same-identity pairs, negatives are all probes x all distractors. Where a positive and a
            negative score alike the positive goes first, as in the devkit.
        supported: by false-positive rate, whether there are at least 1/rate negatives. Where there are
            not, `tpr` is the rate at no false positive at all.
        cmc: (k, share of pairs whose mate is among the best k), k = 1, ... at each k where it rises.
        roc: (fpr, tpr) as above, at each fpr where tpr rises; up to the last exactly known fpr.
        separation: what `tpr` and `roc` were read from.
        devkit: {"cmc", "roc", "traditional_cmc", "matches"} as the MegaFace devkit writes them to JSON.
        sweeps: the same among random subsets of the distractors, by size, then set.
        pairs, probes, distractors: how many there are.
        failures: (probes, distractors) that could not be enrolled (a row of NaN). A pair with such a
            probe ranks last; such a distractor never outranks anyone.
    """

    rank1: float
    ranks: Ints
    probe: Ints
    mate: Ints
    identity: Ints
    tpr: dict[float, float]
    supported: dict[float, bool]
    cmc: tuple[Ints, NDArray[np.float64]]
    roc: tuple[NDArray[np.float64], NDArray[np.float64]]
    separation: Separation
    devkit: dict[str, Any]
    sweeps: tuple[Subset, ...]
    pairs: int
    probes: int
    distractors: int
    failures: tuple[int, int]

    def metrics(self) -> dict[str, float]:
        """Flat scalars for a metrics file; 'tpr@1e-6' only where that rate is supported."""
        rates = {f"tpr@{rate_name(fpr)}": tpr for fpr, tpr in self.tpr.items() if self.supported[fpr]}
        return {
            "rank1": self.rank1,
            "rank10": float(np.mean(self.ranks < 10)),
            **rates,
            "pairs": self.pairs,
            "probes": self.probes,
            "distractors": self.distractors,
            "probe_failures": self.failures[0],
            "distractor_failures": self.failures[1],
        }
