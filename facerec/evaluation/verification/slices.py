"""Verification by groups of people: is one threshold as good for women as for men, for one camera as for another?

All groups are judged by the same two thresholds, since a system has one for everybody: the benchmark's threshold for
accuracy, and the one at which the share `far` of all its impostor pairs is accepted, for the true accept rate (TAR) and the
false match rate (FMR). A group has the pairs whose two photos are both in it. Impostor pairs across two groups, which are
easier, count in no group but in a row of their own, and so do genuine pairs whose photos are labelled differently.

Intervals come from the bootstrap over people and hold both thresholds fixed. Sources: Grother, Ngan and Hanaoka, "Face
Recognition Vendor Test Part 3: Demographic Effects", NISTIR 8280, 2019 (one global threshold, ratios of FMR); ISO/IEC
19795-10:2024 (both photos of a group's impostor pairs are of that group).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.curves import pairs_needed, supports_rate, threshold_below, wilson
from facerec.evaluation.statistics.bootstrap import LEVEL, pair_trials, percentile_interval, weighted_shares

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

WITHIN = "both photos in the group"
"""Name of the rule by which a pair belongs to a group."""
_METRICS = ("accuracy", "tar", "fmr")


@dataclass(frozen=True)
class ScoredPairs:
    """n pairs of a benchmark.

    Attributes:
        distances: (n,) smaller is more alike.
        same: (n,) truth.
        first, second: (n,) numbers of the people in them, and the `unit` that is drawn, as
            `intervals.number_identities` gives them.
        threshold: the benchmark's for accuracy, the mean over its folds.
    """

    distances: Floats
    same: Bools
    first: Ints
    second: Ints
    unit: str
    threshold: float


@dataclass(frozen=True)
class Least:
    """How many people, and pairs of a kind, a group needs for its rates to be given."""

    people: int
    pairs: int


@dataclass(frozen=True)
class _Judged:
    """The pairs at both thresholds, and the trials."""

    pairs: ScoredPairs
    least: Least
    far: float
    at_far: float | None  # None where the impostor pairs do not support the rate
    trials: int
    seed: int

    def cases(self, inside: Bools) -> dict[str, tuple[Bools, Bools]]:
        """(hits, cases) of each metric among the pairs `inside` a group, as masks of all pairs."""
        distances, same = self.pairs.distances, self.pairs.same
        accepted = distances < (np.nan if self.at_far is None else self.at_far)
        right = (distances < self.pairs.threshold) == same
        kinds = {"accuracy": (right, inside), "tar": (accepted, inside & same), "fmr": (accepted, inside & ~same)}
        return {name: (hits & cases, cases) for name, (hits, cases) in kinds.items()}

    def drawn(self, groups: Sequence[Bools]) -> Floats:
        """(trials, groups, metrics) of each group when people are drawn."""
        if not groups:
            return np.empty((0, 0, len(_METRICS)))
        both = [pair for inside in groups for pair in self.cases(inside).values()]
        hits, cases = (np.array([pair[k] for pair in both], dtype=np.float64).T for k in (0, 1))
        first, second = self.pairs.first, self.pairs.second
        found = pair_trials(
            lambda weights: weighted_shares(weights, hits, cases), first, second, self.trials, self.seed
        )
        return found.reshape(-1, len(groups), len(_METRICS))


def slice_pairs(
    pairs: ScoredPairs,
    columns: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    least: Least,
    far: float,
    trials: int,
    seed: int,
) -> dict[str, Any]:
    """Every attribute and group of a benchmark, as plain values for JSON.

    Args:
        pairs: of the benchmark.
        columns: attribute -> the group of the first and of the second photo of each pair, "" where unknown.
        least: what a group needs.
        far: false accept rate, over all impostor pairs, of the threshold for TAR and FMR.
        trials, seed: of the bootstrap over people.
    """
    impostors = pairs.distances[~pairs.same]
    at_far = threshold_below(impostors, far) if supports_rate(far, len(impostors)) else None
    judged = _Judged(pairs, least, far, at_far, trials, seed)
    return {
        "far": far,
        "threshold": pairs.threshold,
        "threshold_at_far": at_far,
        "pairs_needed": pairs_needed(far) if at_far is None else None,
        "rule": WITHIN,
        "interval_over": pairs.unit,
        "columns": {name: _slice(judged, *map(np.asarray, groups)) for name, groups in columns.items()},
    }


def _slice(judged: _Judged, first: Any, second: Any) -> dict[str, Any]:
    """One attribute: its groups, the pairs that belong to none, the worst group and the ratio of false match rates."""
    known = (first != "") & (second != "")
    names = sorted({*first.tolist(), *second.tolist()} - {""})
    masks = [known & (first == name) & (second == name) for name in names]
    drawn = judged.drawn(masks)
    groups = {name: _group(judged, masks[k], drawn[:, k]) for k, name in enumerate(names)}
    across, same = known & (first != second), judged.pairs.same
    accepted = judged.cases(across)["fmr"][0]
    return {
        "groups": groups,
        "across": {
            "genuine": int((across & same).sum()),
            "impostor": int((across & ~same).sum()),
            "false_accepts": None if judged.at_far is None else int(accepted.sum()),
        },
        "unlabelled": int((~known).sum()),
        "worst": {name: _worst(name, groups, drawn[:, :, k]) for k, name in enumerate(_METRICS)},
        "fmr_ratio": _ratio(groups, drawn[:, :, _METRICS.index("fmr")]),
    }


def _group(judged: _Judged, inside: Bools, drawn: Floats) -> dict[str, Any]:
    """Counts and metrics of a group; None, with the reason in `lacking`, for one that it is too small for."""
    same, cases = judged.pairs.same, judged.cases(inside)
    genuine, impostor = int((inside & same).sum()), int((inside & ~same).sum())
    people = len(np.unique(np.concatenate([judged.pairs.first[inside], judged.pairs.second[inside]])))
    needed = {
        "people": (people, judged.least.people),
        "genuine pairs": (genuine, judged.least.pairs),
        "impostor pairs": (impostor, judged.least.pairs),
        "impostor pairs for FMR": (impostor, pairs_needed(judged.far)),
    }
    small = {what for what, (count, least) in needed.items() if count < least}
    lacking = [f"{count:,} of {least:,} {what}" for what, (count, least) in needed.items() if what in small]
    shown = {
        "accuracy": not small & {"people", "genuine pairs", "impostor pairs"},
        "tar": not small & {"people", "genuine pairs"} and judged.at_far is not None,
        "fmr": not small & {"people", "impostor pairs for FMR"} and judged.at_far is not None,
    }
    found: dict[str, Any] = {"people": people, "genuine": genuine, "impostor": impostor, "lacking": "; ".join(lacking)}
    for k, name in enumerate(_METRICS):
        hits, counted = (int(mask.sum()) for mask in cases[name])
        found[name] = hits / counted if shown[name] else None
        low, high = _interval(drawn[:, k], hits, counted) if shown[name] else (None, None)
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found | {"false_accepts": None if judged.at_far is None else int(cases["fmr"][0].sum())}


def _interval(drawn: Floats, hits: int, counted: int) -> tuple[float, float]:
    """Of a share; Wilson's where drawing people again shows no spread, since all or none of the cases are hits."""
    if 0 < hits < counted:
        return _percentiles(drawn)
    lowest, highest = wilson(hits / counted, counted)
    return float(lowest), float(highest)


