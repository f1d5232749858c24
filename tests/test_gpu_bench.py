"""`bench/gpu.py` at its tiny size on the CPU, so that it runs when somebody has a GPU for some minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_it_measures_everything_and_writes_it_down(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench/gpu.py", "--tiny", "--out", "gpu.json"], cwd=tmp_path, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "FACEREC_DEVICE": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row["what"] for row in rows] == ["training", "embedding", "fit", "identification", "detection"]
    assert all(value > 0 for row in rows for value in row.values() if not isinstance(value, str))


@pytest.mark.slow
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench/gpu.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FACEREC_DEVICE": "cpu"},
    )  # fmt: skip
    assert done.stderr == "torch sees no GPU here; --tiny tries the script on the CPU.\n"
