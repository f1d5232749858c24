"""The container file: what it copies exists, and its layers install a package that works. It is built in CI alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import setuptools

from tests.conftest import ROOT

TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
COPIES = [line.split()[1:-1] for line in TEXT.splitlines() if line.startswith("COPY ")]


def test_what_it_copies_is_there_and_not_ignored() -> None:
    ignored = {line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")}
    names = {name for copied in COPIES for name in copied} - {"."}
    assert names >= {"Makefile", "pyproject.toml", "constraints.txt"}
    for name in names:
        assert (ROOT / name).is_file(), name
        assert not ignored & {name, *map(str, Path(name).parents)}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [path for path in tracked if any(path == each or path.startswith(f"{each}/") for each in ignored)]


def test_outputs_of_the_run_stay_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    outputs = re.findall(r"^/((?:data|models|reports)/\S*?)/?$", (ROOT / ".gitignore").read_text(), re.MULTILINE)
    kept = {each for each in outputs if each.rstrip("/") not in ignored and "*" not in each}
    assert kept <= {"reports/provenance"}


def test_the_dev_container_is_its_first_stage() -> None:
    described = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))["build"]
    assert (ROOT / ".devcontainer" / described["dockerfile"]).resolve() == ROOT / "Containerfile"
    assert re.findall(r"^FROM (\S+)(?: AS (\S+))?$", TEXT, re.MULTILINE) == [
        ("python:3.11-bookworm", described["target"]),
        (described["target"], "packages"),
        ("packages", ""),
    ]


@pytest.mark.slow
def test_the_layer_of_packages_is_enough_to_install_ours(tmp_path: Path) -> None:
    """The package is installed before its code is copied, which must not fix what it consists of."""
    for name in (name for copied in COPIES for name in copied if name != "."):
        (tmp_path / "facerec-image" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "facerec-image" / name)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    (libraries,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    installed = Path(setuptools.__file__).parents[1]
    for found in (*installed.glob("setuptools*"), *installed.glob("_distutils_hack*"), *installed.glob("wheel*")):
        (libraries / found.name).symlink_to(found)
    install = [*pip, "--no-build-isolation", "--editable", str(tmp_path / "facerec-image")]
    subprocess.run(install, check=True, capture_output=True, text=True)
    for name in ("facerec", "synthfaces"):
        shutil.copytree(ROOT / name, tmp_path / "facerec-image" / name, dirs_exist_ok=True)
    code = "import importlib.util as u; print(u.find_spec('facerec.core'), u.find_spec('synthfaces.mesh'))"
    done = subprocess.run([python, "-E", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("facerec-image") == 3  # where core lies, its folder, and mesh
