"""Finished parts are found again exactly when they are what a new run would make."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pyarrow as pa
import pytest

from facerec.core import resumable
from facerec.core.fingerprint import fingerprint

ITEMS = list(range(6))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEREC_SCRATCH", "deep/scratch")
    return tmp_path / "deep/scratch"


def square(job: range) -> pa.Table:
    value = job.start
    with Path("calls.txt").open("a") as file:
        file.write(f"{value}\n")
    return pa.table({"value": [value], "square": [value * value]}).replace_schema_metadata({"unit": "m2"})


def fail_at_four(job: range) -> pa.Table:
    if job.start == 4:
        raise OSError(28, "No space left on device", "x")
    return square(job)


def calls() -> list[int]:
    """The items worked on since the last question."""
    lines = Path("calls.txt").read_text().split() if Path("calls.txt").exists() else []
    Path("calls.txt").unlink(missing_ok=True)
    return sorted(map(int, lines))


def run(function: object = square, workers: int = 1, **inputs: object) -> list[dict[str, list[int]]]:
    with resumable.resumable_tables("squares", inputs, function, len(ITEMS), 1, "Squares", workers) as tables:
        return [table.to_pydict() for table in tables]


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
    interrupted()
    with resumable.resumable_tables("squares", {}, square, len(ITEMS), 1, "Squares", 1) as tables:
        assert {table.schema.metadata[b"unit"] for table in tables} == {b"m2"}
    assert calls() == [4, 5]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_part_is_made_again(damage: str) -> None:
    part = interrupted() / "000000002.part"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes({"flip": bytes(data), "cut": bytes(data[:-9]), "empty": b""}[damage])
    assert run()[2] == {"value": [2], "square": [4]}
    assert calls() == [2, 4, 5]


def test_parts_that_vanish_during_a_run_do_no_harm() -> None:
    def vandal(job: range) -> pa.Table:
        for part in Path("deep/scratch/squares").rglob("*.part"):
            part.unlink()
        return square(job)

    interrupted()
    assert run(vandal) == [{"value": [n], "square": [n * n]} for n in ITEMS]


OPTIONS = {"size": 112, "rule": "center"}


def test_only_what_decides_bytes_decides_the_key(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    write("a/x", "1"), write("a/y", "2"), write("b/y", "2"), write("b/x", "1")
    (tmp_path / "b/.x.tmp").touch()
    keys = {
        name: resumable.work_key(inputs)
        for name, inputs in {
            "a": {"photos": tmp_path / "a", "options": OPTIONS},
            "same": {"options": dict(reversed(OPTIONS.items())), "photos": tmp_path / "b"},
            "size": {"photos": tmp_path / "a", "options": {**OPTIONS, "size": 96}},
            "file": {"photos": tmp_path / "a/x", "options": OPTIONS},
        }.items()
    }
    assert keys["a"] == keys["same"]
    write("a/x", "2"), write("a/y", "1")  # the same bytes under other names
    keys["content"] = resumable.work_key({"photos": tmp_path / "a", "options": OPTIONS})
    (tmp_path / "b/x").rename(tmp_path / "b/z")
    keys["name"] = resumable.work_key({"photos": tmp_path / "b", "options": OPTIONS})
    assert len(set(keys.values())) == 5
    with pytest.raises(TypeError, match="function cannot be part"):
        resumable.work_key({"rule": write})


@pytest.mark.parametrize("part", ["code of facerec", "numpy", "arithmetic"])
def test_other_code_libraries_or_arithmetic_are_another_key(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = fingerprint()
    before = resumable.work_key({})
    monkeypatch.setattr(resumable, "fingerprint", lambda: {**here, part: "other"})
    assert resumable.work_key({}) != before


def test_other_inputs_keep_their_parts_until_they_are_old(place: Path) -> None:
    folder = interrupted(size=1)
    run(size=2)
    assert folder.exists()
    old = time.time() - (resumable.KEPT_DAYS + 1) * 86_400
    os.utime(folder, (old, old))
    run(size=2)
    assert not place.exists()


def test_two_runs_of_the_same_work_end_with_the_same_tables(place: Path) -> None:
    with resumable.resumable_tables("squares", {}, square, len(ITEMS), 1, "Squares", 1) as tables:
        first = [next(tables), next(tables)]
        whole = run()
        assert len(whole) == len(ITEMS)
        assert [table.to_pydict() for table in [*first, *tables]] == whole
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


def test_several_processes_make_a_share_each_and_the_run_after_them_makes_nothing(place: Path) -> None:
    for number, share in enumerate(([0, 3], [1, 4], [2, 5])):
        with pytest.raises(resumable.ShareMade) as made, resumable.making_share(number, 3):
            run()
        assert (made.value.parts, made.value.new) == (2, 2)
        assert calls() == share
    with pytest.raises(resumable.ShareMade) as made, resumable.making_share(1, 3):
        run()
    assert (made.value.parts, made.value.new) == (2, 0)
    assert run() == [{"value": [n], "square": [n * n]} for n in ITEMS]
    assert calls() == []
    assert not place.exists()


def test_no_range_has_photos_of_two_sets() -> None:
    with resumable.resumable_tables(
        "squares", {}, lambda job: pa.table({"n": list(job)}), [3, 0, 4], 2, "", 1
    ) as tables:
        assert [table["n"].to_pylist() for table in tables] == [[0, 1], [2], [3, 4], [5, 6]]


def test_a_part_of_another_machine_may_be_seen_late(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = place / "000000000.part"
    place.mkdir(parents=True)
    digest = resumable._write_part(part, pa.table({"n": [1]}))
    part.rename(hidden := place / "hidden")
    receipt = resumable._Receipt(str(digest), "another machine")
    monkeypatch.setattr(time, "sleep", lambda seconds: hidden.exists() and hidden.rename(part))
    found = resumable._read_delivered(part, receipt)
    assert found is not None
    assert found.to_pydict() == {"n": [1]}
    part.unlink()
    assert resumable._read_delivered(part, resumable._Receipt(str(digest), resumable.platform.node())) is None
    monkeypatch.setattr(resumable, "_DELAY", 0.0)
    assert resumable._read_delivered(part, receipt) is None


def test_a_part_is_not_taken_for_that_of_another_receipt(place: Path) -> None:
    place.mkdir(parents=True)
    digest = resumable._write_part(place / "0.part", pa.table({"n": [1]}))
    assert resumable._read_part(place / "0.part", digest) is not None
    assert resumable._read_part(place / "0.part", "0" * 64) is None


def test_a_part_that_cannot_be_written_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    place.mkdir(parents=True)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        resumable._write_part(place / "0.part", pa.table({"n": [1]}))
    assert list(place.iterdir()) == []
    assert resumable._write_part(place / "gone/0.part", pa.table({"n": [1]})) is None
