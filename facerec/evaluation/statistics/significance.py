"""Significance of the difference between two runs: intervals, p-values and verdicts from paired bootstrap trials.

Both runs are measured in the same trials, so that what is hard for any network cancels.
Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals); Liu and
Singh, "Notions of limiting P values based on data depth and bootstrap", JASA 1997 (the p-value that goes with
them); Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 4.2 (why one is added to counts
and trials); Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 1979.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import ParamsError
from facerec.evaluation.statistics import bootstrap

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """Trials of a comparison; ParamsError for values that make no test.

    Attributes:
        count: how many trials.
        seed: of the draws.
        level: of the intervals, such as 0.95.
    """

    count: int = 1000
    seed: int = 1
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 100 <= self.count <= 100_000:
            raise ParamsError(f"a comparison takes 100 to 100,000 trials, not {self.count}.")
        if not 0.5 <= self.level < 1:
            raise ParamsError(f"the level lies between 0.5 and 1, such as 0.95, not {self.level}.")
        if self.seed < 0:
            raise ParamsError(f"a seed is not negative: {self.seed}.")


DEFAULT_TRIALS = Trials()


@dataclass(frozen=True)
class Difference:
    """One metric of two runs.

    Attributes:
        first, second: the metric in either run.
        low, high: percentile interval of second - first.
        p: two-sided p-value of "the runs are equally good by this metric".
    """

    first: float
    second: float
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        """How much greater the metric is in the second run."""
        return self.second - self.first


@dataclass(frozen=True)
class RunComparison:
    """Two runs on one benchmark.

    Attributes:
        headline: name of the metric that decides, the first of `metrics`.
        metrics: metrics by name: "accuracy", "tar@1e-3", "rank1".
        pairs: how many pairs both runs measured.
        unit: "identities" or "pairs", whichever were drawn.
        units: how many of them there are.
        equal: whether both runs gave every pair the same outcome, to the bit.
    """

    headline: str
    metrics: dict[str, Difference]
    pairs: int
    unit: str
    units: int
    equal: bool


def summarise_difference(first: float, second: float, drawn: ArrayLike, level: float) -> Difference:
    """The metric of two runs with the interval and p-value of (trials,) differences second - first, without NaN."""
    values = np.asarray(drawn, dtype=np.float64)
    low, high = bootstrap.percentile_interval(values, level)
    return Difference(first, second, float(low), float(high), p_value(values))


def p_value(drawn: ArrayLike) -> float:
    """Two-sided p-value of no difference, given (trials,) bootstrapped differences; trials of NaN do not count.

    The percentile interval of level 1 - p is the widest that leaves out 0. One is added to counts and trials: a
    bootstrap of n trials cannot show a p below 2 / (n + 1), and 0 never.
    """
    values = np.asarray(drawn, dtype=np.float64)
    values = values[~np.isnan(values)]
    rarer = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(values) + 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for their number by Holm's method, which bounds the chance of any false alarm.

    >>> holm({"lfw": 0.01, "cfp": 0.04})
    {'lfw': 0.02, 'cfp': 0.04}
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def run_verdict(found: RunComparison, p: float, level: float) -> str:
    """The second run against the first: "identical", "better", "worse" or "no difference shown", by an adjusted p-value."""
    if found.equal:
        return "identical"
    if p > 1 - level:
        return "no difference shown"
    return "better" if found.metrics[found.headline].difference > 0 else "worse"
