"""Atomic files and folders: written under a temporary name and renamed, so that a reader never sees half of one.

    with atomic_file("table.txt") as temporary:
        temporary.write_text("1 2 3")

The temporary name of `NAME` is `.NAME.0.tmp` beside it (`.1.` and so on while others write the same). Its writer
holds a lock on it until it ends, even by kill -9. So the next writer of `NAME` can tell an abandoned file from one that
is being written, and removes it.

What has its name survives a power cut: the content and then the name are brought to the disk (fsync). Several writers
that each change a part of one file read and write it in an `exclusive` block.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from facerec.core.errors import FacerecError

_UMASK = os.umask(0)
os.umask(_UMASK)

_PLACES = 8  # writers of one output at the same time
_FEW = 100  # files of a folder that are brought to the disk one by one


@contextmanager
def atomic_file(path: str | Path, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on error it is removed.

    Without `lasting`, a power cut may leave an empty or half-written file under the name, for those who check it anyway.
    """
    path = Path(path)
    check_place(path, folder=False)
    with _neighbour(path, folder=False) as temporary:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        if lasting:
            _sync(temporary)
        temporary.replace(path)
        if lasting:
            _sync(path.parent)


@contextmanager
def atomic_link(source: BinaryIO, path: str | Path) -> Iterator[Path]:
    """As `atomic_file`, with the content of an open file that will not change: the same file, or a copy.

    It is copied where it is on another file system, or has lost its name to another process.
    """
    with atomic_file(path) as temporary:
        _lock(source.fileno())  # so that nobody takes the link for an abandoned file
        link = temporary.with_name(f"{temporary.name}.link")
        link.unlink(missing_ok=True)
        with suppress(OSError):
            os.link(source.name, link)
        if _is(source.fileno(), link):
            link.replace(temporary)
        else:
            link.unlink(missing_ok=True)
            source.seek(0)
            with temporary.open("wb") as copy:
                shutil.copyfileobj(source, copy)
        yield temporary


@contextmanager
def atomic_dir(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path` whole, on error it is removed."""
    path = Path(path)
    check_place(path, folder=True)
    with _neighbour(path, folder=True) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~_UMASK)
        _sync_tree(temporary)
        _swap_in(temporary, path)
        _sync(path.parent)


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Wait for the lock of those who change the file `path`, and hold it during the block.

    It is a lock on `.NAME.lock` beside the file, which is removed at the end; a killed process does not hold it. Raises
    FacerecError on a file system without locks.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    descriptor = _wait_for(place)
    while not _is(descriptor, place):  # its holder has removed it
        os.close(descriptor)
        descriptor = _wait_for(place)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(descriptor)


def _wait_for(place: Path) -> int:
    """The descriptor of the file `place`, locked."""
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        os.close(descriptor)
        raise FacerecError(
            f"the file system of {place.parent} has no locks, so changes of two programs could be lost; use another."
        ) from error
    return descriptor


def check_place(path: Path, *, folder: bool) -> None:
    """Raise FacerecError unless a file, or a `folder`, can be put at `path`; call it before long work too."""
    if folder and path.is_symlink():
        raise FacerecError(
            f"{path} is a link, and a folder is to be written there; name the folder itself, or another."
        )
    try:
        found = path.lstat().st_mode  # one look, as another process may replace it meanwhile
    except OSError:
        return
    if not stat.S_ISLNK(found) and stat.S_ISDIR(found) != folder:
        there, wanted = ("file", "folder") if folder else ("folder", "file")
        raise FacerecError(f"{path} is a {there}, and a {wanted} is to be written there; name another.")


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that will not change a second name, or copy it where the file system has no links between both."""
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOENT):
            raise
        shutil.copyfile(source, target)


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
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and error.filename is None:  # a full disk, which Python does not name
            error.filename = str(path)
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


def _sync(place: Path) -> None:
    """Bring a file or folder to the disk, where its file system can; a link in a folder comes with the folder."""
    if place.is_symlink():
        return
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no fsync of folders
            raise
    finally:
        os.close(descriptor)


def _sync_tree(top: Path) -> None:
    """Bring a folder to the disk; of many files, which would take 5 ms each, with all else that waits to be written."""
    places = [Path(folder, name) for folder, _, names in os.walk(top) for name in (*names, "")]
    if len(places) > _FEW:
        os.sync()
        return
    for place in places:
        _sync(place)


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
