"""Two identification runs on the same probes: what differs, and whether by more than chance.

In every trial the same people are drawn for both runs, with all their probes: their searches, and their impostor
scores. The distractors stay, so what is told is about other people among these distractors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facerec.core import FormatError
from facerec.evaluation.curves import rate_name
from facerec.evaluation.identification.scores import Ints
from facerec.evaluation.identification.separation import Doubles, Separation
from facerec.evaluation.statistics import bootstrap
from facerec.evaluation.statistics.significance import DEFAULT, RunComparison, Trials, difference


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
        rank1 = bootstrap.shares(draws, hits, np.bincount(identity, minlength=people))
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
    trials: Trials = DEFAULT,
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
            name: difference(here[k], there[k], drawn[:, k], trials.level) for k, name in enumerate(names)
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
