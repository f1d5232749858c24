"""Paired comparison of two identification runs: what differs, and whether by more than chance.

In every trial the same people are drawn for both runs, with all their probes. The distractors stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facerec.core import FormatError
from facerec.evaluation.curves import rate_name
from facerec.evaluation.identification.bands import IdentificationRun
from facerec.evaluation.identification.result import Doubles, Ints
from facerec.evaluation.statistics.bootstrap import identity_weights
from facerec.evaluation.statistics.significance import DEFAULT_TRIALS, RunComparison, Trials, summarise_difference


def compare_identification(
    first: IdentificationRun,
    second: IdentificationRun,
    identity: Ints,
    fprs: Sequence[float] = (),
    trials: Trials = DEFAULT_TRIALS,
) -> RunComparison:
    """Compare two runs by rank-1 and by the true positive rate at `fprs`; pair i is of identity[i].

    Raises FormatError when the runs do not fit the pairs.
    """
    if not len(first.ranks) == len(second.ranks) == len(identity):
        raise FormatError(f"both runs must have ranked the same {len(identity)} pairs.")
    draws = identity_weights(len(first.probes), trials.count, trials.seed)
    names = ("rank1", *(f"tpr@{rate_name(fpr)}" for fpr in fprs))
    here, there = (run.metrics(fprs) for run in (first, second))
    drawn = _trials(second, draws, identity, fprs) - _trials(first, draws, identity, fprs)
    return RunComparison(
        headline="rank1",
        figures={
            name: summarise_difference(here[k], there[k], drawn[:, k], trials.level) for k, name in enumerate(names)
        },
        pairs=len(identity),
        unit="identities",
        units=len(np.unique(identity)),
        equal=_equal(first, second),
    )


def _trials(run: IdentificationRun, draws: Doubles, identity: Ints, fprs: Sequence[float]) -> Doubles:
    rank1 = run.cmc_trials(draws, identity, [1])
    return np.hstack([rank1, run.tpr_trials(draws, fprs)]) if fprs else rank1


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
