"""An unexpected error is one sentence, a file for whoever mends it and exit code 70, in commands, stages and processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.attack(
    "Programs in files", "an error that nobody foresaw", "one sentence, a file with the details, exit code 70"
)
RUN = "import sys; from facerec.core import run_command\n"
DIVIDE = f"{RUN}sys.exit(run_command(lambda: 1 // 0))"
RECURSE = f"{RUN}def f(): f()\nsys.exit(run_command(f))"
ODD = f"{RUN}def f(): raise ValueError('one\\x1b[31m\\nlines ' * 999)\nsys.exit(run_command(f))"
COMMAND = """
from facerec import cli
@cli.app.command()
def broken(): 1 // 0
cli.main()
"""
STAGE = "from stages import common\ncommon.run(lambda params, name: 1 // 0)"
TOGETHER = f"""{RUN}from facerec.distributed import launching
sys.exit(run_command(lambda: launching.launch(["broken"])))"""


def python(code: str, folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in `folder`, with the folder's modules and this repository's."""
    known = {"PYTHONPATH": f"{folder}:{ROOT}", "TMPDIR": str(folder.parent / "temporary"), **environment}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(
        command, cwd=folder, env=os.environ | known, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "project/.dvc").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", tmp_path / "project")
    (tmp_path / "project/broken.py").write_text(DIVIDE)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (DIVIDE, (), "ZeroDivisionError"),
        (RECURSE, (), "RecursionError"),
        (ODD, (), "ValueError"),
        (COMMAND, ("broken",), "ZeroDivisionError"),
        (STAGE, ("name",), "ZeroDivisionError"),
        (TOGETHER, (), "ZeroDivisionError"),
    ],
    ids=["plain", "recursion", "odd text", "command", "stage", "processes"],
)
def test_a_defect_is_a_sentence_and_a_file(code: str, words: tuple[str, ...], kind: str, project: Path) -> None:
    done = python(code, project, *words, FACEREC_TORCHRUN="--nproc-per-node 1" if code == TOGETHER else "")
    (kept,) = (project / ".facerec/errors").iterdir()
    assert done.returncode == 70
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: an unexpected {kind} (")
    assert done.stderr.endswith(f"please report it with {kept}\n")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 500
    assert "\x1b" not in done.stderr
    details = kept.read_text()
    assert "Traceback (most recent call last)" in details
    assert kind in details
    assert "\ntorch: " in details
    assert kept.stat().st_mode & 0o077 == 0  # a command may name people


def test_outside_a_project_details_go_to_the_temporary_folder(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = python(DIVIDE, elsewhere)
    (kept,) = (tmp_path / "temporary").iterdir()
    assert done.stderr.endswith(f"please report it with {kept}\n")
    assert list(elsewhere.iterdir()) == []


def test_so_they_do_where_the_project_cannot_be_written(project: Path, tmp_path: Path) -> None:
    (project / ".facerec").write_text("a file where the folder belongs")
    done = python(DIVIDE, project)
    (kept,) = (tmp_path / "temporary").iterdir()
    assert f"{kept}\n" in done.stderr
    assert done.returncode == 70


def test_the_sentence_comes_even_where_nothing_can_be_written(project: Path) -> None:
    nowhere = f"import tempfile; tempfile.tempdir = '/nonexistent'; {DIVIDE}"
    (project / ".facerec").write_text("")
    done = python(nowhere, project)
    assert done.returncode == 70
    assert done.stderr.endswith("run it with FACEREC_DEBUG=1 and report what it prints\n")
    assert "Traceback" not in done.stderr


def test_developers_see_the_traceback(project: Path) -> None:
    done = python(DIVIDE, project, FACEREC_DEBUG="1")
    assert done.returncode == 70
    assert "Traceback (most recent call last)" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert not (project / ".facerec").exists()


@pytest.mark.parametrize("error", ["MemoryError()", 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory")'])
def test_too_little_memory_is_no_defect(error: str, project: Path) -> None:
    done = python(f"{RUN}def f(): raise {error}\nsys.exit(run_command(f))", project)
    assert done.returncode == 1
    assert done.stderr.startswith("error: out of memory; ")
    assert not (project / ".facerec").exists()
