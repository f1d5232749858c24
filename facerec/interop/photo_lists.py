"""Lists of photos, and how the photos they name are found among those of a set.

A list file of a training set has a line "path label" a photo, separated by a TAB or spaces; a path may hold spaces. A
list of names has a line "path<TAB>name", since names hold spaces too. A list of people is one of these. A noise list of MegaFace has one photo a line:
'#' starts a comment line, and where a line has a TAB its second column counts. FaceScrub entries are base names,
MegaFace entries a1/a2/name. A feature list of its devkit is JSON with "path" and, for probes, "id".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facerec.core import Description, FormatError, parse_json, spread_of, write_json, write_text

_LABELLED = re.compile(r"(.*\S)\s+(-?[0-9]{1,18})")
T = TypeVar("T")
_FACESCRUB = re.compile(r"\S+ -?\d+(\.\d+)?(,-?\d+(\.\d+)?){3} -?\d+(\.\d+)?(,-?\d+(\.\d+)?)*,?")
"""Lines "path x1,y1,x2,y2 landmarks"."""


@dataclass(frozen=True)
class FeatureList:
    """Photos of a benchmark in their fixed order; `ids` is empty for distractors."""

    paths: tuple[str, ...]
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ids and len(self.ids) != len(self.paths):
            raise FormatError(f"a feature list names {len(self.paths)} photos but {len(self.ids)} identities.")


def read_labels(path: str | Path) -> dict[str, int]:
    """Read a list file as photo -> number of its identity, negative where unknown, in its order.

    Raises FormatError with the line of what is wrong.
    """

    def parse(line: str) -> tuple[str, int] | None:
        match = _LABELLED.fullmatch(line.strip())
        return None if match is None else (match[1], int(match[2]))

    return _read_once(path, "path label", parse)


def read_names(path: str | Path) -> dict[str, str]:
    """Read a list of names as photo -> name, in its order; FormatError with the line of what is wrong."""

    def parse(line: str) -> tuple[str, str] | None:
        photo, _, name = map(str.strip, line.partition("\t"))
        return (photo, name) if photo and name and "\t" not in name else None

    return _read_once(path, "path<TAB>name", parse)


def read_people(path: str | Path) -> dict[str, str]:
    """Read who each photo shows: a list of names, or a list file, whose numbers are then names and "" where negative.

    In its order; FormatError with the line of what is wrong.
    """
    lines = numbered_lines(path)
    if lines and "\t" not in lines[0][1] and _LABELLED.fullmatch(lines[0][1].strip()):
        return {photo: str(label) if label >= 0 else "" for photo, label in read_labels(path).items()}
    return read_names(path)


def _read_once(path: str | Path, form: str, parse: Callable[[str], tuple[str, T] | None]) -> dict[str, T]:
    """Photo -> value by lines of that `form`, each photo once."""
    found: dict[str, T] = {}
    for number, line in numbered_lines(path):
        parsed = parse(line)
        if parsed is None:
            raise FormatError(f"{path}, line {number}: expected {form!r}, found {line[:80]!r}.")
        if parsed[0] in found:
            raise FormatError(f"{path}, line {number}: {parsed[0]} is listed twice.")
        found[parsed[0]] = parsed[1]
    if not found:
        raise FormatError(f"{path} lists no photos.")
    return found


def read_noises(path: str | Path) -> list[str]:
    """Read the photos of a noise list in file order, repeats included."""
    entries = []
    for number, line in numbered_lines(path):
        if line.startswith("#"):
            continue
        entry = line.split("\t")[1 if "\t" in line else 0].strip()
        if not entry:
            raise FormatError(f"{path}, line {number}: no photo in {line[:80]!r}.")
        entries.append(entry)
    return entries


def write_noises(entries: list[str], path: str | Path, comment: str = "") -> None:
    """Write a noise list, one photo a line after an optional '#' line."""
    lines = [f"#{comment}"] if comment else []
    write_text(path, "\n".join([*lines, *entries]) + "\n")


def read_feature_list(path: str | Path) -> FeatureList:
    """Read the devkit's JSON list {"id": [...], "path": [...]}; "id" may be missing."""
    value = parse_json(_text(path), str(path))
    if not isinstance(value, dict) or "path" not in value:
        raise FormatError(f'{path} is no feature list: it has no "path".')
    return FeatureList(_strings(value["path"], path), _strings(value.get("id", []), path))


