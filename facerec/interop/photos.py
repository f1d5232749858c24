"""Photos in identity folders (`Name/Name_0001.jpg`) or archives of them, as rows for photo shards.

    write_shards(photo_rows("lfw-deepfunneled.tgz"), "data/raw/lfw", Meta("photos", "lfw"))  # of facerec.store

A file is a photo by its extension or, where the extension is no help, by its first bytes. Hidden files and those that
macOS adds to archives (`._x`, `__MACOSX/`) are left out. Order and labels depend on names only, not on the order in
an archive.

Archives (tar, tgz, zip) are read in place and no member chooses a path on this machine. Links, devices and sparse
files are not listed. An archive is refused when a name leads out of it, is listed twice, or when it unpacks to far more
than its size. A tgz can only be read from its beginning, so it is unpacked once to an unnamed temporary tar file, from
which members are then read in any order.
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
from typing import IO, Any, BinaryIO

import numpy as np

from facerec.core import Album, Description, FormatError, file_state, size_of
from facerec.interop import photo_lists

_EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
_OTHER = {".txt", ".csv", ".json", ".xml", ".html", ".md", ".pdf", ".mat", ".npy", ".zip", ".tar", ".db"}
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


def photo_rows(
    path: str | Path, labelled: bool = True, limits: Limits = LIMITS, scratch: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Photo rows (image, label, identity, source) of a folder or archive, sorted by source; see `open_photos`."""
    with open_photos(path, labelled, limits, scratch) as listed:
        yield from listed.rows()


@dataclass(frozen=True)
class PhotoList:
    """The photos of an open source: their files, identities and labels, and the folders above all identities."""

    files: FileSource
    names: Sequence[str]
    identities: Sequence[str]
    labels: Sequence[int]
    top: str

    def sources(self) -> Iterator[str]:
        """The path of each photo inside its set."""
        return (name.removeprefix(self.top) for name in self.names)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Photo rows."""
        for name, identity, label, source in zip(self.names, self.identities, self.labels, self.sources(), strict=True):
            yield {"image": self.files.read(name), "label": label, "identity": identity, "source": source}


@contextmanager
def open_photos(
    path: str | Path,
    labelled: bool = True,
    limits: Limits = LIMITS,
    scratch: Path | None = None,
    depth: int = 1,
    only: Sequence[str] | Path | None = None,
) -> Iterator[PhotoList]:
    """Open the photos of a folder or archive, sorted by source.

    Args:
        path: the folder or archive.
        labelled: whether folders are identities; labels are then 0..n-1 by sorted identity, and the folders above all
            identities are left out of `source`. Else identities are "" and labels -1.
        limits: of the archive.
        scratch: folder for temporary files, the system's by default.
        depth: 1 where the folder of a photo is its identity, 2 where the folder above is.
        only: the photos wanted, in their order, or a feature list of them, matched as `matching_rows` does it; None for all.

    Raises:
        FormatError: when there is no photo, one of `only` is missing, or `open_source` fails.
    """
    with open_source(path, limits, scratch) as files:
        names = [name for name in files.names if is_photo(name, files)]
        if only is not None:
            listed = photo_lists.read_feature_list(only).paths if isinstance(only, Path) else only
            names = _listed(path, listed, names)
        if not names:
            raise FormatError(f"{path} holds no photos.")
        identities = [_identity(name, depth) if labelled else "" for name in names]
        top = _common_top(names, depth) if labelled else ""
        yield PhotoList(files, names, identities, number_names(identities), top)


@contextmanager
def open_listed(
    path: str | Path,
    listed: Mapping[str, int] | Mapping[str, str],
    limits: Limits = LIMITS,
    scratch: Path | None = None,
) -> Iterator[PhotoList]:
    """Open the photos of a folder or archive that a list names, in its order, with the identities that it gives.

    An identity is a name, and labels are 0..n-1 by sorted name; or a number, and labels are in the order of the numbers.
    The name "" and a negative number mean an unknown identity, labelled -1. Paths are matched as `matching_rows` does it;
    photos that are not listed are left out. Raises FormatError when photos of the list are missing, or when
    `open_source` fails.
    """
    values = list(listed.values())
    identities = [("" if isinstance(each, int) and each < 0 else str(each)) for each in values]
    order = int if values and isinstance(values[0], int) else str
    with open_source(path, limits, scratch) as files:
        names = _listed(path, list(listed), files.names)
        yield PhotoList(files, names, identities, number_names(identities, order), _common_top(names, depth=1))


def listed_rows(
    path: str | Path, listed: Mapping[str, int], limits: Limits = LIMITS, scratch: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Photo rows of what `open_listed` opens."""
    with open_listed(path, listed, limits, scratch) as opened:
        yield from opened.rows()


