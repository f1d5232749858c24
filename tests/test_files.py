"""Atomic writes, ordered parallel maps, and the one sentence at the edge."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from facerec.core import FacerecError, ParamsError, console, executor, files, settings
from tests import work


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


@pytest.mark.parametrize("workers", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_results_keep_their_order(workers: int) -> None:
    assert list(executor.map_ordered(work.slow_square, range(20), workers)) == [i * i for i in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workers_error_reaches_the_caller(workers: int) -> None:
    with pytest.raises(FacerecError, match="three"):
        list(executor.map_ordered(work.fail_at_three, range(50), workers))


def test_a_killed_worker_is_one_sentence() -> None:
    with pytest.raises(FacerecError, match="worker process was killed"):
        list(executor.map_ordered(work.die, range(4), 2))


def test_machine_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facerec.local.toml").write_text("workers = 3\n")
    monkeypatch.delenv("FACEREC_WORKERS", raising=False)
    assert settings.worker_count() == 3
    monkeypatch.setenv("FACEREC_WORKERS", "5")
    assert settings.worker_count() == 5
    monkeypatch.setenv("FACEREC_WORKERS", "many")
    pytest.raises(ParamsError, settings.worker_count)


def test_an_experiment_in_a_folder_of_its_own_has_the_projects_machine_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACEREC_WORKERS", raising=False)
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    (tmp_path / "facerec.local.toml").write_text('workers = 3\nmirror = "../beside"\n')
    for folder in (".dvc/tmp/exps/tmpa1b2", ".dvc/tmp/exps/standalone/tmpa1b2/data"):
        (tmp_path / folder).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / folder)
        assert settings.home() == tmp_path
        assert settings.worker_count() == 3
        assert settings.local_path("mirror", "") == tmp_path / "../beside"
        assert settings.local_path("scratch", ".facerec/scratch") == tmp_path / ".facerec/scratch"
    monkeypatch.chdir(tmp_path)
    assert settings.local_path("scratch", "/elsewhere") == Path("/elsewhere")
    assert settings.local_path("scratch", ".facerec/scratch") == Path(".facerec/scratch")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (FacerecError("it is broken; mend it"), 1, "error: it is broken; mend it\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "x.arrow"), 1, "no space left on the disk (x.arrow)"),
        (PermissionError(errno.EACCES, "denied", "y"), 1, "no permission to read or write (y)"),
        (MemoryError(), 1, "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), 1, "lower train.batch, raise train.accumulate"),
    ],
)
def test_one_sentence_and_a_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert console.run_command(fail) == code
    printed = capsys.readouterr()
    assert text in printed.err
    assert printed.out == ""
    assert printed.err.count("\n") == 1


def test_the_end_of_the_process_is_no_defect() -> None:
    with pytest.raises(SystemExit):
        console.run_command(lambda: sys.exit(2))


def leave(target: Path, folder: bool) -> None:
    """Be killed in the middle of writing `target`."""
    with files.atomic_dir(target) if folder else files.atomic_file(target) as temporary:
        (temporary / "half" if folder else temporary).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("folder", [False, True])
def test_what_kill_9_left_goes_with_the_next_write(tmp_path: Path, folder: bool) -> None:
    target = tmp_path / "out"
    (tmp_path / ".out.backup.tmp").touch()  # somebody else's
    (tmp_path / ".out.more.0.tmp").touch()
    for _ in range(2):
        killed = multiprocessing.get_context("fork").Process(target=leave, args=(target, folder))
        killed.start()
        killed.join(20)
        assert killed.exitcode == -signal.SIGKILL
    assert (tmp_path / ".out.0.tmp").exists()
    with files.atomic_dir(target) if folder else files.atomic_file(target) as temporary:
        assert not folder or os.listdir(temporary) == []
    assert sorted(os.listdir(tmp_path)) == [".out.backup.tmp", ".out.more.0.tmp", "out"]


@pytest.mark.parametrize("make", [files.atomic_dir, files.atomic_file])
def test_writers_of_one_output_do_not_touch_each_other(tmp_path: Path, make: Callable[..., Any]) -> None:
    with make(tmp_path / "out") as first:
        with make(tmp_path / "out") as second:
            assert second != first
            (second / "x" if second.is_dir() else second).write_text("second")
        assert first.exists()
        (first / "x" if first.is_dir() else first).write_text("first")
    assert os.listdir(tmp_path) == ["out"]
    written = tmp_path / "out/x" if (tmp_path / "out").is_dir() else tmp_path / "out"
    assert written.read_text() == "first"


def test_too_many_writers_are_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(files.atomic_file(tmp_path / "out"))
        with pytest.raises(FacerecError, match="8 other processes are writing"):
            stack.enter_context(files.atomic_file(tmp_path / "out"))


def never(work: object) -> None:
    """The work that must not begin."""
    raise AssertionError(work)


@pytest.mark.attack("Names", "an output of the wrong kind", "refused before the work")
@pytest.mark.parametrize("kind", ["link to a folder", "dangling link", "file"])
def test_what_cannot_be_replaced_by_a_folder_is_refused_before_the_work(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/precious").write_text("x")
    if kind == "file":
        target.write_text("x")
    else:
        target.symlink_to(tmp_path / ("kept" if kind == "link to a folder" else "nowhere"))
    with (
        pytest.raises(FacerecError, match=f"{target} is a {kind.split()[-1] if kind == 'file' else 'link'}, "),
        files.atomic_dir(target) as folder,
    ):
        never(folder)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kept", "out"]
    assert (tmp_path / "kept/precious").read_text() == "x"


def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(FacerecError, match=r"out is a folder, and a file is to be written there; name another"),
        files.atomic_file(tmp_path / "out") as temporary,
    ):
        never(temporary)


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".out.0.tmp").symlink_to(tmp_path / "precious")
    files.write_text(tmp_path / "out", "new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / ".out.0.tmp").is_symlink()


def replace(target: Path, count: int) -> None:
    for number in range(count):
        with files.atomic_dir(target) as folder:
            for name in "ab":
                (folder / name).write_text(str(number))


def test_folders_replaced_by_several_processes_stay_whole(tmp_path: Path) -> None:
    writers = [
        multiprocessing.get_context("fork").Process(target=replace, args=(tmp_path / "out", 100)) for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out/a").read_text() == (tmp_path / "out/b").read_text()


def trace_disk(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[tuple[str, str]]:
    """Every fsync and rename that follows, with the names below `root`."""
    done: list[tuple[str, str]] = []

    def name(path: object) -> str:
        return str(Path(str(path)).relative_to(root))

    def fsync(descriptor: int) -> None:
        done.append(("sync", name(Path(f"/proc/self/fd/{descriptor}").readlink())))

    def watched(rename: Callable[..., None]) -> Callable[..., None]:
        def call(source: object, target: object) -> None:
            done.append((f"rename {name(source)}", name(target)))
            rename(source, target)

        return call

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "sync", lambda: done.append(("sync", "everything")))
    for each in ("replace", "rename"):
        monkeypatch.setattr(os, each, watched(getattr(os, each)))
    return done


@pytest.mark.attack("Halves and mixtures", "a power cut after a rename", "content is on the disk before its name")
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the names of open files")
def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut then leaves the old file or the new one, and no name of an empty file."""
    root = tmp_path.resolve()
    done = trace_disk(monkeypatch, root)
    files.write_text(root / "out", "new")
    assert done == [("sync", ".out.0.tmp"), ("rename .out.0.tmp", "out"), ("sync", ".")]
    done.clear()
    with files.atomic_dir(root / "set") as folder:
        (folder / "deep").mkdir()
        (folder / "deep/x").touch()
        (folder / "y").touch()
        (folder / "link").symlink_to("nowhere")
    inside = [("sync", f".set.0.tmp{name}") for name in ("/y", "", "/deep/x", "/deep")]
    assert done == [*inside, ("rename .set.0.tmp", "set"), ("sync", ".")]
    done.clear()
    with files.atomic_dir(root / "photos") as folder:
        for number in range(101):
            (folder / f"{number}.jpg").touch()
    assert done == [("sync", "everything"), ("rename .photos.0.tmp", "photos"), ("sync", ".")]


def test_a_disk_that_fails_at_the_last_moment_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = errno.EINVAL

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    files.write_text(tmp_path / "out", "old")  # a file system that has no fsync
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output error") as raised:
        files.write_text(tmp_path / "out", "new")
    assert raised.value.filename == str(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
