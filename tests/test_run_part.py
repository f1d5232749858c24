"""`facerec run-part` makes a part of a stage's work, and the stage then finds all of it done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from facerec.cli import app, revisions
from tests import cartoon
from tests.conftest import ROOT

PARTS = """
import sys
from facerec.detection import table
from stages import common
from stages.detect import detect
table._JOB = 2
sys.argv[0] = "stages/detect.py"
common.run(detect)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A set of six photos in which nothing has to be found, and the parameters of their detection."""
    from facerec.imaging import images
    from facerec.store import shard_writing, shards

    rows = [
        {
            "image": images.encode_jpeg(cartoon.photo({"width": 80.0, "centre": (95.0 + number, 100.0)})[0]),
            "label": -1, "identity": "", "source": f"{number}.jpg",
        }
        for number in range(6)
    ]  # fmt: skip
    shard_writing.write_shards(rows, tmp_path / "data/raw/drawn", shards.Meta("photos", "drawn"))
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["detect"]["retry"] = 0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def stage(project: Path, *words: str, code: str = PARTS) -> subprocess.CompletedProcess[str]:
    """The stage detect, in parts of two photos."""
    command = [sys.executable, "-c", code, "drawn", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_parts_on_their_own_give_the_bytes_of_the_whole(project: Path) -> None:
    table, scratch = project / "data/detections/drawn.parquet", project / ".facerec/scratch"
    assert stage(project).returncode == 0
    whole = table.read_bytes()
    table.unlink()
    for part, sentence in {
        "1/2": "note: part 1 of 2: 2 pieces of work, 2 done now, 0 before\n",
        "2/2": "note: part 2 of 2: 1 pieces of work, 1 done now, 0 before\n",
    }.items():
        done = stage(project, "--part", part)
        assert (done.returncode, done.stderr) == (0, sentence)
        assert not table.exists()
    assert len(list(scratch.rglob("*.part"))) == 3
    assert stage(project, code=PARTS.replace("_JOB = 2", "_JOB, table._detect = 2, None")).returncode == 0
    assert table.read_bytes() == whole
    assert not scratch.exists()


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "1/2/3", "a/b", "1/0", "-1/2"])
def test_an_impossible_part_is_named(part: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from stages import common

    monkeypatch.setattr(sys, "argv", ["stages/detect.py", "drawn", "--part", part])
    with pytest.raises(SystemExit, match="1"):
        common.run(lambda *_: None)
    assert capsys.readouterr().err == f"error: --part must be I/N with I from 1 to N, such as 3/16, not {part!r}.\n"


def test_a_stage_without_parts_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from stages import common

    monkeypatch.setattr(sys, "argv", ["stages/verify.py", "drawn", "--part", "1/2"])
    with pytest.raises(SystemExit, match="1"):
        common.run(lambda *_: None)
    assert capsys.readouterr().err.startswith(
        "error: Stage verify has no parts; those with parts are unpack, detect, align"
    )


def test_the_command_runs_what_dvc_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: calls.append(command) or 3)
    done = CliRunner().invoke(app, ["run-part", "align", "synth_lfw", "--part", "2/8"])
    assert calls == [[sys.executable, "-m", "stages.align", "synth_lfw", "test", "--part", "2/8"]]
    assert done.exit_code == 3


def test_an_unknown_stage_or_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(revisions.RevisionError, match=r"no stage detect@lfw .*; detect has the keys synth_people"):
        revisions.stage_arguments("detect@lfw")
    with pytest.raises(revisions.RevisionError, match=r"no stage run@lfw .*; `dvc stage list` names all"):
        revisions.stage_arguments("run@lfw")