def write_feature_list(features: FeatureList, path: str | Path) -> None:
    """Write the devkit's JSON list."""
    ids = {"id": list(features.ids)} if features.ids else {}
    write_json(path, {**ids, "path": list(features.paths)})


def describe_photo_list(path: Path, lines: list[str]) -> Description | None:
    """A list file, a noise list, FaceScrub's table of boxes, or any list of photos."""
    names = {"names": [line[:120] for line in lines[:5]]}
    if all(_FACESCRUB.fullmatch(line) for line in lines):
        return Description("boxes and landmarks of FaceScrub", {"photos": len(lines), **names})
    matches = [match for line in lines if (match := _LABELLED.fullmatch(line)) and "." in match[1]]
    if len(matches) == len(lines):
        labels = np.array([int(match[2]) for match in matches])
        people, counts = np.unique(labels, return_counts=True)
        facts = {"photos": len(lines), "identities": len(people), "images_per_identity": spread_of(counts)}
        facts["labels"] = {"min": int(labels.min()), "max": int(labels.max())}
        return Description("list file of photos and labels", {**facts, **names})
    entries = read_noises(path)
    if not entries or any("." not in entry or len(entry) > 1000 for entry in entries):
        return None
    noise = "nois" in path.name.lower() or lines[0].startswith("#")
    facts = {"entries": len(entries), "unique": len(set(entries)), "names": [e[:120] for e in entries[:5]]}
    return Description("noise list" if noise else "list of photos", facts)


def describe_feature_list(path: Path, value: Any) -> Description | None:
    """A feature list, told by its JSON `value`."""
    if not isinstance(value, dict) or "path" not in value:
        return None
    found = read_feature_list(path)
    facts = {"photos": len(found.paths), "identities": len(set(found.ids)) or None, "names": found.paths[:5]}
    return Description("feature list of the devkit", facts)


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """(line number from 1, line) of every line of a list that is not empty; FormatError where it cannot be read."""
    return [(number, line) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip()]


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the list {path}: {error}.") from error


def _strings(values: Any, path: str | Path) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise FormatError(f"{path} is no feature list: its columns must be lists of names.")
    return tuple(str(value) for value in values)


_Parts = tuple[str, ...]


def matching_rows(names: Iterable[str], sources: Sequence[str]) -> NDArray[np.int64]:
    """(n,) rows of the photos that `names` stand for among `sources`, -1 where there is none.

    Two paths are the same photo if one ends with the other, whatever the extensions. Raises FormatError when a name
    fits two photos.

    >>> matching_rows(["faces/Ann/1.png", "../Data/Bob/2", "Eve/1.jpg"], ["Ann/1.jpg", "Bob/2.jpg"]).tolist()
    [0, 1, -1]
    """
    exact = {source: row for row, source in enumerate(sources)}

    @cache
    def split() -> list[_Parts]:
        return [_parts(source) for source in sources]

    @cache
    def rows_by_tail(depth: int | None) -> Mapping[_Parts, list[int]]:
        """Rows by the last `depth` parts of their paths, of those that have so many; by all parts for None."""
        rows: dict[_Parts, list[int]] = {}
        for row, parts in enumerate(split()):
            if depth is None or len(parts) >= depth > 0:
                rows.setdefault(parts[-depth:] if depth else parts, []).append(row)
        return rows

    def find(name: str) -> int:
        parts = _parts(name)
        found = rows_by_tail(len(parts)).get(parts, [])
        for start in range(len(parts)):
            found = found or rows_by_tail(None).get(parts[start:], [])
        if len(found) > 1:
            first, second = (sources[row] for row in found[:2])
            raise FormatError(f"{name!r} may be {first!r} or {second!r}; name photos by longer paths.")
        return found[0] if found else -1

    return np.array([exact[name] if name in exact else find(name) for name in names], np.int64)


def _parts(name: str) -> _Parts:
    """Folders and name without extension, "." and ".." left out."""
    path = PurePosixPath(name.replace("\\", "/"))
    folders = tuple(part for part in path.parts[:-1] if part not in ("..", "/"))
    return (*folders, path.stem) if path.name else folders
