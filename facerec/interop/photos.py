"""Photos in identity folders (`Name/Name_0001.jpg`) or archives of them, as rows for photo shards.

    write_shards(photo_rows("lfw-deepfunneled.tgz"), "data/raw/lfw", Meta("photos", "lfw"))

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

from facerec.core import Album, Description, FormatError, size_of
from facerec.interop import photo_lists
from facerec.store import shards

_EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
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
    path: str | Path,
    labelled: bool = True,
    limits: Limits = LIMITS,
    scratch: Path | None = None,
    depth: int = 1,
    only: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Photo rows (image, label, identity, source) of a folder or archive, sorted by source.

    Args:
        path: the folder or archive.
        labelled: whether folders are identities; labels are then 0..n-1 by sorted identity, and the folders above all
            identities are left out of `source`. Else identities are "" and labels -1.
        limits: of the archive.
        scratch: folder for temporary files, the system's by default.
        depth: 1 where the folder of a photo is its identity, 2 where the folder above is.
        only: the photos wanted, in their order, matched as `matching_rows` does it; None for all.

    Raises:
        FormatError: when there is no photo, one of `only` is missing, or `open_source` fails.
    """
    with open_source(path, limits, scratch) as files:
        names = [name for name in files.names if is_photo(name, files)]
        if only is not None:
            names = _listed(path, only, names)
        if not names:
            raise FormatError(f"{path} holds no photos.")
        identities = [_identity(name, depth) if labelled else "" for name in names]
        yield from _rows(files, names, identities, _common_top(names, depth) if labelled else "")


def listed_rows(
    path: str | Path, listed: Mapping[str, int], limits: Limits = LIMITS, scratch: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Photo rows of a folder or archive in the order of a list, which gives the number of each one's identity.

    The identity is that number as text, labels are 0..n-1 in the order of those numbers; a negative number means an
    unknown identity. Paths are matched as `matching_rows` does it. Raises FormatError when photos of the list are
    missing, or when `open_source` fails.
    """
    identities = [str(label) if label >= 0 else "" for label in listed.values()]
    with open_source(path, limits, scratch) as files:
        names = _listed(path, list(listed), files.names)
        yield from _rows(files, names, identities, _common_top(names, depth=1), order=int)


def rows_of_list(path: str | Path, list_file: str | Path) -> Iterator[dict[str, Any]]:
    """`listed_rows` by a list file with lines "path label"."""
    return listed_rows(path, photo_lists.read_labels(list_file))


def _rows(
    files: FileSource, names: Sequence[str], identities: Sequence[str], top: str, order: type = str
) -> Iterator[dict[str, Any]]:
    for name, identity, label in zip(names, identities, number_names(identities, order), strict=True):
        yield {"image": files.read(name), "label": label, "identity": identity, "source": name.removeprefix(top)}


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


@contextmanager
def as_shards(source: str | Path, scratch: Path) -> Iterator[Path]:
    """Yield photo shards of `source`: a directory of shards, a folder of photos, or an archive of them.

    Shards that have to be made are below `scratch` until the block ends. Raises FormatError when there is no photo.
    """
    source = Path(source)
    if shards.is_shard_set(source):
        shards.read_shards(source, "photos")
        yield source
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{source.name}.", suffix=".tmp", dir=scratch) as temporary:
        made = Path(temporary, "photos")
        shards.write_shards(photo_rows(source, scratch=Path(temporary)), made, shards.Meta("photos", source.stem))
        yield made
