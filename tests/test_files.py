"""Atomic writes, ordered parallel maps, and the one sentence at the edge."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from facerec import console, execution, files
from facerec.errors import FacerecError, ParamsError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "value.json"
    files.write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(target, {"a": float("nan")})
    assert target.read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(target.parent) == ["value.json"]


def test_a_failed_directory_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with files.atomic_dir(target) as folder:
        (folder / "old").touch()

    def fail() -> None:
        with files.atomic_dir(target) as folder:
            (folder / "new").touch()
            raise KeyboardInterrupt

    pytest.raises(KeyboardInterrupt, fail)
    assert os.listdir(tmp_path) == ["set"]
    assert os.listdir(target) == ["old"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with files.atomic_dir(tmp_path / "set") as folder:
            (folder / name).touch()
    assert os.listdir(tmp_path / "set") == ["second"]


def slow_square(value: int) -> int:
    time.sleep(0.02 * (value % 3 == 0))
    return value * value


def fail_at_three(value: int) -> int:
    if value == 3:
        raise FacerecError("three")
    return value


def die(value: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_keep_their_order(workers: int) -> None:
    assert list(execution.map_ordered(slow_square, range(20), workers)) == [i * i for i in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workers_error_reaches_the_caller(workers: int) -> None:
    with pytest.raises(FacerecError, match="three"):
        list(execution.map_ordered(fail_at_three, range(50), workers))


def test_a_killed_worker_is_one_sentence() -> None:
    with pytest.raises(FacerecError, match="worker process was killed"):
        list(execution.map_ordered(die, range(4), 2))


def test_machine_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facerec.local.toml").write_text("workers = 3\n")
    monkeypatch.delenv("FACEREC_WORKERS", raising=False)
    assert execution.worker_count() == 3
    monkeypatch.setenv("FACEREC_WORKERS", "5")
    assert execution.worker_count() == 5
    monkeypatch.setenv("FACEREC_WORKERS", "many")
    pytest.raises(ParamsError, execution.worker_count)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (FacerecError("it is broken; mend it"), 1, "error: it is broken; mend it\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x.arrow"),
            1,
            "no space left on the disk (x.arrow)",
        ),
        (PermissionError(errno.EACCES, "denied", "y"), 1, "no permission to read or write (y)"),
        (MemoryError(), 1, "out of memory"),
    ],
)
def test_one_sentence_and_a_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert console.run(fail) == code
    printed = capsys.readouterr()
    assert text in printed.err
    assert printed.out == ""
    assert printed.err.count("\n") == 1


def test_our_own_defects_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        console.run(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
