"""What is said of a template benchmark: rates with their intervals, as JSON and as a flat table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import rate_name
from facerec.evaluation import curves
from facerec.evaluation.templates import Reading, SearchRates, SortedScores

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""False accept rates that InsightFace's tables have."""
FPIRS = (0.01, 0.1)
RANKS = (1, 5, 10)

Intervals = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class TemplateRates:
    """Verification of template pairs.

    Attributes:
        genuine, impostor: how many pairs.
        failed: pairs with a template that has no face, which count as if they were least alike.
        exact, nearest: the readings at or below each rate, and nearest to it; None where the impostor pairs are too few.
        interval: of the exact true accept rates by rate, 95 %; empty without a bootstrap.
        interval_over: what was drawn.
        roc: plot records of the curve.
    """

    genuine: int
    impostor: int
    failed: int
    exact: dict[float, Reading | None]
    nearest: dict[float, Reading | None]
    interval: Intervals = field(default_factory=dict)
    interval_over: str | None = None
    roc: list[dict[str, float]] = field(default_factory=list)

    @property
    def wanted(self) -> list[float]:
        """Rates for which `with_intervals` needs intervals: those that are supported, then those of the curve."""
        return [*(far for far, reading in self.exact.items() if reading), *(point["fpr"] for point in self.roc)]

    def with_intervals(self, low: NDArray[np.float64], high: NDArray[np.float64], over: str) -> TemplateRates:
        """The same with the intervals of the rates `wanted`, in their order."""
        names = [rate_name(far) for far, reading in self.exact.items() if reading]
        cut = len(names)
        roc = curves.banded(self.roc, "tpr", (low[cut:], high[cut:]))
        return replace(self, interval=named_intervals(names, low[:cut], high[:cut]), interval_over=over, roc=roc)

    def answer(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {rate_name(far): reading for far, reading in self.exact.items()}
        return {
            "genuine": self.genuine,
            "impostor": self.impostor,
            "failures": self.failed,
            "tar": _tars(self.exact),
            "tar_nearest": _tars(self.nearest),
            "far": {name: reading and reading.far for name, reading in found.items()},
            "threshold": {name: reading and _finite(reading.threshold) for name, reading in found.items()},
            "unsupported": [name for name, reading in found.items() if reading is None],
            **_with_intervals(self.interval, self.interval_over),
        }


@dataclass(frozen=True)
class IdentificationRates:
    """Identification in two galleries.

    Attributes:
        probes, gallery: how many templates, those of both galleries together.
        galleries: rates of each gallery by its name.
        separate: their means.
        merged: rates in both together as InsightFace counts them; None unless every probe has one mate there.
        interval: of the means, by name of the metric, 95 %; empty without a bootstrap.
    """

    probes: int
    gallery: int
    galleries: dict[str, SearchRates]
    separate: SearchRates
    merged: SearchRates | None
    interval: Intervals = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "probes": self.probes,
            "gallery": self.gallery,
            "separate": search_metrics(self.separate),
            "merged": None if self.merged is None else search_metrics(self.merged),
            "galleries": {name: search_metrics(each) for name, each in self.galleries.items()},
            **_with_intervals(self.interval, "subjects"),
        }


@dataclass(frozen=True)
class TemplateRecord:
    """All that was measured of one benchmark; parts for which there were no lists are None.

    Attributes:
        counts: of photos, media and templates; empty where only scores were given.
        weighting: how faces were weighted in their templates.
    """

    counts: Mapping[str, int]
    weighting: str | None
    verification: TemplateRates | None
    identification: IdentificationRates | None

    def answer(self) -> dict[str, Any]:
        """As `facerec ijb --json` prints it."""
        parts = {"verification": self.verification, "identification": self.identification}
        shown = {name: part.answer() for name, part in parts.items() if part is not None}
        return {**self.counts, "weighting": self.weighting, **shown}

    def rows(self) -> dict[str, str]:
        """The lines of a table for people, in percent."""
        lines = {name.replace("_", " "): f"{count:,}" for name, count in self.counts.items()}
        lines |= {"weighting": self.weighting} if self.weighting else {}
        if (pairs := self.verification) is not None:
            lines["pairs"] = f"{pairs.genuine:,} genuine, {pairs.impostor:,} impostor, {pairs.failed:,} without a face"
            for far, reading in pairs.exact.items():
                near, name = pairs.nearest[far], f"TAR at FAR {rate_name(far)}"
                lines[name] = _percent(_tar(reading)) + _span(pairs.interval.get(rate_name(far)))
                lines[name] += f", nearest {_percent(near.tar)}" if near else f"; needs {1 / far:,.0f} impostor pairs"
        if (search := self.identification) is not None:
            lines["search"] = f"{search.probes:,} probes, {search.gallery:,} templates in galleries"
            merged = {} if search.merged is None else search_metrics(search.merged)
            for name, value in search_metrics(search.separate).items():
                lines[name] = _percent(value) + _span(search.interval.get(name))
                lines[name] += f", merged {_percent(merged[name])}" if merged else ""
        return lines


def metric_names(ranks: Sequence[int], fpirs: Sequence[float]) -> list[str]:
    """Names of the metrics of a search, such as rank1 and tpir@1e-2."""
    return [*(f"rank{k}" for k in ranks), *(f"tpir@{rate_name(rate)}" for rate in fpirs)]


def search_metrics(found: SearchRates) -> dict[str, float | None]:
    """The rates by the names of `metric_names`."""
    values = [*found.ranks.values(), *found.tpir.values()]
    return dict(zip(metric_names(list(found.ranks), list(found.tpir)), values, strict=True))


def rates_of_pairs(scores: NDArray[np.floating], same: NDArray[np.bool_], failed: int, curve: bool) -> TemplateRates:
    """Rates of (n,) pairs at FARS; `failed` of them lack a face, and the curve is made if it is wanted."""
    pairs = SortedScores.of(scores, same)
    supported = {far: pairs.supports(far) for far in FARS}
    exact = {far: pairs.at_or_below(far) if enough else None for far, enough in supported.items()}
    nearest = {far: pairs.nearest(far) if enough else None for far, enough in supported.items()}
    roc: curves.Records = []
    if curve:
        points = [pairs.at_or_below(far) for far in np.geomspace(1 / len(pairs.impostor), 1, curves.POINTS)]
        roc = curves.roc_records([at.far for at in points], [at.tar for at in points], len(pairs.genuine))
    return TemplateRates(len(pairs.genuine), len(pairs.impostor), failed, exact, nearest, roc=roc)


def named_intervals(names: Sequence[str], low: NDArray[np.float64], high: NDArray[np.float64]) -> Intervals:
    """(low, high) by name."""
    return dict(zip(names, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def _tars(readings: Mapping[float, Reading | None]) -> dict[str, float | None]:
    return {rate_name(far): _tar(reading) for far, reading in readings.items()}


def _tar(reading: Reading | None) -> float | None:
    return None if reading is None else reading.tar


def _with_intervals(interval: Intervals, over: str | None) -> dict[str, Any]:
    if not interval:
        return {}
    return {"interval": {name: {"lo": lo, "hi": hi} for name, (lo, hi) in interval.items()}, "interval_over": over}


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
