"""bench/scale.py runs: every step on made-up data, at a size that says nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_every_step_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "bench/scale.py", "--small", "--folder", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    head, _, *rows = [line.strip("| ").split(" | ") for line in run.stdout.splitlines()]
    assert head == ["data", "step", "CPU, s", "memory, MB", "written, MB", "read, MB"]
    assert len(rows) == 11
    assert all(float(cpu) > 0 and float(memory) > 20 for _, _, cpu, memory, *_ in rows)
    written = {step: float(size) for _, step, _, _, size, _ in rows}
    assert written["unpack a pack"] > 1
    assert written["embed, 588 numbers a face"] > 0.5
    assert written["photos from a tar"] > written["align"] > 1
    assert not list(tmp_path.iterdir())