def find_people(path: str | Path, files: FileSource, depth: int = 1, people: Path | None = None) -> dict[str, str]:
    """Photo -> identity, by name of the file, of all photos in the open source `files` of `path`.

    The identity is the folder of a photo for depth 1, the folder above it for depth 2 and so on, and "" for a photo
    that lies less deep; or what the list `people` says (see `photo_lists.read_people`), and photos that it does not
    name are left out. Raises FormatError when there is no photo or one of the list is missing.
    """
    if people is not None:
        listed = photo_lists.read_people(people)
        return dict(sorted(zip(_listed(path, list(listed), files.names), listed.values(), strict=True)))
    found = {name: _identity(name, depth) for name in files.names if is_photo(name, files)}
    if not found:
        raise FormatError(f"{path} holds no photos.")
    return found


def number_names(identities: Sequence[str], order: type = str) -> list[int]:
    """Numbers from 0 for the identities, sorted as values of that type; -1 for ""."""
    numbers = {identity: number for number, identity in enumerate(sorted({*identities} - {""}, key=order))}
    return [numbers.get(identity, -1) for identity in identities]


def is_photo(name: str, files: FileSource) -> bool:
    """Whether the file `name` is a photo."""
    path = PurePosixPath(name)
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return False
    extension = path.suffix.lower()
    if extension in _EXTENSIONS or extension in _OTHER:
        return extension in _EXTENSIONS
    head = files.read(name)[:16]
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def describe_photos(path: Path, files: FileSource) -> Description:
    """The photos of an open folder or archive `path`; a folder is an identity."""
    names = [name for name in files.names if is_photo(name, files)]
    if not names:
        raise FormatError(f"{path} holds no photos, shards, packs, features or models.")
    labels = np.array(number_names([_identity(name, depth=1) for name in names]), np.int64)
    facts = {"bytes": size_of(path), "colour": "as stored", "other_files": len(files.names) - len(names)}
    album = Album(lambda row: files.read(names[row]), labels, names)
    return Description("photo folder" if path.is_dir() else "archive of photos", facts, album)


def _listed(path: str | Path, wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """The file among `names` for every photo of the list `wanted`, in its order."""
    found = photo_lists.matching_rows(wanted, names).tolist()
    missing = [name for name, row in zip(wanted, found, strict=True) if row < 0]
    if missing:
        raise FormatError(
            f"{path} lacks {len(missing)} of the {len(found)} photos of its list, the first is {missing[0]!r}."
        )
    if len(set(found)) < len(found):
        raise FormatError(f"the list of {path} names some of its photos twice.")
    return [names[row] for row in found]


def _identity(name: str, depth: int) -> str:
    """The folder the photo lies in, or one above, "" at the top."""
    folders = PurePosixPath(name).parent.parts
    return folders[-depth] if len(folders) >= depth else ""


def _common_top(names: Sequence[str], depth: int) -> str:
    """The folders above every identity folder, such as "lfw-deepfunneled/"."""
    tops = {PurePosixPath(name).parent.parts[:-depth] for name in names}
    common: list[str] = []
    for parts in zip(*tops, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common) + "/" if common else ""
