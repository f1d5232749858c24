"""Tables of several runs, as `facerec experiments` and `facerec compare-runs` print them.

The verdict on a benchmark depends only on its headline metric, accuracy or rank-1, with Holm's correction for the
number of benchmarks: of many metrics some differ by chance. The other metrics are shown for information.
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

HEADLINES = {"accuracy": "accuracy", "rank1": "rank-1"}
"""Metrics of a benchmark that the table of experiments shows, and their labels."""
_WIDE = 100  # columns from which the table of experiments has room for when they were created

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
    """

    first: str
    second: str
    trials: Trials
    benchmarks: Mapping[str, RunComparison]
    omitted: Mapping[str, str]

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
    runs = {"first": report.first, "second": report.second}
    return {**runs, **asdict(report.trials), "benchmarks": benchmarks, "omitted": dict(report.omitted)}


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
    """Verdicts, metrics and remarks, for a terminal of 80 columns."""
    verdicts = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for header in _VERDICTS:
        verdicts.add_column(header, justify="right" if header.startswith("p") else "left")
    for row in _verdict_rows(report):
        verdicts.add_row(*map(Text, row))
    metrics = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    metrics.add_column("metric", no_wrap=True)
    for header in _metric_headers(report):
        shown = header if len(header) <= _LONGEST else f"{header[: _LONGEST - 1]}…"
        metrics.add_column(Text(shown), justify="right", no_wrap=True)
    for name, found in report.benchmarks.items():
        metrics.add_row(Text(name, style="bold"))
        for label, *numbers in _metric_rows(found):
            metrics.add_row(Text(f"  {label}"), *map(Text, numbers))
    return Group(verdicts, "", metrics, "", *map(Text, _remarks(report)))


def markdown_tables(report: ComparisonReport) -> str:
    """Verdicts, metrics and remarks, as Markdown."""
    verdicts = _markdown_table(_VERDICTS, 3, _verdict_rows(report))
    metrics = [[name, *row] for name, found in report.benchmarks.items() for row in _metric_rows(found)]
    headers = ("benchmark", "metric", *_metric_headers(report))
    return "\n\n".join([verdicts, _markdown_table(headers, 2, metrics), *_remarks(report)]) + "\n"


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
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (headers, marks, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


@dataclass(frozen=True)
class Experiment:
    """A row of the table of experiments.

    Attributes:
        name: of the experiment, branch or tag, else its short hash; "workspace" for the files on disk.
        level: 0 for a commit, 1 for an experiment that started from the commit above it.
        created: day and time, or the state of an experiment that did not succeed.
        metrics: (benchmark, metric) -> share of 1.
        changed: "key=value" of each parameter that differs from the commit it started from.
    """

    name: str
    level: int
    created: str
    metrics: Mapping[tuple[str, str], float]
    changed: Sequence[str]


def parse_experiments(shown: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    """The output of `dvc exp show --json` as rows, each experiment below its commit."""
    found: list[Experiment] = []
    commits = [each for each in shown if each["rev"] != "workspace"]
    base = _parameters(commits[0]) if commits else {}
    for commit in shown:
        own = _parameters(commit)
        found.append(_experiment(commit, 0, base if commit["rev"] == "workspace" else own))
        for series in commit.get("experiments") or []:
            found += (_experiment(each, 1, own, series.get("executor")) for each in series["revs"][:1])
    return found


def experiments_table(rows: Sequence[Experiment], width: int = 120) -> Table:
    """The rows for a terminal, metrics in %; one of less than 100 columns does not show when they were created.

    DVC's own table has a column for each parameter and metric, too many for a screen.
    """
    metrics = {metric for row in rows for metric in row.metrics}
    shown = sorted(metrics, key=lambda metric: (list(HEADLINES).index(metric[1]), metric[0]))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("experiment", "created") if width >= _WIDE else ("experiment",):
        table.add_column(header, no_wrap=True)
    for benchmark, metric in shown:
        table.add_column(Text(f"{benchmark}\n{HEADLINES[metric]}"), justify="right", no_wrap=True)
    table.add_column("changed", overflow="fold")
    for row in rows:
        name = Text(f"{'  ' * row.level}{row.name}", style="" if row.level else "bold")
        created = [row.created] if width >= _WIDE else []
        shares = [f"{100 * row.metrics[metric]:.2f}" if metric in row.metrics else "-" for metric in shown]
        table.add_row(name, *created, *shares, Text(" ".join(row.changed)))
    return table


def experiment_as_dict(row: Experiment) -> dict[str, Any]:
    """The row for JSON, metrics nested by benchmark."""
    metrics: dict[str, dict[str, float]] = {}
    for (benchmark, metric), share in row.metrics.items():
        metrics.setdefault(benchmark, {})[metric] = share
    return {"name": row.name, "created": row.created, "changed": list(row.changed), "metrics": metrics}


def _experiment(
    each: Mapping[str, Any], level: int, base: Mapping[str, Any], executor: Mapping[str, Any] | None = None
) -> Experiment:
    data, state = each.get("data") or {}, (executor or {}).get("state", "success")
    timestamp = (data.get("timestamp") or "")[:16].replace("T", " ")
    return Experiment(
        name=each.get("name") or each["rev"][: None if each["rev"] == "workspace" else 7],
        level=level,
        created="error" if each.get("error") else timestamp if state == "success" else state,
        metrics=_headlines(data) if state == "success" else {},  # DVC shows its commit's for one that still runs
        changed=_changes(base, _parameters(each)),
    )


def _headlines(data: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (benchmark, metric): float(values[metric])
        for file in (data.get("metrics") or {}).values()
        for benchmark, values in (file.get("data") or {}).items()
        for metric in HEADLINES
        if isinstance(values, Mapping) and metric in values
    }


def _parameters(each: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by their dotted keys."""
    files = ((each.get("data") or {}).get("params") or {}).values()
    return {key: value for file in files for key, value in _flatten(file.get("data") or {})}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changes(base: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Changes as `dvc exp run -S` takes them, and "~key" for a parameter that was removed."""
    changed = [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in own.items()
        if key not in base or base[key] != value
    ]
    return changed + [f"~{key}" for key in base if own and key not in own]
