"""The plain files of a folder or an archive, whichever it is, read in place.

    with open_source("lfw-deepfunneled.tgz") as files:
        data = files.read(files.names[0])

No member of an archive (tar, tgz, zip) chooses a path on this machine. Links, devices and sparse files are not listed. An
archive is refused when a name leads out of it, is listed twice, or when it unpacks to far more than its size. A tgz can
only be read from its beginning, so it is unpacked once to an unnamed temporary tar file, from which members are then
read in any order.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from facerec.core import FormatError, file_state

_EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
_OTHER = {
    ".txt",
    ".csv",
    ".json",
    ".xml",
    ".html",
    ".md",
    ".pdf",
    ".mat",
    ".npy",
    ".zip",
    ".tar",
    ".db",
    ".rec",
    ".idx",
    ".bin",
}
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Limits:
    """Limits beyond which an archive is refused."""

    members: int = 20_000_000
    member_bytes: int = 256 << 20
    ratio: int = 200
    """Unpacked bytes for each byte of the archive; photos and aligned faces stay below 10."""


LIMITS = Limits()


class FileSource(ABC):
    """The plain files of a folder or an archive; `names` are their sorted paths from the top, '/' separated."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self.names: list[str] = []

    def read(self, name: str) -> bytes:
        """All bytes of one file."""
        return b"".join(self.pieces(name))

    def photos(self) -> list[str]:
        """The files that are photos, sorted."""
        return [name for name in self.names if self.is_photo(name)]

    def is_photo(self, name: str) -> bool:
        """Whether one file is a photo, by its extension or, where that is no help, by its first bytes.

        Hidden files and those that macOS adds to archives (`._x`, `__MACOSX/`) are none.
        """
        path = PurePosixPath(name)
        if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            return False
        extension = path.suffix.lower()
        if extension in _EXTENSIONS or extension in _OTHER:
            return extension in _EXTENSIONS
        head = next(self.pieces(name), b"")[:16]
        return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")

    @abstractmethod
    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of one file, which may be larger than memory, piece by piece."""

    def reader(self, names: Sequence[str]) -> FileReader | None:
        """What reads these files in other processes; None for an archive that only this object can read."""
        return None

    def _safe(self, name: str, taken: Container[str]) -> str:
        """`name` without a leading "./"; FormatError when it leaves the archive or cannot be stored."""
        clean = str(PurePosixPath(name))
        leaves = clean.startswith("/") or not {".", ".."}.isdisjoint(clean.split("/"))
        # tarfile and zipfile keep bytes that are no UTF-8 as lone surrogates
        if leaves or any(letter in "\\\0" or "\ud800" <= letter <= "\udfff" for letter in clean):
            raise FormatError(f"{self._path} is refused: its member {name!r} has no safe name.")
        if clean in taken:
            raise FormatError(f"{self._path} lists {clean} twice, so it is unclear which one is meant.")
        return clean

    def _check_size(self, size: int, name: str) -> None:
        if size > self._limits.member_bytes:
            limit = self._limits.member_bytes
            raise FormatError(f"{self._path} is refused: {name} has {size} bytes, more than {limit}.")

    def _check_members(self, count: int) -> None:
        if count > self._limits.members:
            raise FormatError(f"{self._path} lists more than {self._limits.members} members.")


@dataclass(frozen=True)
class FileReader:
    """Reads some files of a folder or of an uncompressed tar, in any process.

    Attributes:
        path: the folder or tar.
        places: first byte and number of bytes of each file, in the tar or in the file itself.
    """

    path: Path
    places: Mapping[str, tuple[int, int]]

    def part(self, names: Sequence[str]) -> FileReader:
        """A reader of some of the files."""
        return FileReader(self.path, {name: self.places[name] for name in names})

    def size(self, name: str) -> int:
        """Bytes of one file."""
        return self.places[name][1]

    def state(self) -> str:
        """A digest of what tells these files from changed ones, without reading them."""
        files = [self.path / name for name in self.places] if self.path.is_dir() else [self.path]
        states = hashlib.sha256()
        for file in files:
            states.update(json.dumps([str(file.resolve()), file_state(file)]).encode())
        return states.hexdigest()

    def read(self, name: str) -> bytes:
        """All bytes of one file; FormatError where it cannot be read or is shorter."""
        start, size = self.places[name]
        try:
            with (self.path / name if self.path.is_dir() else self.path).open("rb") as file:
                file.seek(start)
                data = file.read(size)
        except OSError as error:
            raise FormatError(f"{self.path} cannot be read: {error}.") from error
        if len(data) < size:
            raise FormatError(f"{self.path} cannot be read: it ends inside {name}.")
        return data


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
            file: BinaryIO = stack.enter_context(path.open("rb"))
            magic = file.read(4)
            file.seek(0)
            if magic.startswith(_GZIP):
                unpacked = stack.enter_context(tempfile.TemporaryFile(dir=scratch))
                _gunzip(file, unpacked, path, limits)
                file = unpacked
            yield (_Zip if magic == _ZIP else _Tar)(file, path, limits)
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


def _pieces(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    return iter(partial(file.read, _PIECE), b"")


class _Folder(FileSource):
    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path, limits)
        places = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
        plain = (place for place in places if place.is_file() and not place.is_symlink())
        self.names = sorted(place.relative_to(path).as_posix() for place in plain)
        for name in self.names:
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise FormatError(f"{path} is refused: the name of its file {name} is no UTF-8; rename it.")

    def reader(self, names: Sequence[str]) -> FileReader:
        sizes = {name: (self._path / name).stat().st_size for name in names}
        for name, size in sizes.items():
            self._check_size(size, name)
        return FileReader(self._path, {name: (0, size) for name, size in sizes.items()})

    def pieces(self, name: str) -> Iterator[bytes]:
        with (self._path / name).open("rb") as file:
            self._check_size(os.fstat(file.fileno()).st_size, name)
            yield from _pieces(file)


class _Tar(FileSource):
    """An uncompressed tar, its members read by offset."""

    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        super().__init__(path, limits)
        self._file, self._places = file, dict[str, tuple[int, int]]()
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every header
                self._check_members(count)
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                    continue
                name = self._safe(member.name, self._places)
                self._check_size(member.size, name)
                self._places[name] = (member.offset_data, member.size)
        self.names = sorted(self._places)

    def reader(self, names: Sequence[str]) -> FileReader | None:
        if not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
            return None  # unpacked from a tgz to a file without a name
        return FileReader(self._path, {name: self._places[name] for name in names})

    def pieces(self, name: str) -> Iterator[bytes]:
        start, size = self._places[name]
        for place in range(start, start + size, _PIECE):
            wanted = min(_PIECE, start + size - place)
            self._file.seek(place)
            piece = self._file.read(wanted)
            if len(piece) < wanted:
                raise EOFError(f"it ends inside {name}")
            yield piece


class _Zip(FileSource):
    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        super().__init__(path, limits)
        try:
            self._zip = zipfile.ZipFile(file)
        except (NotImplementedError, UnicodeDecodeError) as error:  # a newer version, a name that is no text
            raise zipfile.BadZipFile(str(error)) from error
        self._infos: dict[str, zipfile.ZipInfo] = {}
        members = self._zip.infolist()
        self._check_members(len(members))
        _check_ratio(sum(info.file_size for info in members), path, limits)
        for info in members:
            kind = info.external_attr >> 16 & 0o170000  # file type in the Unix mode, 0 where there is none
            if info.filename.endswith("/") or kind not in (0, 0o100000):
                continue
            name = self._safe(info.filename, self._infos)
            _check_packing(info, path)
            self._check_size(info.file_size, name)
            self._infos[name] = info
        self.names = sorted(self._infos)

    def pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self._zip.open(self._infos[name]) as file:
                yield from _pieces(file)
        except (RuntimeError, NotImplementedError, UnicodeDecodeError) as error:  # password, compression, name
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
        for piece in _pieces(stream):
            size += len(piece)
            _check_ratio(size, path, limits)
            unpacked.write(piece)
    unpacked.seek(0)


def _check_ratio(size: int, path: Path, limits: Limits) -> None:
    if size > limits.ratio * max(path.stat().st_size, 1 << 14):
        raise FormatError(f"{path} is refused: it unpacks to more than {limits.ratio} times its size.")
