"""Photos in identity folders (`Name/Name_0001.jpg`) or archives of them, as rows for photo shards.

    write_shards(photo_rows("lfw-deepfunneled.tgz"), "data/raw/lfw", Meta("photos", "lfw"))  # of facerec.store

Order and labels depend on names only, not on the order in an archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import Album, Description, FormatError, size_of
from facerec.interop import photo_lists
from facerec.interop.file_sources import LIMITS, FileReader, FileSource, Limits, open_source


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


@dataclass(frozen=True)
class PhotoRows:
    """Photos as rows; see `facerec.store.part_jobs.KnownRows`."""

    reader: FileReader
    names: Sequence[str]
    identities: Sequence[str]
    labels: Sequence[int]
    sources: Sequence[str]

    @classmethod
    def of(cls, listed: PhotoList, reader: FileReader) -> PhotoRows:
        """The rows of a list, read by `reader`."""
        return cls(reader, listed.names, listed.identities, listed.labels, list(listed.sources()))

    @property
    def template(self) -> dict[str, Any]:
        """A row without content."""
        return {"image": b"", "label": -1, "identity": "", "source": ""}

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) bytes of each photo."""
        return np.array([self.reader.size(name) for name in self.names], np.int64)

    @property
    def texts(self) -> NDArray[np.int64]:
        """(n,) bytes of the identity and source of each row."""
        named = zip(self.identities, self.sources, strict=True)
        return np.array([len(identity.encode()) + len(source.encode()) for identity, source in named], np.int64)

    def part(self, rows: range) -> PhotoRows:
        """Some of the rows."""
        span = slice(rows.start, rows.stop)
        columns = (self.names, self.identities, self.labels, self.sources)
        names, identities, labels, sources = (column[span] for column in columns)
        return PhotoRows(self.reader.part(list(names)), names, identities, labels, sources)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        columns = zip(self.names, self.labels, self.identities, self.sources, strict=True)
        for name, label, identity, source in columns:
            yield {"image": self.reader.read(name), "label": label, "identity": identity, "source": source}


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
        names = files.photos()
        if only is not None:
            listed = photo_lists.read_feature_list(only).paths if isinstance(only, Path) else only
            names = _listed(path, listed, names)
        if not names:
            raise _no_photos(path, files)
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


@contextmanager
def open_people(
    path: str | Path, depth: int = 1, people: Path | None = None
) -> Iterator[tuple[FileSource, dict[str, str]]]:
    """Open a folder or archive; its files, and photo -> identity of all its photos, by name of the file.

    The identity is the folder of a photo for depth 1, the folder above it for depth 2 and so on, and "" for a photo
    that lies less deep; or what the list `people` says (see `photo_lists.read_people`), and photos that it does not
    name are left out. Raises FormatError when there is no photo, one of the list is missing, or `open_source` fails.
    """
    with open_source(path) as files:
        if people is not None:
            listed = photo_lists.read_people(people)
            names = _listed(path, list(listed), files.names)
            yield files, dict(sorted(zip(names, listed.values(), strict=True)))
            return
        found = {name: _identity(name, depth) for name in files.photos()}
        if not found:
            raise _no_photos(path, files)
        yield files, found


def number_names(identities: Sequence[str], order: type = str) -> list[int]:
    """Numbers from 0 for the identities, sorted as values of that type; -1 for ""."""
    numbers = {identity: number for number, identity in enumerate(sorted({*identities} - {""}, key=order))}
    return [numbers.get(identity, -1) for identity in identities]


def describe_photos(path: Path, files: FileSource) -> Description:
    """The photos of an open folder or archive `path`; a folder is an identity."""
    names = files.photos()
    if not names:
        raise FormatError(f"{path} holds no photos, shards, packs, features or models.")
    labels = np.array(number_names([_identity(name, depth=1) for name in names]), np.int64)
    facts = {"bytes": size_of(path), "colour": "as stored", "other_files": len(files.names) - len(names)}
    album = Album(lambda row: files.read(names[row]), labels, names)
    return Description("photo folder" if path.is_dir() else "archive of photos", facts, album)


def _no_photos(path: str | Path, files: FileSource) -> FormatError:
    """The error for a source without photos; packs are sometimes taken for one."""
    packed = any(name.endswith((".rec", ".bin")) for name in files.names)
    return FormatError(f"{path} holds no photos{' but a pack; `facerec unpack` makes face sets of it' * packed}.")


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
