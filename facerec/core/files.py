"""Atomic files and folders: written under a temporary name and renamed, so that a reader never sees half of one.

    with atomic_file("table.txt") as temporary:
        temporary.write_text("1 2 3")

The temporary name of `NAME` is `.NAME.0.tmp` beside it (`.1.` and so on while others write the same). Its writer
holds a lock on it until it ends, even by kill -9. So the next writer of `NAME` can tell an abandoned file from one that
is being written, and removes it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facerec.core.errors import FacerecError

_UMASK = os.umask(0)
os.umask(_UMASK)

_PLACES = 8  # writers of one output at the same time


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on error it is removed."""
    path = Path(path)
    check_place(path, folder=False)
    with _neighbour(path, folder=False) as temporary:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)


@contextmanager
def atomic_dir(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path` whole, on error it is removed."""
    path = Path(path)
    check_place(path, folder=True)
    with _neighbour(path, folder=True) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~_UMASK)
        _swap_in(temporary, path)


def check_place(path: Path, *, folder: bool) -> None:
    """Raise FacerecError unless a file, or a `folder`, can be put at `path`; call it before long work too."""
    if folder and path.is_symlink():
        raise FacerecError(
            f"{path} is a link, and a folder is to be written there; name the folder itself, or another."
        )
    if path.is_dir() != folder and path.exists() and not path.is_symlink():
        there, wanted = ("file", "folder") if folder else ("folder", "file")
        raise FacerecError(f"{path} is a {there}, and a {wanted} is to be written there; name another.")


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextmanager
def _neighbour(path: Path, *, folder: bool) -> Iterator[Path]:
    """A new, locked file or folder beside `path`, removed when the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    places = [path.with_name(f".{path.name}.{number}.tmp") for number in range(_PLACES)]
    for place in places:
        _remove_abandoned(place)
    temporary, lock = _claim(path, places, folder)
    try:
        yield temporary
    except BaseException:
        _remove(temporary)
        raise
    finally:
        os.close(lock)


def _claim(path: Path, places: list[Path], folder: bool) -> tuple[Path, int]:
    """The first free place, made and locked; tried again if another process removes it before the lock is held."""
    for place in [place for place in places for _ in range(3)]:
        try:
            if folder:
                place.mkdir(0o700)
            lock = os.open(place, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except (FileExistsError, FileNotFoundError):
            if not path.parent.exists():
                raise
            continue
        if _lock(lock) is not False and _is(lock, place):
            return place, lock
        os.close(lock)
    raise FacerecError(f"{_PLACES} other processes are writing {path}; wait for them, or delete {places[0]} ...")


def _swap_in(temporary: Path, path: Path) -> None:
    """Put a folder in the place of `path`, although another process may be doing the same."""
    with _neighbour(path, folder=True) as old:
        for attempt in range(_PLACES):
            if path.is_dir() and not path.is_symlink():
                with suppress(FileNotFoundError):
                    path.rename(old / str(attempt))
            try:
                temporary.replace(path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == _PLACES - 1:
                    raise
        _remove(old)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free and is held now; None on a file system without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno == errno.EWOULDBLOCK else None
    return True


def _is(descriptor: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), place.lstat())
    except FileNotFoundError:
        return False


def _remove_abandoned(place: Path) -> None:
    """Remove what a killed process of this user left, but nothing that is in use, a link or another user's."""
    with suppress(OSError):
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            ours = os.fstat(descriptor).st_uid == os.geteuid()
            if _lock(descriptor) and ours and _is(descriptor, place):
                _remove(place)
        finally:
            os.close(descriptor)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
