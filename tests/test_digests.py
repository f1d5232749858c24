"""Digests of large files are remembered for as long as the files are the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from facerec.core import digests
from facerec.core.digests import file_digests, remembered_digests, sha256_of_file


@pytest.fixture(autouse=True)
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read; the clock is an hour ahead, so that files of this moment have settled."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(digests, "sha256_of_file", counted)
    monkeypatch.setattr(digests, "REMEMBERED", 1)
    monkeypatch.setattr(digests, "time", SimpleNamespace(time=lambda: time.time() + 3600))
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    (made / "in").mkdir(parents=True)
    for name in ("a", "in/b", "c"):
        (made / name).write_bytes(name.encode() * 100)
    return made


def test_a_file_is_read_once(folder: Path, read: list[str]) -> None:
    found = remembered_digests(folder)
    assert sorted(read) == ["a", "b", "c"]
    assert remembered_digests(folder) == found == file_digests(folder)
    assert sorted(read) == ["a", "a", "b", "b", "c", "c"]  # once by each; file_digests always reads
    assert remembered_digests(folder / "a") == {"": found["a"]}
    assert remembered_digests(folder / "none") == {}


def write_again(path: Path) -> None:
    path.write_bytes(b"A" * 100)


def set_time_back(path: Path) -> None:
    before = path.stat()
    write_again(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_another(path: Path) -> None:
    other = path.with_name("other")
    set_time = path.stat().st_mtime_ns
    write_again(other)
    os.utime(other, ns=(set_time, set_time))
    other.replace(path)


@pytest.mark.attack(
    "Halves and mixtures", "a large input changed between two runs, its time set back", "its digest is made anew"
)
@pytest.mark.parametrize("change", [write_again, set_time_back, put_another])
def test_a_changed_file_is_read_again(folder: Path, change: Callable[[Path], None]) -> None:
    before = remembered_digests(folder)
    change(folder / "a")
    after = remembered_digests(folder)
    assert after == file_digests(folder)
    assert after["a"] != before["a"]


def test_a_file_that_changed_a_moment_ago_is_not_remembered(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "time", time)
    assert remembered_digests(folder) == remembered_digests(folder)
    assert len(read) == 6


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"[1]", b'{"state": 1}', b"\xff"])
def test_damaged_memory_does_no_harm(folder: Path, read: list[str], tmp_path: Path, damage: bytes) -> None:
    found = remembered_digests(folder)
    for place in (tmp_path / "scratch/digests").iterdir():
        place.write_bytes(damage)
    assert remembered_digests(folder) == found
    assert len(read) == 6


def test_small_files_leave_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "REMEMBERED", 1 << 20)
    remembered_digests(folder)
    assert not (tmp_path / "scratch").exists()
