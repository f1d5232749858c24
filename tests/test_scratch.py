"""Finished parts are found again exactly when they are what a new run would make."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from facerec.core import FacerecError, resumable

ITEMS = list(range(6))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEREC_SCRATCH", "deep/scratch")
    return tmp_path / "deep/scratch"


def square(value: int) -> pa.Table:
    with Path("calls.txt").open("a") as file:
        file.write(f"{value}\n")
    return pa.table({"value": [value], "square": [value * value]}).replace_schema_metadata({"unit": "m2"})


def fail_at_four(value: int) -> pa.Table:
    if value == 4:
        raise OSError(28, "No space left on device", "x")
    return square(value)


def calls() -> list[int]:
    """The items worked on since the last question."""
    lines = Path("calls.txt").read_text().split() if Path("calls.txt").exists() else []
    Path("calls.txt").unlink(missing_ok=True)
    return sorted(map(int, lines))


def run(function: object = square, workers: int = 1, **inputs: object) -> list[dict[str, list[int]]]:
    with resumable.parts("squares", inputs) as parts:
        return [part.to_pydict() for part in parts.map(function, ITEMS, workers)]


def interrupted(**inputs: object) -> Path:
    """A run that fails at item 4; returns the folder of its parts."""
    with pytest.raises(OSError, match="No space"):
        run(fail_at_four, **inputs)
    assert calls() == [0, 1, 2, 3]
    (folder,) = Path("deep/scratch/squares").iterdir()
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_where_it_stopped_and_leaves_nothing(place: Path, workers: int) -> None:
    whole = run()
    assert whole == [{"value": [n], "square": [n * n]} for n in ITEMS]
    assert calls() == ITEMS
    assert not place.exists()
    interrupted()
    assert run(workers=workers) == whole
    assert calls() == [4, 5]
    assert not place.exists()


def test_a_part_keeps_its_schema() -> None:
    with resumable.parts("squares", {}) as parts:
        (part,) = parts.map(square, [3])
    assert part.schema.metadata == {b"unit": b"m2"}


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_part_is_made_again(damage: str) -> None:
    part = interrupted() / "0000002.part"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes({"flip": bytes(data), "cut": bytes(data[:-9]), "empty": b""}[damage])
    assert run()[2] == {"value": [2], "square": [4]}
    assert calls() == [2, 4, 5]


def test_a_part_swapped_behind_our_back_is_an_error() -> None:
    def vandal(value: int) -> pa.Table:
        for part in Path("deep/scratch/squares").rglob("*.part"):
            part.unlink()
        return square(value)

    with resumable.parts("squares", {}) as parts:
        made = parts.map(vandal, ITEMS, 1)
        next(made)
        parts._file(1).mkdir()
        with pytest.raises((FacerecError, OSError)):
            next(made)


@dataclass(frozen=True)
class Options:
    size: int = 112
    rule: str = "center"


def test_only_what_decides_bytes_decides_the_key(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    write("a/x", "1"), write("a/y", "2"), write("b/y", "2"), write("b/x", "1")
    (tmp_path / "b/.x.tmp").touch()
    keys = {
        name: resumable.key(inputs)
        for name, inputs in {
            "a": {"photos": tmp_path / "a", "options": Options()},
            "same": {"options": Options(size=112), "photos": tmp_path / "b"},
            "size": {"photos": tmp_path / "a", "options": Options(size=96)},
            "file": {"photos": tmp_path / "a/x", "options": Options()},
        }.items()
    }
    assert keys["a"] == keys["same"]
    write("a/x", "2"), write("a/y", "1")  # the same bytes under other names
    keys["content"] = resumable.key({"photos": tmp_path / "a", "options": Options()})
    (tmp_path / "b/x").rename(tmp_path / "b/z")
    keys["name"] = resumable.key({"photos": tmp_path / "b", "options": Options()})
    assert len(set(keys.values())) == 5
    with pytest.raises(TypeError, match="function cannot be part"):
        resumable.key({"rule": write})


def test_other_code_or_libraries_are_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    code = resumable._code()
    before = resumable.key({})
    for part in ("sources", "libraries"):
        monkeypatch.setattr(resumable, "_code", lambda part=part: {**code, part: "other"})
        assert resumable.key({}) != before


def test_other_inputs_keep_their_parts_until_they_are_old(place: Path) -> None:
    folder = interrupted(size=1)
    run(size=2)
    assert folder.exists()
    old = time.time() - (resumable.KEPT_DAYS + 1) * 86_400
    os.utime(folder, (old, old))
    (place / "squares/.left.123").mkdir()
    run(size=2)
    assert not place.exists()


def test_old_parts_in_use_are_not_removed() -> None:
    folder = interrupted(size=1)
    old = time.time() - (resumable.KEPT_DAYS + 1) * 86_400
    with resumable.parts("squares", {"size": 1}):
        os.utime(folder, (old, old))
        run(size=2)
        assert (folder / "0000003.part").exists()


def test_two_runs_of_the_same_work_share_it_and_the_last_cleans_up(place: Path) -> None:
    with resumable.parts("squares", {}) as first:
        made = first.map(square, ITEMS, 1)
        next(made), next(made)
        assert len(run()) == len(ITEMS)
        assert first.folder.exists(), "the first run still needs its parts"
        assert len(list(made)) == len(ITEMS) - 2
    assert not place.exists()


def hammer(count: int) -> None:
    for _ in range(count):
        assert len(run()) == len(ITEMS)


def test_runs_that_start_and_end_together_never_break_each_other(place: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=hammer, args=(60,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    run()
    assert not place.exists()


def test_a_lock_that_was_removed_while_waiting_is_taken_anew(place: Path) -> None:
    folder = place / "squares" / resumable.key({})
    held = resumable._locked(folder)
    fcntl.flock(held, fcntl.LOCK_EX)
    waiting = threading.Thread(target=run, daemon=True)
    waiting.start()
    time.sleep(0.2)
    assert calls() == []
    resumable._remove(folder, held)
    os.close(held)
    waiting.join(20)
    assert calls() == ITEMS
    assert not place.exists()
