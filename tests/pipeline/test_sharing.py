"""Checkouts that share a remote: what one has run, no other need run, although their processors differ."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.emulation import QEMU, emulated
from tests.pipeline.conftest import Project, executed

pytestmark = pytest.mark.pipeline

VARIED = ("dvc", "exp", "run", "-S", "verify.far=0.1")


def clone(source: Project, folder: Path) -> Project:
    """A clone with all results and the run cache of the remote."""
    source.run("git", "clone", "--quiet", str(source.root), str(folder))
    made = Project(folder)
    made.run("dvc", "pull", "--run-cache")
    return made


def emulating(folder: Path) -> str:
    """A PATH on which `python`, by which stages are started, runs as an Intel Haswell and notes that in folder/log."""
    folder.mkdir()
    program = folder / "python"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/log"\nexec "{QEMU}" -cpu Haswell "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


@emulated
@pytest.mark.slow
def test_a_run_under_another_processor_is_a_run_of_everybody(copy: Project, tmp_path: Path) -> None:
    copy.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    copy.run("git", "commit", "--quiet", "--all", "--message", "A remote")
    copy.run("dvc", "push", "--run-cache")

    other = clone(copy, tmp_path / "other")
    path = emulating(tmp_path / "bin")
    assert executed(other.run("dvc", "repro", PATH=path)) == []
    ran = executed(other.run(*VARIED, PATH=path))
    assert {name.split("@")[0] for name in ran} == {"verify", "plots", "report"}
    assert len((tmp_path / "bin/log").read_text().splitlines()) == len(ran)
    other.run("dvc", "push", "--run-cache")

    third = clone(copy, tmp_path / "third")
    third.run(*VARIED, "--pull")  # stages with small files in git run again, see docs/dvc.md
    assert executed(copy.run(*VARIED)) == ran, "this one runs it all, on this processor"
    locks = {(each.root / "dvc.lock").read_bytes() for each in (copy, other, third)}
    assert len(locks) == 1
