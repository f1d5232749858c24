"""Tables of two runs, as `facerec compare-runs` prints them.

The verdict on a benchmark depends only on its headline metric, accuracy or rank-1, with Holm's correction for the
number of benchmarks: of many metrics some differ by chance. The other metrics are shown for information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from facerec.evaluation.statistics.significance import RunComparison, Trials, holm, run_verdict
from facerec.reporting.formatting import escape_markdown

_VERDICTS = ("benchmark", "verdict", "judged on", "p", "p (Holm)")
_LONGEST = 13  # letters of a revision's name in a terminal
_LABELS = {"accuracy": "accuracy", "auc": "AUC", "eer": "EER", "rank1": "rank-1", "rank1_raw": "rank-1, raw"}
_NAMELESS = (
    "Where the people are unknown, pairs are drawn instead, as if they were independent, so intervals come out a "
    "little too narrow there."
)


@dataclass(frozen=True)
class ComparisonReport:
    """Two runs, named as the user named them, and the differences between them.

    Attributes:
        benchmarks: the comparison of each benchmark, see `facerec.evaluation.comparison`.
        omitted: benchmark that cannot be compared -> reason.
        arithmetic: kind of machine of either run, where known.
    """

    first: str
    second: str
    trials: Trials
    benchmarks: Mapping[str, RunComparison]
    omitted: Mapping[str, str]
    arithmetic: tuple[str | None, str | None] = (None, None)

    @property
    def machines(self) -> str:
        """The `machine_note` on its two runs."""
        return machine_note(list(zip((self.first, self.second), self.arithmetic, strict=True)))

    @cached_property
    def adjusted(self) -> dict[str, float]:
        """p-values of the headline metrics, Holm-corrected among the benchmarks on which the runs are not identical."""
        p = {name: found.metrics[found.headline].p for name, found in self.benchmarks.items()}
        return p | holm({name: p[name] for name, found in self.benchmarks.items() if not found.equal})

    def verdict(self, name: str) -> str:
        """The verdict on the second run, in plain words."""
        return run_verdict(self.benchmarks[name], self.adjusted[name], self.trials.level)


def comparison_as_json(report: ComparisonReport) -> dict[str, Any]:
    """The whole comparison, metrics as shares of 1."""
    benchmarks = {}
    for name, found in report.benchmarks.items():
        metrics = {key: {**asdict(each), "difference": each.difference} for key, each in found.metrics.items()}
        judged = {"p_holm": report.adjusted[name], "verdict": report.verdict(name)}
        benchmarks[name] = {**asdict(found), "metrics": metrics, **judged}
    runs: dict[str, Any] = {"first": report.first, "second": report.second}
    runs |= {"arithmetic": report.arithmetic, "note": report.machines}
    return {**runs, **asdict(report.trials), "benchmarks": benchmarks, "omitted": dict(report.omitted)}


def machine_note(runs: Sequence[tuple[str, str | None]]) -> str:
    """A sentence where the named runs were computed on several kinds of machine; "" where not, or not known.

    >>> machine_note([("main", "portable x86-64"), ("gpu", "a GPU (cuda)"), ("old", None)])
    'Computed on machines that round differently, which may be part of a difference: main on portable x86-64; gpu on a GPU (cuda).'
    """
    made: dict[str, list[str]] = {}
    for name, kind in runs:
        if kind:
            made.setdefault(kind, []).append(name)
    told = "; ".join(f"{', '.join(names)} on {kind}" for kind, names in made.items())
    return (
        f"Computed on machines that round differently, which may be part of a difference: {told}."
        if len(made) > 1
        else ""
    )


def omission_reasons(omitted: Mapping[str, str]) -> list[str]:
    """A line for each reason, with the benchmarks that are not compared for it.

    >>> omission_reasons({"lfw": "only main has it", "cfp_fp": "only main has it"})
    ['lfw, cfp_fp: only main has it']
    """
    names: dict[str, list[str]] = {}
    for name, reason in omitted.items():
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(each)}: {reason}" for reason, each in names.items()]


def terminal_tables(report: ComparisonReport) -> Group:
    """Verdicts, metrics and remarks, for a terminal of 80 columns (`facerec.core.terminal`)."""
    verdicts = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for header in _VERDICTS:
        verdicts.add_column(header, justify="right" if header.startswith("p") else "left")
    for row in _verdict_rows(report):
        verdicts.add_row(*row)
    metrics = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    metrics.add_column("metric", no_wrap=True)
    for header in _metric_headers(report):
        shown = header if len(header) <= _LONGEST else f"{header[: _LONGEST - 1]}…"
        metrics.add_column(shown, justify="right", no_wrap=True)
    for name, found in report.benchmarks.items():
        metrics.add_row(name, style="bold")
        for label, *numbers in _metric_rows(found):
            metrics.add_row(f"  {label}", *numbers)
    above: list[RenderableType] = [report.machines, ""] if report.machines else []
    return Group(*above, verdicts, "", metrics, "", *_remarks(report))


def markdown_tables(report: ComparisonReport) -> str:
    """Verdicts, metrics and remarks, as Markdown."""
    verdicts = _markdown_table(_VERDICTS, 3, _verdict_rows(report))
    metrics = [[name, *row] for name, found in report.benchmarks.items() for row in _metric_rows(found)]
    headers = ("benchmark", "metric", *_metric_headers(report))
    above, remarks = [report.machines] if report.machines else [], map(escape_markdown, _remarks(report))
    return "\n\n".join([*map(escape_markdown, above), verdicts, _markdown_table(headers, 2, metrics), *remarks]) + "\n"


def _verdict_rows(report: ComparisonReport) -> list[list[str]]:
    rows = []
    for name, found in report.benchmarks.items():
        people = f"{found.units:,} people" if found.unit == "identities" else "people unknown"
        p_values = map(_p_value, (found.metrics[found.headline].p, report.adjusted[name]))
        rows.append([name, report.verdict(name), f"{found.pairs:,} pairs, {people}", *p_values])
    return rows


def _metric_headers(report: ComparisonReport) -> tuple[str, ...]:
    return report.first, report.second, "difference", f"{100 * report.trials.level:g} % interval", "p"


def _metric_rows(compared: RunComparison) -> list[list[str]]:
    """Label and numbers of each metric of a benchmark."""
    rows = []
    for metric, found in compared.metrics.items():
        shares = f"{100 * found.first:.2f}", f"{100 * found.second:.2f}"
        interval = f"{_points(found.low)} to {_points(found.high)}"
        rows.append([_label(metric), *shares, _points(found.difference), interval, _p_value(found.p)])
    return rows


def _remarks(report: ComparisonReport) -> list[str]:
    trials, compared = report.trials, report.benchmarks.values()
    count = sum(not found.equal for found in compared)
    together = f" for all {count} together (Holm's correction)" if count > 1 else ""
    nameless = any(found.unit == "pairs" for found in compared)
    return [
        *(f"Not compared: {each}." for each in omission_reasons(report.omitted)),
        f"All in %, differences in points: {report.second} less {report.first}. Intervals and p are from "
        f"{trials.count:,} trials of a bootstrap over people, the same people for both runs (seed {trials.seed}).",
        f"Verdicts tell what {report.second} is beside {report.first}, by accuracy or rank-1, at "
        f"{100 * (1 - trials.level):g} %{together}. No difference shown does not mean that there is none: the interval "
        "says how large it may be.",
        *([_NAMELESS] if nameless else []),
    ]


def _label(metric: str) -> str:
    kind, at, rate = metric.partition("@")
    return f"{kind.upper()} at {'FAR' if kind == 'tar' else 'FPR'} {rate}" if at else _LABELS[metric]


def _points(difference: float) -> str:
    points = round(100 * difference, 2)
    return f"{points:+.2f}" if points else "0.00"


def _p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def _markdown_table(headers: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> str:
    """A table whose first `words` columns are words, the others numbers."""
    marks = ["---"] * words + ["---:"] * (len(headers) - words)
    cells = [[escape_markdown(cell) for cell in line] for line in (headers, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], marks, *cells[1:]))
