"""Whether outputs have the bytes that dvc.lock records, on the disk: in the workspace and in DVC's cache.

DVC hashes a file when it first sees it and then trusts its size and time, so bytes that rot in the cache come back
silently with the next checkout. Here every byte is read. The cache keeps a file as XX/REST, by its MD5; a folder is a
JSON list of its files with their MD5 as XX/REST.dir. Nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facerec.core import FormatError, map_ordered, parse_json, track

_FOLDER = ".dir"
_SHOWN = 20


@dataclass(frozen=True)
class StoredOutput:
    """An output as dvc.lock records it.

    Attributes:
        path: from the root of the project.
        digest: MD5 of the file, or that of the list of a folder and ".dir".
        cached: whether DVC keeps it in its cache; git has the others.
    """

    path: str
    digest: str
    cached: bool


@dataclass(frozen=True)
class CacheCheck:
    """What was found.

    Attributes:
        outputs: number of them.
        read: files whose bytes were read.
        damaged: objects of the cache whose bytes are not those of their names -> the outputs they belong to.
        changed: files of the workspace that are not as dvc.lock records.
        missing: outputs that are not whole in the cache.
    """

    outputs: int
    read: int
    damaged: dict[str, list[str]]
    changed: list[str]
    missing: list[str]

    @property
    def sound(self) -> bool:
        """Whether all that is there has its bytes."""
        return not self.damaged and not self.changed


@dataclass(frozen=True)
class _Place:
    """A file to read: the output it belongs to, the MD5 it must have, whether it is in the cache."""

    file: Path
    path: str
    digest: str
    cached: bool


def check_outputs(root: Path, cache: Path, outputs: Sequence[StoredOutput]) -> CacheCheck:
    """Read all of `outputs`, in worker processes, in the project `root` and in its folder `cache` of MD5s.

    Raises FormatError where there is nothing to check.
    """
    if not outputs:
        raise FormatError("dvc.lock records no output; `dvc repro` makes them.")
    places = list(dict.fromkeys(place for output in outputs for place in _places(root, cache, output)))
    files = list(dict.fromkeys(place.file for place in places))
    found = dict(zip(files, track(map_ordered(_md5, files), "Checking", len(files), "files"), strict=True))
    damaged: dict[str, list[str]] = {}
    changed, missing = [], []
    for place in places:
        digest = found[place.file]
        if digest is None and place.cached:
            missing.append(place.path)
        elif digest not in (None, place.digest) and place.cached:
            damaged.setdefault(str(place.file), []).append(place.path)
        elif digest not in (None, place.digest):
            changed.append(place.path)
    read = sum(digest is not None for digest in found.values())
    return CacheCheck(len(outputs), read, damaged, changed, list(dict.fromkeys(missing)))


def _places(root: Path, cache: Path, output: StoredOutput) -> Iterator[_Place]:
    """All files of an output, in the workspace and in the cache; those of a folder only if its list is sound."""
    md5 = output.digest.removesuffix(_FOLDER)
    kept = cache / md5[:2] / output.digest[2:]
    if output.cached:
        yield _Place(kept, output.path, md5, cached=True)
    if not output.digest.endswith(_FOLDER):
        yield _Place(root / output.path, output.path, md5, cached=False)
    elif _md5(kept) == md5:
        for each in parse_json(kept.read_bytes(), str(kept)):
            path = f"{output.path}/{each['relpath']}"
            yield _Place(root / path, path, each["md5"], cached=False)
            yield _Place(cache / each["md5"][:2] / each["md5"][2:], path, each["md5"], cached=True)


def _md5(path: Path) -> str | None:
    """Digest of a file; None where it is not there, "" where the disk cannot read it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""


def check_lines(found: CacheCheck) -> list[str]:
    """The verdict in sentences and what to do, one a line."""
    lines = []
    if found.damaged:
        lines.append(f"Damaged files in DVC's cache: {len(found.damaged):,}")
        lines += _listed([f"{place} ({', '.join(paths)})" for place, paths in found.damaged.items()])
        lines.append(
            "Delete them, then `dvc fetch` gets them from a remote that has them, or `dvc repro` makes them anew."
        )
    if found.changed:
        lines.append(f"Files in the workspace that differ from dvc.lock: {len(found.changed):,}")
        lines += _listed(found.changed)
        lines.append("Delete them, then `dvc checkout` brings them from the cache, or `dvc repro` makes them anew.")
    if found.sound:
        lines.append(f"All {found.read:,} files of {found.outputs:,} outputs have the bytes that dvc.lock records.")
    if found.missing:
        count = len(found.missing)
        lines.append(
            f"Not in the cache, so not checked there: {count:,}, such as {found.missing[0]}; `dvc fetch` gets them."
        )
    return lines


def _listed(names: Sequence[str]) -> list[str]:
    more = len(names) - _SHOWN
    return [f"  {name}" for name in names[:_SHOWN]] + ([f"  and {more:,} more; --json lists all"] if more > 0 else [])


def check_as_dict(found: CacheCheck) -> dict[str, Any]:
    """The verdict for JSON."""
    return {"sound": found.sound, **asdict(found)}
