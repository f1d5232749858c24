"""The gate's comparison of two runs: it passes for equal ones, and cannot pass in silence for anything else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PAGE = '<html><section id="faces">{rest}</section><section id="provenance"><p>{own}</p></section></html>'
CARDS = {"path": "reports/cards", "md5": "c"}


def checkout(root: Path, own: str, rest: str = "same", weights: str = "w", cards: str = "c", page: bool = True) -> Path:
    """A checkout whose page says `own` in its provenance and `rest` outside."""
    outs = [{**CARDS, "md5": cards}, *([{"path": "reports/index.html", "md5": own}] if page else [])]
    train = {"cmd": "train", "outs": [{"path": "models/backbone.pt", "md5": weights}]}
    (root / "reports").mkdir(parents=True)
    stages = {"train": train, "report": {"cmd": "report", "outs": outs}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    (root / "reports/index.html").write_text(PAGE.format(own=own, rest=rest))
    return root


def compare(*roots: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / ".ci/same.py", *roots]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_runs_that_differ_in_provenance_alone_are_the_same(tmp_path: Path) -> None:
    one, other = (checkout(tmp_path / day, day) for day in ("monday", "tuesday"))
    assert compare(one, other).returncode == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"weights": "v"}, "dvc.lock differs: train"),
        ({"cards": "d"}, "dvc.lock differs: report"),
        ({"rest": "other"}, "differs outside its provenance"),
        ({"page": False}, "does not name reports/index.html once"),
    ],
)
def test_any_other_difference_is_named(tmp_path: Path, change: dict[str, object], told: str) -> None:
    one, other = checkout(tmp_path / "one", "x"), checkout(tmp_path / "other", "y", **change)  # type: ignore[arg-type]
    for pair in ((one, other), (other, one)):
        done = compare(*pair)
        assert done.returncode != 0
        assert told in done.stderr


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "reports/index.html").write_text("<section></section>"),
        lambda root: (root / "reports/index.html").write_text(PAGE.format(own="x", rest="y") * 2),
        lambda root: (root / "reports/index.html").unlink(),
        lambda root: (root / "dvc.lock").unlink(),
        lambda root: (root / "dvc.lock").write_text(""),
    ],
)
def test_what_is_missing_on_both_sides_does_not_pass(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    roots = [checkout(tmp_path / name, "x") for name in ("one", "other")]
    for root in roots:
        spoil(root)
    assert compare(*roots).returncode != 0
    assert compare(roots[0]).returncode != 0
