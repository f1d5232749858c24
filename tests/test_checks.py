"""Checks before a commit, and the container for development: what they name is there, and they do refuse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.conftest import copy_sources
from tools import lock

HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
BIN = Path(sys.executable).parent


def test_hooks_are_programs_of_this_environment() -> None:
    (repo,) = HOOKS
    assert repo["repo"] == "local", "nothing is fetched"
    for hook in repo["hooks"]:
        assert hook["language"] == "system"
        program, *rest = hook["entry"].split()
        assert (BIN / program).exists(), hook["id"]
        if rest[:1] == ["-m"]:
            assert (ROOT / rest[1].replace(".", "/")).with_suffix(".py").is_file()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with everything staged for its first commit."""
    folder = tmp_path_factory.mktemp("clone")
    copy_sources(folder)
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def hook(name: str, clone: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """A hook on all files of the clone, as `git commit` would run it."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    words = ["pre-commit", "run", name, "--all-files", "--verbose"]
    return subprocess.run(words, cwd=clone, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_clone_passes_and_a_mistake_does_not(clone: Path, tmp_path: Path) -> None:
    subprocess.run([BIN / "pre-commit", "validate-config"], cwd=clone, check=True)
    for name in ("ruff-check", "ruff-format", "params"):
        done = hook(name, clone, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace("margin:", "margn:"))
    (clone / "stages/plots.py").write_text("import os\n")
    try:
        assert "unknown key" in hook("params", clone, tmp_path).stdout
        assert "F401" in hook("ruff-check", clone, tmp_path).stdout
    finally:
        (clone / "params.yaml").write_text(text)


@pytest.mark.slow
def test_a_lock_of_other_stages_is_refused(clone: Path, tmp_path: Path) -> None:
    done = hook("lock", clone, tmp_path)
    assert done.returncode != 0
    assert "error: dvc.lock is of another dvc.yaml or params.yaml: render@synth_people is not in" in done.stdout


LOCKED: dict[str, Any] = {
    "verify@lfw": {"cmd": "verify lfw", "deps": [{"path": "b"}, {"path": "a", "md5": "1"}], "outs": [{"path": "o"}]}
}


def test_what_is_compared() -> None:
    same = {"cmd": "verify lfw", "deps": [{"path": "a", "md5": "2"}, {"path": "b"}], "outs": [{"path": "o"}]}
    assert lock.compare_locks({"verify@lfw": same}, LOCKED) == []
    assert lock.compare_locks({}, LOCKED) == [], "stages of other profiles stay in the lock"
    assert lock.compare_locks({"verify@cfp": same}, LOCKED) == ["verify@cfp is not in dvc.lock"]
    for part, value in (("cmd", "verify"), ("deps", [{"path": "a"}]), ("outs", [])):
        assert lock.compare_locks({"verify@lfw": {**same, part: value}}, LOCKED) == [
            f"verify@lfw has other {part} in dvc.lock"
        ]


def test_the_container_is_described() -> None:
    described = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert described["build"]["dockerfile"] == "../Containerfile"  # tests/test_container.py looks into it
    target = described["postCreateCommand"].removeprefix("make ")
    made = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    code = described["customizations"]["vscode"]
    assert "iterative.dvc" in code["extensions"]
    assert all(re.fullmatch(r"[a-z-]+\.[a-z-]+", each) for each in code["extensions"])
    assert all(
        path.endswith(".venv/bin/python")
        for key, path in code["settings"].items()
        if "ython" in key and isinstance(path, str)
    )
