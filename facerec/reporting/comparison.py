"""Two runs side by side: tables for terminals and Markdown, and a mapping for JSON.

The verdict on a benchmark hangs on its headline figure alone, accuracy or rank-1, with Holm's correction for the
number of benchmarks: of many figures some differ by chance. The other figures are there to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from facerec.evaluation.statistics.significance import RunComparison, Trials, holm, run_verdict

_VERDICTS, _WORDS = ("benchmark", "verdict", "judged on", "p", "p (Holm)"), 3
_LONGEST = 13  # letters of a revision's name in a terminal
_LABELS = {"accuracy": "accuracy", "auc": "AUC", "eer": "EER", "rank1": "rank-1", "rank1_raw": "rank-1, raw"}
_NAMELESS = (
    "Where nobody is named, pairs are drawn instead of people, which takes them as independent: intervals come out "
    "a little too narrow there."
)


@dataclass(frozen=True)
class ComparisonReport:
    """Two runs by the names people gave them, the trials, and what came out (`facerec.evaluation.comparison`)."""

    first: str
    second: str
    trials: Trials
    benchmarks: Mapping[str, RunComparison]
    omitted: Mapping[str, str]

    @cached_property
    def adjusted(self) -> dict[str, float]:
        """Holm's p-values of the headline figures; runs that are identical cannot differ by chance and count not."""
        p = {name: found.figures[found.headline].p for name, found in self.benchmarks.items()}
        return p | holm({name: p[name] for name, found in self.benchmarks.items() if not found.equal})

    def verdict(self, name: str) -> str:
        """On the second run, in plain words."""
        return run_verdict(self.benchmarks[name], self.adjusted[name], self.trials.level)


def comparison_as_json(report: ComparisonReport) -> dict[str, Any]:
    """Everything, figures as shares."""
    return {
        "first": report.first,
        "second": report.second,
        **asdict(report.trials),
        "benchmarks": {name: _benchmark(report, name) for name in report.benchmarks},
        "omitted": dict(report.omitted),
    }


def omission_reasons(omitted: Mapping[str, str]) -> list[str]:
    """A line a reason, with the benchmarks it keeps from being compared."""
    names: dict[str, list[str]] = {}
    for name, reason in omitted.items():
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(each)}: {reason}" for reason, each in names.items()]


def terminal_tables(report: ComparisonReport) -> Group:
    """Both tables and the remarks, for a terminal of 80 columns."""
    verdicts = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, header in enumerate(_VERDICTS):
        verdicts.add_column(header, justify="left" if place < _WORDS else "right")
    for row in _verdicts(report):
        verdicts.add_row(*map(Text, row))
    remarks = (Text(line) for line in _remarks(report))
    return Group(verdicts, "", _drawn_figures(report), "", *remarks)


def markdown_tables(report: ComparisonReport) -> str:
    """Both tables and the remarks."""
    verdicts = _markdown(_VERDICTS, _WORDS, _verdicts(report))
    figures = [[name, *row] for name in report.benchmarks for row in _figures(report, name)]
    headers = ("benchmark", "figure", *_headers(report))
    return "\n\n".join([verdicts, _markdown(headers, 2, figures), *_remarks(report)]) + "\n"


def _verdicts(report: ComparisonReport) -> list[list[str]]:
    return [
        [
            name,
            report.verdict(name),
            _judged_on(found),
            _p(found.figures[found.headline].p),
            _p(report.adjusted[name]),
        ]
        for name, found in report.benchmarks.items()
    ]


def _headers(report: ComparisonReport) -> tuple[str, ...]:
    """Of the columns of numbers in the table of figures."""
    return report.first, report.second, "difference", f"{100 * report.trials.level:g} % interval", "p"


def _figures(report: ComparisonReport, name: str) -> list[list[str]]:
    return [
        [
            _label(figure),
            f"{100 * found.first:.2f}",
            f"{100 * found.second:.2f}",
            _points(found.difference),
            f"{_points(found.low)} to {_points(found.high)}",
            _p(found.p),
        ]
        for figure, found in report.benchmarks[name].figures.items()
    ]


def _drawn_figures(report: ComparisonReport) -> Table:
    """A line a benchmark with its figures below."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for header in _headers(report):
        shown = header if len(header) <= _LONGEST else f"{header[: _LONGEST - 1]}…"
        table.add_column(Text(shown), justify="right", no_wrap=True)
    for name in report.benchmarks:
        table.add_row(Text(name, style="bold"))
        for label, *numbers in _figures(report, name):
            table.add_row(Text(f"  {label}"), *map(Text, numbers))
    return table


def _remarks(report: ComparisonReport) -> list[str]:
    trials, count = report.trials, sum(not found.equal for found in report.benchmarks.values())
    together = f" for all {count} together (Holm's correction)" if count > 1 else ""
    remarks = [
        *(f"Not compared: {each}." for each in omission_reasons(report.omitted)),
        f"All in %, differences in points: {report.second} less {report.first}. Intervals and p are from "
        f"{trials.count:,} trials of a bootstrap over people, the same people for both runs (seed {trials.seed}).",
        f"Verdicts tell what {report.second} is beside {report.first}, by accuracy or rank-1, at "
        f"{100 * (1 - trials.level):g} %{together}. No difference shown does not mean that there is none: the interval "
        "says how large it may be.",
    ]
    nameless = any(found.unit == "pairs" for found in report.benchmarks.values())
    return [*remarks, _NAMELESS] if nameless else remarks


def _benchmark(report: ComparisonReport, name: str) -> dict[str, Any]:
    found = report.benchmarks[name]
    figures = {key: {**asdict(each), "difference": each.difference} for key, each in found.figures.items()}
    return {
        **asdict(found),
        "figures": figures,
        "p_holm": report.adjusted[name],
        "verdict": report.verdict(name),
    }


def _judged_on(found: RunComparison) -> str:
    people = f"{found.units:,} people" if found.unit == "identities" else "nobody named"
    return f"{found.pairs:,} pairs, {people}"


def _label(figure: str) -> str:
    kind, at, rate = figure.partition("@")
    return f"{kind.upper()} at {'FAR' if kind == 'tar' else 'FPR'} {rate}" if at else _LABELS[figure]


def _points(difference: float) -> str:
    points = round(100 * difference, 2)
    return f"{points:+.2f}" if points else "0.00"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def _markdown(headers: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> str:
    """A table whose first `words` columns are words, the others numbers."""
    marks = ["---" if place < words else "---:" for place in range(len(headers))]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (headers, marks, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
