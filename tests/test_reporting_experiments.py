"""Experiments in one table, read from what `dvc exp show --json` prints."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from facerec.reporting import experiments


def told(rev: str, name: str | None, params: dict[str, Any], lfw: float, **more: Any) -> dict[str, Any]:
    """A revision as DVC tells of it."""
    metrics = {
        "backbone": {"train_loss": 1.5},
        "synth_lfw": {"accuracy": lfw, "tar": 0.5},
        "synth_megaface": {"rank1": 0.4, "rank1_raw": 0.3},
    }
    data = {
        "rev": rev,
        "timestamp": "2026-01-31T09:05:59",
        "params": {"params.yaml": {"data": params}},
        "metrics": {"reports/summary.json": {"data": metrics}},
    }
    return {"rev": rev, "name": name, "data": data, "error": None, **more}


BASE = {"train": {"head": {"name": "arcface", "margin": 0.2}, "flip": True}, "identify": {"fprs": [0.1, 0.01]}}
OTHER = {"train": {"head": {"name": "cosface", "margin": 0.35}, "flip": False}, "identify": {"fprs": [0.1]}}
SHOWN = [
    told("workspace", None, BASE, 0.9, experiments=None),
    told(
        "0123456789abcdef",
        "main",
        BASE,
        0.9,
        experiments=[
            {"revs": [told("fedcba9876543210", "cosface", OTHER, 0.95)], "executor": None},
            {"revs": [told("1111111111111111", None, BASE, 0.9)], "executor": {"state": "running"}},
            {
                "revs": [{"rev": "2222222222222222", "name": "lost", "data": None, "error": {"msg": "gone"}}],
                "executor": {"state": "failed"},
            },
        ],
    ),
]


def test_each_experiment_stands_below_its_commit_with_what_it_changed() -> None:
    rows = experiments.parse_experiments(SHOWN)
    assert [(row.name, row.level, row.created) for row in rows] == [
        ("workspace", 0, "2026-01-31 09:05"),
        ("main", 0, "2026-01-31 09:05"),
        ("cosface", 1, "2026-01-31 09:05"),
        ("1111111", 1, "running"),
        ("lost", 1, "error"),
    ]
    assert rows[2].changed == [
        "train.head.name=cosface",
        "train.head.margin=0.35",
        "train.flip=false",
        "identify.fprs=[0.1]",
    ]
    assert all(row.changed == [] for row in (*rows[:2], *rows[3:]))
    assert rows[2].metrics == {("synth_lfw", "accuracy"): 0.95, ("synth_megaface", "rank1"): 0.4}
    assert rows[3].metrics == rows[4].metrics == {}


def test_a_parameter_that_is_new_or_gone_is_told() -> None:
    changed = told("1", "one", {"train": {"flip": True, "crop": 0.1}}, 0.9)
    base = told("2", "two", {"train": {"flip": True}, "model": "x"}, 0.9, experiments=[{"revs": [changed]}])
    assert experiments.parse_experiments([base])[1].changed == ["train.crop=0.1", "~model"]


def test_a_row_says_on_what_kind_of_machine_it_was_made() -> None:
    """Unless it still runs: then DVC tells the metrics of its commit."""
    done, running = (told(rev, rev, BASE, 0.9) for rev in ("1", "2"))
    base = told("3", "main", BASE, 0.9)
    for each in (done, running, base):
        each["data"]["metrics"]["reports/summary.json"]["data"]["arithmetic"] = f"kind {each['rev']}"
    base["experiments"] = [{"revs": [done]}, {"revs": [running], "executor": {"state": "running"}}]
    assert [row.arithmetic for row in experiments.parse_experiments([base])] == ["kind 3", "kind 1", None]


def test_it_fits_120_columns() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(experiments.experiments_table(experiments.parse_experiments(SHOWN)))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert lines[0].split() == ["synth_lfw", "synth_megaface"]
    assert lines[1].split() == ["experiment", "created", "accuracy", "rank-1", "changed"]
    assert lines[4].split()[:6] == ["cosface", "2026-01-31", "09:05", "95.00", "40.00", "train.head.name=cosface"]
    assert lines[-1].split() == ["lost", "error", "-", "-"]


def test_a_narrow_terminal_loses_the_day_and_no_change() -> None:
    out = io.StringIO()
    Console(file=out, width=70).print(experiments.experiments_table(experiments.parse_experiments(SHOWN), 70))
    text = out.getvalue()
    assert "created" not in text
    assert all(change in text for change in ("train.head.name=cosface", "train.head.margin=0.35", "fprs=[0.1]"))


def test_many_benchmarks_leave_the_changes_whole_below_the_table() -> None:
    metrics = {(f"benchmark_{number}", "accuracy"): 0.9 for number in range(4)}
    row = experiments.Experiment(
        "margin", 1, "2026-01-31 09:05", metrics, ["train.head.margin=0.35", "train.flip=false"]
    )
    out = io.StringIO()
    Console(file=out, width=80).print(experiments.experiments_table([row], 80))
    *table, changes = out.getvalue().splitlines()
    assert table[-1].split() == ["margin", *["90.00"] * 4]
    assert changes == "margin: train.head.margin=0.35 train.flip=false"


def test_json_nests_figures_by_benchmark() -> None:
    assert experiments.experiment_as_dict(experiments.parse_experiments(SHOWN)[1]) == {
        "name": "main",
        "created": "2026-01-31 09:05",
        "changed": [],
        "arithmetic": None,
        "metrics": {"synth_lfw": {"accuracy": 0.9}, "synth_megaface": {"rank1": 0.4}},
    }
