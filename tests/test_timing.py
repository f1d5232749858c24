"""Notes of how long stages took: written when a stage ends well, and nobody's failure when they cannot be."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from facerec.core import timing


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_remembered_by_stage_and_key() -> None:
    with timing.record_stage("align", "lfw"):
        time.sleep(0.02)
    with timing.record_stage("plots"):
        pass
    found = timing.last_run("align", "lfw")
    assert found is not None
    assert 0.02 <= found.seconds < 5
    assert found.peak_bytes > 10_000_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.finished)
    assert timing.last_run("plots") is not None
    assert timing.last_run("align", "other") is None
    assert sorted(path.name for path in timing.FOLDER.iterdir()) == ["align-lfw.json", "plots.json"]


def test_a_failure_leaves_the_last_good_run() -> None:
    with timing.record_stage("train", "a"):
        pass
    before = timing.last_run("train", "a")
    with pytest.raises(KeyboardInterrupt), timing.record_stage("train", "a"):
        raise KeyboardInterrupt
    assert timing.last_run("train", "a") == before


@pytest.mark.parametrize("key", ["../../etc", "a/b", "", "x y", ".."])
def test_what_is_no_name_is_not_written(key: str, folder: Path) -> None:
    with timing.record_stage("detect", key):
        pass
    assert list(folder.iterdir()) == []


def test_a_damaged_note_is_no_note() -> None:
    timing.FOLDER.mkdir(parents=True)
    for content in (b"", b"{}", b"\xff\xfe", b'{"seconds": "long"}'):
        (timing.FOLDER / "train.json").write_bytes(content)
        assert timing.last_run("train") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_fails_nothing(folder: Path) -> None:
    folder.chmod(0o500)
    with timing.record_stage("train"):
        pass
    folder.chmod(0o700)


def test_a_file_where_the_folder_should_be_fails_nothing(folder: Path) -> None:
    (folder / ".facerec").write_text("")
    with timing.record_stage("train"):
        pass
    assert timing.last_run("train") is None
