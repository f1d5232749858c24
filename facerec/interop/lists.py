"""Lists of photos: list files of training sets, and the noise and feature lists published with MegaFace.

A list file has a line "path label" a photo, parted by a TAB or by spaces; a path may hold spaces itself.
A list of names has a line "path<TAB>name", since names hold spaces too.
A noise list has one photo a line: '#' starts a comment line, and where a line has a TAB its second column
counts. FaceScrub entries are base names, MegaFace entries a1/a2/name. A feature list is JSON with "path"
and, for probes, "id".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.core import FormatError, write_json, write_text

_LABELLED = re.compile(r"(.*\S)\s+(-?[0-9]{1,18})")


@dataclass(frozen=True)
class FeatureList:
    """Photos of a benchmark in their fixed order; `ids` is empty for distractors."""

    paths: tuple[str, ...]
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ids and len(self.ids) != len(self.paths):
            raise FormatError(
                f"a feature list names {len(self.paths)} photos but {len(self.ids)} identities."
            )


@dataclass(frozen=True)
class Labelled:
    """Photos of a training set and the number of each one's identity, negative where nobody knows."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]


def read_labels(path: str | Path) -> Labelled:
    """The photos of a list file in its order; FormatError with the line of what is wrong."""
    labels: dict[str, int] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        match = _LABELLED.fullmatch(line.strip())
        if match is None:
            raise FormatError(f"{path}, line {number}: expected 'path label', found {line[:80]!r}.")
        if match[1] in labels:
            raise FormatError(f"{path}, line {number}: {match[1]} is listed twice.")
        labels[match[1]] = int(match[2])
    if not labels:
        raise FormatError(f"{path} lists no photos.")
    return Labelled(tuple(labels), tuple(labels.values()))


def read_names(path: str | Path) -> dict[str, str]:
    """Photo -> name, in the order of a list of names; FormatError with the line of what is wrong."""
    names: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        photo, _, name = map(str.strip, line.partition("\t"))
        if not (photo and name) or "\t" in name:
            raise FormatError(f"{path}, line {number}: expected 'path<TAB>name', found {line[:80]!r}.")
        if photo in names:
            raise FormatError(f"{path}, line {number}: {photo} is listed twice.")
        names[photo] = name
    if not names:
        raise FormatError(f"{path} lists no photos.")
    return names


def read_noises(path: str | Path) -> list[str]:
    """Photos of a noise list in file order, repeats included."""
    entries = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
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
    """The devkit's JSON list {"id": [...], "path": [...]}; "id" may be missing."""
    try:
        value = json.loads(_text(path))
    except (
        ValueError,
        RecursionError,
    ) as error:  # numbers of 5,000 digits and lists as deep are no JSON error
        raise FormatError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(value, dict) or "path" not in value:
        raise FormatError(f'{path} is no feature list: it has no "path".')
    return FeatureList(_strings(value["path"], path), _strings(value.get("id", []), path))


def write_feature_list(features: FeatureList, path: str | Path) -> None:
    """Write the devkit's JSON list."""
    ids = {"id": list(features.ids)} if features.ids else {}
    write_json(path, {**ids, "path": list(features.paths)})


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the list {path}: {error}.") from error


def _strings(values: Any, path: str | Path) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise FormatError(f"{path} is no feature list: its columns must be lists of names.")
    return tuple(str(value) for value in values)
