"""A copy of the repository with a tiny default experiment, for tests that run real dvc commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from facerec.params import profiles
from tests import commands, forks
from tests.conftest import ROOT

TINY = {
    "render": {
        "synth_people": {"identities": 4, "photos": 4},
        "synth_pack": {"identities": 4, "photos": 4, "pairs": 20},
        "synth_lfw": {"pairs": 20},
        "synth_facescrub": {"identities": 4, "photos": 4},
        "synth_megaface": {"distractors": 20},
    },
    "train": {"epochs": 1, "batch": 8, "backbone": {"dim": 16, "width": 0.25}},
}


FORKED: dict[str, str] = {}
"""The PATH with the programs of tests/forks.py, while they are served."""


@dataclass(frozen=True)
class Project:
    """A working copy in which commands run as a user would type them."""

    root: Path

    def json(self, *command: str) -> Any:
        """The JSON object that a command prints on standard output, which holds nothing else."""
        done = self.start(*command)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """Standard output and error of a command, which must succeed unless `check` is false."""
        done = self.start(*command, **environment)
        told = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{told}"
        assert check or done.returncode != 0, f"{' '.join(command)} should fail\n{told}"
        return told

    def start(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command at the root: `facerec` inside this process, `dvc` and the stages forked (`forked`)."""
        variables = {**stage_environment(), **FORKED, **environment}
        if command[0] == "facerec":
            return commands.run(*command[1:], cwd=self.root, **variables)
        return subprocess.run(
            command, cwd=self.root, env=variables, capture_output=True, text=True, timeout=900, check=False
        )


def executed(output: str) -> list[str]:
    """Stages that really ran, in order, read from the output of dvc."""
    return re.findall(r"Running stage '([^']+)'", output)


def copy_sources(target: Path) -> None:
    """Copy what git knows or would add, but for results."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        result = name == "dvc.lock" or (name.startswith("reports/") and not name.endswith(".gitkeep"))
        if (ROOT / name).is_file() and not result:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def make_project(root: Path, changes: dict[str, Any] = TINY) -> Project:
    """A committed copy of the repository with the default experiment and some changes, by default the tiny one."""
    copy_sources(root)
    base = yaml.safe_load((root / "profiles/default.yaml").read_text())
    changed = yaml.safe_dump(profiles.merge_patch(base, changes), sort_keys=False)
    (root / "params.yaml").write_text(changed)
    project = Project(root)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    commit(project)
    return project


def commit(project: Project) -> None:
    """Commit everything."""
    project.run("git", "add", "--all")
    project.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "state")


def stage_environment() -> dict[str, str]:
    """What a user's shell would have after activating the environment.

    The code is imported from this checkout, equal to the copy, so that numba need not compile it again.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {"GIT_AUTHOR_NAME": "t", "GIT_COMMITTER_NAME": "t"}
    mails = {"GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_EMAIL": "t@example.org"}
    return {
        **os.environ,
        **names,
        **mails,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "FACEREC_WORKERS": "1",  # so little work that starting processes would take longer
        "COLUMNS": "200",
    }


@pytest.fixture(scope="package", autouse=True)
def heed_ctrl_c() -> None:
    """A shell lets commands that it starts with `&`, and their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="package")
def forked() -> Iterator[None]:
    """Stages and `dvc` are forked, which spares starting Python and importing torch a hundred times."""
    with forks.serving() as folder:
        FORKED["PATH"] = f"{folder}{os.pathsep}{stage_environment()['PATH']}"
        yield
        FORKED.clear()


@pytest.fixture(scope="package")
def project(forked: None, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny experiment, run once from nothing and committed."""
    made = make_project(tmp_path_factory.mktemp("project"))
    made.run("dvc", "repro")
    commit(made)
    return made


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Project:
    """The finished experiment with a cache of its own, to vary or to break."""
    shutil.copytree(project.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")
