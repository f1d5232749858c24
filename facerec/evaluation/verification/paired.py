"""Two verification runs on the same pairs: what differs, and whether by more than chance.

In every trial the same people are drawn for both runs, and both are judged anew by their protocol, thresholds
and all.

A pair of two people counts w_a w_b times (`facerec.evaluation.statistics.bootstrap`), which is right for what its people do in all their
pairs, but takes the noise of the pair itself three times over: where few pairs share people, as in LFW, differences
would spread up to 1.7 times too wide. So that noise is measured by drawing pairs of two people by themselves, the
surplus is taken off the variance, but never below that of drawing all pairs by themselves, and the trials are drawn
in by as much. Sources: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007 (why three times);
Aronow, Samii and Assenova, "Cluster-robust variance estimation for dyadic data", Political Analysis 2015 (what the
variance is).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facerec.core import FormatError
from facerec.evaluation.curves import rate_name
from facerec.evaluation.statistics import bootstrap
from facerec.evaluation.statistics.significance import DEFAULT, RunComparison, Trials, difference
from facerec.evaluation.verification.counting import Bools, Floats
from facerec.evaluation.verification.intervals import people
from facerec.evaluation.verification.protocols import PROTOCOLS
from facerec.evaluation.verification.weighted_bootstrap import Ints, WeightedPairs

_CHUNK = 50  # trials at once
_SURPLUS = 2.0  # times too often that the noise of a pair of two people is in the trials


@dataclass(frozen=True)
class VerificationRun:
    """What one run found on n pairs.

    Attributes:
        distances: (n,) of each pair, as measured in its own fold.
        folds: (n,) number of each pair's fold.
        figures: "accuracy", "auc", "eer" and TAR by "tar@1e-3", as the run published them.
    """

    distances: Floats
    folds: Ints
    figures: Mapping[str, float]


@dataclass(frozen=True)
class ComparedPairs:
    """The n pairs that both runs judged: whether each is one person, and who its photos show, "" where unknown."""

    same: Bools
    first: Sequence[str]
    second: Sequence[str]


def compare_verification(
    first: VerificationRun,
    second: VerificationRun,
    pairs: ComparedPairs,
    protocol: str,
    fars: Sequence[float] = (),
    trials: Trials = DEFAULT,
) -> RunComparison:
    """Compare two runs that one protocol judged, by accuracy, TAR at `fars`, AUC and EER.

    Figures are those published; trials say how far they may be off. (concat-mean measures the pairs that train a
    fold by that fold's mean, which no run keeps; trials take each pair as its own fold measured it.) Raises
    FormatError when the runs do not fit the pairs.
    """
    count = len(pairs.same)
    if any(len(each) != count for run in (first, second) for each in (run.distances, run.folds)):
        raise FormatError(f"both runs must have judged the same {count} pairs.")
    left, right, unit = people(pairs.first, pairs.second, pairs.same)
    judges = [
        WeightedPairs(r.distances, pairs.same, r.folds, PROTOCOLS[protocol], fars) for r in (first, second)
    ]
    changes = _changes(judges, left, right, trials)
    names = ("accuracy", *(f"tar@{rate_name(far)}" for far in fars), "auc", "eer")
    figures = {}
    for name, change in zip(names, changes.T, strict=True):
        here, there = first.figures[name], second.figures[name]
        figures[name] = difference(here, there, there - here + change, trials.level)
    return RunComparison(
        headline="accuracy",
        figures=figures,
        pairs=count,
        unit=unit,
        units=len(np.unique([left, right])),
        equal=_equal(first, second),
    )


def _changes(judges: Sequence[WeightedPairs], left: Ints, right: Ints, trials: Trials) -> Floats:
    """(trials, figures) by how much drawing people moves the difference between two runs' figures."""
    identities = int(max(left.max(), right.max())) + 1
    people = bootstrap.identity_weights(identities, trials.count, trials.seed)
    moves = _moves(judges, people, lambda draws: bootstrap.pair_weights(draws, left, right))
    if np.array_equal(left, right):
        return moves
    lone = [
        _of_lone_pairs(judges, pairs, trials) for pairs in (np.ones(len(left), dtype=bool), left != right)
    ]
    spread, least, noise = (np.nanvar(each, axis=0) for each in (moves, *lone))
    true = np.minimum(np.maximum(spread - _SURPLUS * noise, least), spread)
    narrowed: Floats = moves * np.sqrt(np.divide(true, spread, out=np.ones_like(spread), where=spread > 0))
    return narrowed


def _of_lone_pairs(judges: Sequence[WeightedPairs], some: Bools, trials: Trials) -> Floats:
    """As `_changes`, with `some` pairs drawn, each by itself, and the others as they are."""

    def weigh(draws: Floats) -> Floats:
        weights = np.ones((len(draws), len(some)))
        weights[:, some] = draws
        return weights

    return _moves(judges, bootstrap.identity_weights(int(some.sum()), trials.count, trials.seed), weigh)


def _moves(judges: Sequence[WeightedPairs], draws: Floats, weigh: Callable[[Floats], Floats]) -> Floats:
    """(trials, figures) difference of the judges' figures with the pairs weighed by `draws`, less the plain one."""
    first, second = judges
    rows = []
    for start in range(0, len(draws), _CHUNK):
        weights = weigh(draws[start : start + _CHUNK])
        rows.append(second.figures(weights) - first.figures(weights))
    plain = weigh(np.ones((1, draws.shape[1])))
    return np.concatenate(rows) - (second.figures(plain) - first.figures(plain))


def _equal(first: VerificationRun, second: VerificationRun) -> bool:
    return np.array_equal(first.distances, second.distances) and np.array_equal(first.folds, second.folds)
