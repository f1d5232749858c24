"""The table of experiments, as `facerec experiments` prints it, read from what `dvc exp show --json` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

HEADLINES = {"accuracy": "accuracy", "rank1": "rank-1"}
"""Metrics of a benchmark that the table shows, and their labels."""
_CHANGES, _LONGEST = 6, 48
"""Changes of an experiment that the table shows, and their characters; the JSON has all of them, whole."""
_WIDE = 100  # columns from which the table has room for when they were created
_DATE, _ROOM = 18, 24  # columns of a date, and those that changes need


@dataclass(frozen=True)
class Experiment:
    """A row of the table of experiments.

    Attributes:
        name: of the experiment, branch or tag, else its short hash; "workspace" for the files on disk.
        level: 0 for a commit, 1 for an experiment that started from the commit above it.
        created: day and time, or the state of an experiment that did not succeed.
        metrics: (benchmark, metric) -> share of 1.
        changed: "key=value" of each parameter that differs from the commit it started from.
        arithmetic: kind of machine it was computed on, where known.
    """

    name: str
    level: int
    created: str
    metrics: Mapping[tuple[str, str], float]
    changed: Sequence[str]
    arithmetic: str | None = None


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


def experiments_table(rows: Sequence[Experiment], width: int = 120) -> RenderableType:
    """The rows for a terminal, metrics in %.

    Where the columns leave little room, it does not show when they were created, and then what they changed is below
    the table. DVC's own table has a column for each parameter and metric, too many for a screen.
    """
    metrics = {metric for row in rows for metric in row.metrics}
    shown = sorted(metrics, key=lambda metric: (list(HEADLINES).index(metric[1]), metric[0]))
    names = [f"{'  ' * row.level}{row.name}" for row in rows]
    room = width - 2 - max(map(len, [*names, "experiment"]))
    room -= sum(2 + max(len(benchmark), len(HEADLINES[metric])) for benchmark, metric in shown)
    dated, beside = width >= _WIDE and room >= _ROOM + _DATE, room >= _ROOM
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("experiment", "created") if dated else ("experiment",):
        table.add_column(header, no_wrap=True)
    for benchmark, metric in shown:
        table.add_column(f"{benchmark}\n{HEADLINES[metric]}", justify="right", no_wrap=True)
    if beside:
        table.add_column("changed", overflow="fold")
    for name, row in zip(names, rows, strict=True):
        shares = [f"{100 * row.metrics[metric]:.2f}" if metric in row.metrics else "-" for metric in shown]
        cells = [name, *([row.created] if dated else []), *shares, *([_shorten_changes(row.changed)] if beside else [])]
        table.add_row(*cells, style="" if row.level else "bold")
    if beside:
        return table
    return Group(table, *(Text(f"{row.name}: {_shorten_changes(row.changed)}") for row in rows if row.changed))


def _shorten_changes(changed: Sequence[str]) -> str:
    """The first changes, and how many more there are: an experiment on another profile changes nearly all."""
    shown = [each if len(each) <= _LONGEST else f"{each[: _LONGEST - 1]}…" for each in changed[:_CHANGES]]
    return " ".join([*shown, *([f"and {len(changed) - _CHANGES} more"] if len(changed) > _CHANGES else [])])


def experiment_as_dict(row: Experiment) -> dict[str, Any]:
    """The row for JSON, metrics nested by benchmark."""
    metrics: dict[str, dict[str, float]] = {}
    for (benchmark, metric), share in row.metrics.items():
        metrics.setdefault(benchmark, {})[metric] = share
    facts = {"name": row.name, "created": row.created, "changed": list(row.changed), "arithmetic": row.arithmetic}
    return {**facts, "metrics": metrics}


def _experiment(
    each: Mapping[str, Any], level: int, base: Mapping[str, Any], executor: Mapping[str, Any] | None = None
) -> Experiment:
    data, state = each.get("data") or {}, (executor or {}).get("state", "success")
    own = data if state == "success" else {}  # DVC shows the metrics of its commit for one that still runs
    timestamp = (data.get("timestamp") or "")[:16].replace("T", " ")
    return Experiment(
        name=each.get("name") or each["rev"][: None if each["rev"] == "workspace" else 7],
        level=level,
        created="error" if each.get("error") else timestamp if state == "success" else state,
        metrics=_headlines(own),
        changed=_changes(base, _parameters(each)),
        arithmetic=next((kind for values in _metrics(own) if isinstance(kind := values.get("arithmetic"), str)), None),
    )


def _headlines(data: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (benchmark, metric): float(values[metric])
        for found in _metrics(data)
        for benchmark, values in found.items()
        for metric in HEADLINES
        if isinstance(values, Mapping) and metric in values
    }


def _metrics(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The content of each file of metrics."""
    return [file.get("data") or {} for file in (data.get("metrics") or {}).values()]


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
