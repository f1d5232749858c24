"""Two runs side by side: tables for terminals and Markdown, and a mapping for JSON.

The verdict on a benchmark hangs on its headline figure alone, accuracy or rank-1, with Holm's correction for the
number of benchmarks: of many figures some differ by chance. The other figures are there to be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
    verdicts = _markdown_table(_VERDICTS, _WORDS, _verdicts(report))
    figures = [[name, *row] for name in report.benchmarks for row in _figures(report, name)]
    headers = ("benchmark", "figure", *_headers(report))
    return "\n\n".join([verdicts, _markdown_table(headers, 2, figures), *_remarks(report)]) + "\n"


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


def _markdown_table(headers: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> str:
    """A table whose first `words` columns are words, the others numbers."""
    marks = ["---" if place < words else "---:" for place in range(len(headers))]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (headers, marks, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


HEADLINES = {"accuracy": "accuracy", "rank1": "rank-1"}
"""The figure of a benchmark that the table shows, by its name in the metrics, and its label."""

_ROOMY = 100


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: of the experiment, branch or tag, else its short hash; "workspace" for the disk.
        level: 0 for a commit, 1 for an experiment that started from the commit above it.
        created: day and time, or its state where it has not ended well.
        figures: (benchmark, figure) -> share.
        changed: "key=value" of each parameter that differs from the commit it started from.
    """

    name: str
    level: int
    created: str
    figures: Mapping[tuple[str, str], float]
    changed: Sequence[str]


def parse_experiments(shown: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    """The experiments that `dvc exp show --json` told of, each below its commit."""
    found: list[Experiment] = []
    commits = [each for each in shown if each["rev"] != "workspace"]
    base = _params(commits[0]) if commits else {}
    for commit in shown:
        own = _params(commit)
        found.append(_experiment(commit, 0, base if commit["rev"] == "workspace" else own))
        for series in commit.get("experiments") or []:
            found += (_experiment(each, 1, own, series.get("executor")) for each in series["revs"][:1])
    return found


def experiments_table(rows: Sequence[Experiment], width: int = 120) -> Table:
    """The rows for a terminal, figures in %; one of less than 100 columns has no room for when they were created."""
    figures = list(dict.fromkeys(figure for row in rows for figure in row.figures))
    figures.sort(key=lambda figure: (list(HEADLINES).index(figure[1]), figure[0]))
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column("experiment", no_wrap=True)
    roomy = width >= _ROOMY
    if roomy:
        drawn.add_column("created", no_wrap=True)
    for benchmark, figure in figures:
        drawn.add_column(Text(f"{benchmark}\n{HEADLINES[figure]}"), justify="right", no_wrap=True)
    drawn.add_column("changed", overflow="fold")
    for row in rows:
        values = (row.figures.get(figure) for figure in figures)
        shares = ["-" if value is None else f"{100 * value:.2f}" for value in values]
        name = Text(f"{'  ' * row.level}{row.name}", style="" if row.level else "bold")
        created = [row.created] if roomy else []
        drawn.add_row(name, *created, *shares, Text(" ".join(row.changed)))
    return drawn


def experiment_as_dict(row: Experiment) -> dict[str, Any]:
    """The row for JSON, figures nested by benchmark."""
    figures: dict[str, dict[str, float]] = {}
    for (benchmark, figure), value in row.figures.items():
        figures.setdefault(benchmark, {})[figure] = value
    return {"name": row.name, "created": row.created, "changed": list(row.changed), "figures": figures}


def _experiment(
    each: Mapping[str, Any],
    level: int,
    base: Mapping[str, Any],
    executor: Mapping[str, Any] | None = None,
) -> Experiment:
    data = each.get("data") or {}
    state = (executor or {}).get("state", "success")
    timestamp = (data.get("timestamp") or "")[:16].replace("T", " ")
    return Experiment(
        name=each.get("name") or each["rev"][: None if each["rev"] == "workspace" else 7],
        level=level,
        created="error" if each.get("error") else timestamp if state == "success" else state,
        figures=_headlines(data) if state == "success" else {},  # DVC gives a running one those of its commit
        changed=_changes(base, _params(each)),
    )


def _headlines(data: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    found = {}
    for file in (data.get("metrics") or {}).values():
        for benchmark, values in (file.get("data") or {}).items():
            for figure in HEADLINES:
                if isinstance(values, Mapping) and figure in values:
                    found[benchmark, figure] = float(values[figure])
    return found


def _params(each: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by their dotted keys."""
    files = ((each.get("data") or {}).get("params") or {}).values()
    return {key: value for file in files for key, value in _flat(file.get("data") or {})}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changes(base: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """As `dvc exp run -S` takes them, and "~key" for a parameter that is gone."""
    set_ = [f"{key}={_text(value)}" for key, value in own.items() if key not in base or base[key] != value]
    return [*set_, *(f"~{key}" for key in base if own and key not in own)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