def _percentiles(drawn: Floats) -> tuple[float, float]:
    """The interval of trials that may be infinite; those of NaN do not count."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _worst(name: str, groups: Mapping[str, Mapping[str, Any]], drawn: Floats) -> dict[str, Any] | None:
    """The worst group by a metric, and by how much it is worse than the best; None unless two groups have it."""
    order = _ordered(name, groups)
    if order is None:
        return None
    worst, best = order if name != "fmr" else order[::-1]  # a high false match rate is bad
    numbers = list(groups)
    gap = abs(groups[worst][name] - groups[best][name])
    gaps = drawn[:, numbers.index(best)] - drawn[:, numbers.index(worst)]
    low, high = _percentiles(-gaps if name == "fmr" else gaps)
    return {"group": worst, "best": best, "gap": gap, "gap_low": low, "gap_high": high}


def _ratio(groups: Mapping[str, Mapping[str, Any]], drawn: Floats) -> dict[str, Any] | None:
    """Greatest FMR over least; None unless two groups have one, and no number where the least is 0."""
    order = _ordered("fmr", groups)
    if order is None:
        return None
    least, most = order
    numbers = list(groups)
    found: dict[str, Any] = {"highest": most, "lowest": least, "ratio": None, "ratio_low": None, "ratio_high": None}
    if groups[least]["fmr"] > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = _percentiles(drawn[:, numbers.index(most)] / drawn[:, numbers.index(least)])
        found |= {"ratio": groups[most]["fmr"] / groups[least]["fmr"], "ratio_low": low}
        found["ratio_high"] = high if np.isfinite(high) else None
    return found


def _ordered(name: str, groups: Mapping[str, Mapping[str, Any]]) -> tuple[str, str] | None:
    """The groups with the lowest and the highest value of a metric."""
    having = [group for group, values in groups.items() if values[name] is not None]
    if len(having) < 2:
        return None
    lowest = min(having, key=lambda group: groups[group][name])
    return lowest, max(reversed(having), key=lambda group: groups[group][name])


def accuracy_of_folds(
    right: Bools, folds: Ints, first: Ints, second: Ints, trials: int = 1000, seed: int = 1
) -> tuple[float, float, float]:
    """Mean over folds of the share of pairs judged right, and its 95 % interval by the bootstrap over people.

    All are (n,): whether a pair was judged right, its fold, folds in ascending order, and the numbers of its people. A
    fold without pairs is left out.

    >>> accuracy_of_folds(np.array([True, True, True, False]), *(np.array([0, 0, 1, 1]),) * 3, trials=2)[0]
    0.75
    """
    starts = np.flatnonzero(np.diff(folds, prepend=-1))

    def measure(weights: Floats) -> Floats:
        good, drawn = (np.add.reduceat(each, starts, axis=1) for each in (weights * right, weights))
        shares = np.divide(good, drawn, out=np.full_like(good, np.nan), where=drawn > 0)
        mean: Floats = np.nanmean(shares, axis=1)[:, None]
        return mean

    low, high = percentile_interval(pair_trials(measure, first, second, trials, seed))
    return float(measure(np.ones((1, len(right))))[0, 0]), float(low[0]), float(high[0])
