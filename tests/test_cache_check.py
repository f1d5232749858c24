"""`facerec verify-cache` in a real project of DVC: rot is found wherever it is, and the advice mends it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from facerec.core import FormatError
from facerec.reporting import cache_check
from tests.pipeline.conftest import Project

GRAPH = """\
stages:
  make:
    cmd: mkdir -p photos/deep && echo one > photos/a && echo two > photos/deep/b && echo three > table && echo 4 > number
    outs: [photos, table]
    metrics: [number: {cache: false}]
"""
SOUND = "All 8 files of 3 outputs have the bytes that dvc.lock records.\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("finished"))
    (made.root / "dvc.yaml").write_text(GRAPH)
    made.run("git", "init", "--quiet")
    made.run("dvc", "init", "--quiet")
    made.run("dvc", "repro", "--quiet")
    return made


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy to damage."""
    shutil.copytree(finished.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def objects(project: Project) -> dict[str, Path]:
    """The files of the cache by their content; the list of the folder is "list"."""
    files = [path for path in (project.root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    return {"list" if path.suffix == ".dir" else path.read_text().strip(): path for path in files}


def damage(path: Path) -> None:
    """Turn one bit, and leave size and times as they are, as a disk does."""
    before = path.stat()
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def verdict(project: Project) -> Any:
    """What --json says, and that the exit code agrees with it."""
    done = project.start("facerec", "verify-cache", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["sound"] else 1)
    return found


@pytest.mark.attack("Halves and mixtures", "rot in DVC's cache or in outputs", "named by `facerec verify-cache`")
@pytest.mark.slow
def test_rot_is_found_in_the_cache_and_in_the_workspace_and_the_advice_mends_it(project: Project) -> None:
    assert project.run("facerec", "verify-cache") == SOUND
    lock = (project.root / "dvc.lock").read_bytes()
    kept = objects(project)
    assert set(kept) == {"list", "one", "two", "three"}
    damage(kept["two"])
    damage(kept["three"])
    (project.root / "table").unlink()
    project.run("dvc", "checkout", "--quiet")
    assert (project.root / "table").read_text() == "uhree\n", "DVC gives back what is damaged; else this is not needed"
    told = project.run("facerec", "verify-cache", check=False).splitlines()
    assert told[0] == "Damaged files in DVC's cache: 2"
    assert set(told[1:3]) == {f"  {kept['two']} (photos/deep/b)", f"  {kept['three']} (table)"}
    assert told[3].startswith("Delete them, then `dvc fetch`")
    assert told[4:6] == ["Files in the workspace that differ from dvc.lock: 1", "  table"]
    found = verdict(project)
    assert (found["changed"], found["missing"], found["read"]) == (["table"], [], 8)
    for place in [*map(Path, found["damaged"]), *(project.root / path for path in found["changed"])]:
        place.unlink()
    project.run("dvc", "repro")
    assert (project.root / "dvc.lock").read_bytes() == lock
    assert project.run("facerec", "verify-cache") == SOUND


def test_a_damaged_list_of_a_folder_is_found(project: Project) -> None:
    damage(objects(project)["list"])
    found = verdict(project)
    assert found["damaged"] == {str(objects(project)["list"]): ["photos"]}


def test_what_is_not_in_the_cache_is_told_and_no_damage(project: Project) -> None:
    objects(project)["one"].unlink()
    (project.root / "table").unlink()
    found = verdict(project)
    assert (found["sound"], found["missing"], found["read"]) == (True, ["photos/a"], 6)
    told = project.run("facerec", "verify-cache")
    assert "Not in the cache, so not checked there: 1, such as photos/a; `dvc fetch` gets them." in told


def test_an_output_that_git_keeps_is_checked_in_the_workspace(project: Project) -> None:
    damage(project.root / "number")
    assert verdict(project)["changed"] == ["number"]


def test_nothing_to_check_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="records no output; `dvc repro`"):
        cache_check.check_outputs(tmp_path, tmp_path, [])


def test_a_file_that_the_disk_cannot_read_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "ab/cd").mkdir(parents=True)  # opening a folder fails with an error of the system
    found = cache_check.check_outputs(tmp_path, tmp_path, [cache_check.StoredOutput("x", "abcd", cached=True)])
    assert found.damaged == {str(tmp_path / "ab/cd"): ["x"]}


def test_long_lists_are_cut(tmp_path: Path) -> None:
    found = cache_check.CacheCheck(1, 30, {}, [f"data/{number}" for number in range(30)], [])
    lines = cache_check.check_lines(found)
    assert len(lines) == 23
    assert lines[-2] == "  and 10 more; --json lists all"
