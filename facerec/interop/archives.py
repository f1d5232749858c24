"""Plain files of a folder or an archive (tar, tgz, zip), read in place and safe against hostile archives.

    with open_source("photos.zip") as files:
        first = files.read(files.names[0])

Nothing is extracted and no member chooses a path on this machine. Links, devices and sparse files are not listed. An
archive is refused when a name leads out of it, is listed twice, or when it unpacks to far more than its size. A tgz can only be read from its beginning, so it is unpacked once to an
unnamed temporary tar file, from which members are then read in any order.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from facerec.core import FormatError

_COPY = 1 << 20
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_UNREADABLE = (RuntimeError, NotImplementedError, UnicodeDecodeError)
"""Errors of zipfile for a member with a password, an unknown compression or a name that is no text."""


@dataclass(frozen=True)
class Limits:
    """Limits beyond which an archive is refused."""

    members: int = 20_000_000
    member_bytes: int = 256 << 20
    ratio: int = 200
    """Unpacked bytes for each byte of the archive; photos and aligned faces stay below 10."""


LIMITS = Limits()


class FileSource(Protocol):
    """The plain files of a folder or an archive."""

    names: list[str]
    """Sorted paths from the top, '/' separated."""

    def read(self, name: str) -> bytes:
        """All bytes of one file."""
        ...

    def copy(self, name: str, target: BinaryIO) -> None:
        """Write all bytes of one file, which may be larger than memory, to `target`."""
        ...


@contextmanager
def open_source(path: str | Path, limits: Limits = LIMITS, scratch: Path | None = None) -> Iterator[FileSource]:
    """Open the files of `path`, a folder, tar, tgz or zip (recognised by content, not by name).

    `scratch` is the folder for the temporary file a tgz needs, the system's by default. Raises
    FormatError when `path` is something else, is damaged, or is refused.
    """
    path = Path(path)
    try:
        if path.is_dir():
            yield _Folder(path, limits)
            return
        with ExitStack() as stack:
            yield _archive(stack.enter_context(path.open("rb")), path, limits, scratch, stack)
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} cannot be read: {error}.") from error


def is_archive(path: Path) -> bool:
    """Whether the file is a tar, tgz or zip by its content; any gzip counts, since no photo begins like it."""
    with path.open("rb") as file:
        head = file.read(len(_GZIP))
    try:
        return head == _GZIP or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except zipfile.BadZipFile:  # is_zipfile raises it for some damage
        return False


def _archive(file: BinaryIO, path: Path, limits: Limits, scratch: Path | None, stack: ExitStack) -> FileSource:
    magic = file.read(4)
    file.seek(0)
    if magic == _ZIP:
        return _Zip(file, path, limits)
    if magic.startswith(_GZIP):
        unpacked = stack.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115
        _gunzip(file, unpacked, path, limits)
        return _Tar(unpacked, path, limits)
    return _Tar(file, path, limits)


class _Folder:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        found = []
        for folder, _, names in os.walk(path, followlinks=False):
            places = (Path(folder, name) for name in names)
            found += [place.relative_to(path).as_posix() for place in places if _is_plain(place)]
        self.names = sorted(found)

    def read(self, name: str) -> bytes:
        place = self._path / name
        _check_size(place.stat().st_size, name, self._path, self._limits)
        return place.read_bytes()

    def copy(self, name: str, target: BinaryIO) -> None:
        with (self._path / name).open("rb") as file:
            shutil.copyfileobj(file, target, _COPY)


class _Tar:
    """An uncompressed tar, its members read by offset."""

    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        self._file, self._places = file, dict[str, tuple[int, int]]()
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every header
                if count > limits.members:
                    raise FormatError(f"{path} lists more than {limits.members} members.")
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                    continue
                name = _safe(member.name, path, self._places)
                _check_size(member.size, name, path, limits)
                self._places[name] = (member.offset_data, member.size)
        self.names = sorted(self._places)

    def read(self, name: str) -> bytes:
        offset, size = self._places[name]
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise EOFError(f"it ends inside {name}")
        return data

    def copy(self, name: str, target: BinaryIO) -> None:
        offset, size = self._places[name]
        self._file.seek(offset)
        while size:
            data = self._file.read(min(size, _COPY))
            if not data:
                raise EOFError(f"it ends inside {name}")
            target.write(data)
            size -= len(data)


class _Zip:
    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (NotImplementedError, UnicodeDecodeError) as error:  # a newer version, a name that is no text
            raise zipfile.BadZipFile(str(error)) from error
        self._infos: dict[str, zipfile.ZipInfo] = {}
        members = self._zip.infolist()
        if len(members) > limits.members:
            raise FormatError(f"{path} lists more than {limits.members} members.")
        _check_ratio(sum(info.file_size for info in members), path, limits)
        for info in members:
            kind = info.external_attr >> 16 & 0o170000  # file type in the Unix mode, 0 where there is none
            if info.filename.endswith("/") or kind not in (0, 0o100000):
                continue
            name = _safe(info.filename, path, self._infos)
            _check_packing(info, path)
            _check_size(info.file_size, name, path, limits)
            self._infos[name] = info
        self.names = sorted(self._infos)

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._infos[name])
        except _UNREADABLE as error:
            raise zipfile.BadZipFile(f"{name}: {error}") from error

    def copy(self, name: str, target: BinaryIO) -> None:
        try:
            with self._zip.open(self._infos[name]) as file:
                shutil.copyfileobj(file, target, _COPY)
        except _UNREADABLE as error:
            raise zipfile.BadZipFile(f"{name}: {error}") from error


def _check_packing(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse members for which zipfile would allocate any amount: lengths beyond the file, bzip2, LZMA."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(f"{path} is refused: {info.filename!r} is neither stored nor deflated; pack it anew.")
    if info.compress_size > path.stat().st_size:
        raise FormatError(f"{path} is refused: {info.filename!r} claims to be larger than the whole file.")


def _gunzip(file: BinaryIO, unpacked: BinaryIO, path: Path, limits: Limits) -> None:
    size = 0
    with gzip.GzipFile(fileobj=file) as stream:
        while chunk := stream.read(_COPY):
            size += len(chunk)
            _check_ratio(size, path, limits)
            unpacked.write(chunk)
    unpacked.seek(0)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _safe(name: str, path: Path, taken: Container[str]) -> str:
    """`name` without a leading "./"; FormatError when it leaves the archive or cannot be stored."""
    clean = str(PurePosixPath(name))
    leaves = clean.startswith("/") or not {".", ".."}.isdisjoint(clean.split("/"))
    if leaves or "\\" in clean or not _storable(clean):
        raise FormatError(f"{path} is refused: its member {name!r} has no safe name.")
    if clean in taken:
        raise FormatError(f"{path} lists {clean} twice, so it is unclear which one is meant.")
    return clean


def _storable(name: str) -> bool:
    """Whether the name is text: tarfile and zipfile keep bytes that are no UTF-8 as lone surrogates."""
    return "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)


def _check_size(size: int, name: str, path: Path, limits: Limits) -> None:
    if size > limits.member_bytes:
        raise FormatError(f"{path} is refused: {name} has {size} bytes, more than {limits.member_bytes}.")


def _check_ratio(size: int, path: Path, limits: Limits) -> None:
    allowed = limits.ratio * max(path.stat().st_size, 1 << 14)
    if size > allowed:
        raise FormatError(f"{path} is refused: it unpacks to more than {limits.ratio} times its size.")
