"""The result of an identification run: every rank, and exact rates at low false positive rates.

Billions of impostor scores are too many to keep, so `Separation` keeps the highest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import rate_name
from facerec.evaluation.curves import allowed_false_accepts
from facerec.evaluation.statistics import bootstrap

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Interval = tuple[Doubles, Doubles]


@dataclass(frozen=True)
class SubsetResult:
    """Identification among some of the distractors.

    Attributes:
        size: how many distractors. set: which random order they are from, counted from 1.
        rank1: share of pairs whose mate scores above all of them.
        tpr: exact true positive rate by false positive rate, where the subset supports the rate.
    """

    size: int
    set: int
    rank1: float
    tpr: dict[float, float]


@dataclass(frozen=True)
class IdentificationResult:
    """Identification of p probe-mate pairs among m distractors.

    Attributes:
        rank1: share of pairs whose mate scores above every distractor (ties with the mate are won by it).
        ranks: (p,) how many distractors score above the mate, 0 is best; by identity, then by probe and mate as listed.
        probe, mate: (p,) rows of the probes that each rank belongs to.
        identity: (probes,) number of each probe's identity, in sorted order of their names.
        tpr: true positive rate by false positive rate asked for, exact: positives are the unordered
            same-identity pairs, negatives are all probes x all distractors. Where a positive and a
            negative score alike the positive goes first, as in the devkit.
        supported: by false positive rate, whether there are enough negatives (`curves.supports_rate`). Where there are
            not, `tpr` is the rate at no false positive at all.
        cmc: (k, share of pairs whose mate is among the best k), k = 1, ... at each k where it rises.
        roc: (fpr, tpr) as above, at each fpr where tpr rises; up to the last exactly known fpr.
        separation: the positives and highest impostors from which `tpr` and `roc` follow.
        devkit: {"cmc", "roc", "traditional_cmc", "matches"} as the MegaFace devkit writes them to JSON.
        sweeps: the same among random subsets of the distractors, by size, then set.
        pairs, probes, distractors: how many there are.
        failures: (probes, distractors) without features (a row of NaN). A pair with such a probe ranks last.
        repeated: probes with the features of an earlier probe.
    """

    rank1: float
    ranks: Ints
    probe: Ints
    mate: Ints
    identity: Ints
    tpr: dict[float, float]
    supported: dict[float, bool]
    cmc: tuple[Ints, Doubles]
    roc: tuple[Doubles, Doubles]
    separation: Separation
    devkit: dict[str, Any]
    sweeps: tuple[SubsetResult, ...]
    pairs: int
    probes: int
    distractors: int
    failures: tuple[int, int]
    repeated: int

    def metrics(self) -> dict[str, float]:
        """Flat scalars for a metrics file; 'tpr@1e-6' only where that rate is supported."""
        rates = {f"tpr@{rate_name(fpr)}": tpr for fpr, tpr in self.tpr.items() if self.supported[fpr]}
        return {
            "rank1": self.rank1,
            "rank10": float(np.mean(self.ranks < 10)),
            **rates,
            "pairs": self.pairs,
            "probes": self.probes,
            "people": len(np.unique(self.identity[self.probe])),
            "repeated_probes": self.repeated / self.probes,
            "distractors": self.distractors,
            "probe_failures": self.failures[0],
            "distractor_failures": self.failures[1],
        }


@dataclass(frozen=True)
class Separation:
    """Positives by ascending score, and the impostors that score highest.

    Attributes:
        pair: (p,) row of each unordered same-identity pair among the ordered ones.
        identity: (p,) of each.
        enrolled: (p,) whether both faces have features.
        false_positives: (p,) impostors that score strictly above it, right up to `known`.
        tail_identity: (k,) identity of the probe of the k highest impostors, highest first.
        known: up to how many false positives are exactly known.
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
        few = self.false_positives <= allowed_false_accepts(fpr, self.negatives)
        return float(np.mean(few & self.enrolled))

    def weighted_tpr(self, weights: Doubles, fprs: Sequence[float] | Doubles, negatives: float) -> Doubles:
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
        seen = np.sort(self._known_positives[0])
        steps = np.unique(np.concatenate([[0], seen, [self.known]]))
        return steps / self.negatives, np.searchsorted(seen, steps, side="right") / len(self.identity)


def count_false_positives(positives: NDArray[np.float32], tail: NDArray[np.float32]) -> Ints:
    """(p,) impostors of the descending tail that are strictly above each positive, which come ascending."""
    return np.searchsorted(-tail, -positives, side="left").astype(np.int64)


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
    """95 % bands of one result, by the bootstrap over the identities of the probes.

    All probes of a person are drawn together, with their pairs and their impostor scores. The distractors stay, so the
    bands tell about other people among these distractors.
    """

    def __init__(self, result: IdentificationResult, trials: int = 1000, seed: int = 0) -> None:
        """Draw `trials` times as many identities as there are."""
        self._run = IdentificationRun(result.ranks, result.separation, np.bincount(result.identity))
        self._identity = result.identity[result.probe]
        self._draws = bootstrap.identity_weights(len(self._run.probes), trials, seed)

    def cmc(self, ranks: ArrayLike) -> Interval:
        """(low, high) of the share of pairs whose mate is among the best k, for each k of `ranks`, 1 is best."""
        return bootstrap.percentile_interval(self._run.cmc_trials(self._draws, self._identity, ranks))

    def roc(self, fprs: ArrayLike) -> Interval:
        """(low, high) of the true positive rate at each false positive rate."""
        return bootstrap.percentile_interval(self._run.tpr_trials(self._draws, fprs))
