"""Photos in identity folders (`Name/Name_0001.jpg`) or archives of them, as rows for photo shards.

    write_shards(photo_rows("lfw-deepfunneled.tgz"), "data/raw/lfw", Meta("photos", "lfw"))

A file is a photo by its extension or, where the extension is no help, by its first bytes. Hidden files and those that
macOS adds to archives (`._x`, `__MACOSX/`) are left out. Order and labels depend on names only, not on the order in
an archive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from facerec.core import Album, Description, FormatError, size_of
from facerec.interop import archives, photo_lists
from facerec.store import shards

_EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_OTHER = {".txt", ".csv", ".json", ".xml", ".html", ".md", ".pdf", ".mat", ".npy", ".zip", ".tar", ".db"}
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def photo_rows(
    path: str | Path,
    labelled: bool = True,
    limits: archives.Limits = archives.LIMITS,
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
    with archives.open_source(path, limits, scratch) as files:
        names = [name for name in files.names if is_photo(name, files)]
        if only is not None:
            names = _listed(path, only, names)
        if not names:
            raise FormatError(f"{path} holds no photos.")
        identities = [_identity(name, depth) if labelled else "" for name in names]
        labels = {name: label for label, name in enumerate(sorted({*identities} - {""}))}
        yield from _rows(files, names, identities, labels, _common_top(names, depth) if labelled else "")


def listed_rows(
    path: str | Path,
    listed: photo_lists.Labelled,
    limits: archives.Limits = archives.LIMITS,
    scratch: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Photo rows of a folder or archive in the order of a list file, which gives their identities.

    The identity is the list's own number as text, labels are 0..n-1 in the order of those numbers; a negative
    number means an unknown identity. Paths are matched as `matching_rows` does it. Raises FormatError when photos
    of the list are missing, or when `open_source` fails.
    """
    known = sorted({label for label in listed.labels if label >= 0})
    labels = {str(label): number for number, label in enumerate(known)}
    identities = [str(label) if label >= 0 else "" for label in listed.labels]
    with archives.open_source(path, limits, scratch) as files:
        names = _listed(path, listed.paths, files.names)
        yield from _rows(files, names, identities, labels, _common_top(names, depth=1))


def _rows(
    files: archives.FileSource, names: Sequence[str], identities: Sequence[str], labels: Mapping[str, int], top: str
) -> Iterator[dict[str, Any]]:
    for name, identity in zip(names, identities, strict=True):
        yield {
            "image": files.read(name),
            "label": labels.get(identity, -1),
            "identity": identity,
            "source": name.removeprefix(top),
        }


def is_photo(name: str, files: archives.FileSource) -> bool:
    """Whether the file `name` is a photo."""
    path = PurePosixPath(name)
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return False
    extension = path.suffix.lower()
    if extension in _EXTENSIONS or extension in _OTHER:
        return extension in _EXTENSIONS
    head = files.read(name)[:16]
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def describe_photos(path: Path, files: archives.FileSource) -> Description:
    """The photos of an open folder or archive `path`; a folder is an identity."""
    names = [name for name in files.names if is_photo(name, files)]
    if not names:
        raise FormatError(f"{path} holds no photos, shards, packs, features or models.")
    folders = [_identity(name, depth=1) for name in names]
    numbers = {folder: number for number, folder in enumerate(sorted({*folders} - {""}))}
    labels = np.array([numbers.get(folder, -1) for folder in folders], np.int64)
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
