"""All experiments in one table of the columns that matter: what was changed, and what became of each benchmark.

Reads what `dvc exp show --json` prints. Its own table has a column a parameter and a metric, too many for a screen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

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
