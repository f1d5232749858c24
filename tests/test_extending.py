"""Every program of docs/extending.md runs, is complete and stays short."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAMS = re.findall(
    r"^## An? (\w+)\n.*?```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "program"), PROGRAMS, ids=[part for part, _ in PROGRAMS])
def test_the_program_runs(part: str, program: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "data/catalog", tmp_path / "data/catalog")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / f"my_{part}.py").write_text(program)
    command = [sys.executable, "-W", "error", f"my_{part}.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("part", "program"), PROGRAMS, ids=[part for part, _ in PROGRAMS])
def test_the_program_is_short(part: str, program: str) -> None:
    assert len(program.splitlines()) < 40, part


def test_every_part_has_its_program() -> None:
    parts = [part for part, _ in PROGRAMS]
    assert parts == ["head", "backbone", "detector", "benchmark", "format", "executor", "logger"]
