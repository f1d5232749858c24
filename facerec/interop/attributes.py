"""Attributes of photos or people, such as gender, skin tone, age group or camera, that split a benchmark into groups.

- A table, .csv with a header or .parquet: one column is named `photo` or `identity`, and every other column is an
  attribute. Its values are texts; an empty one is unknown.
- A folder of lists COLUMN.GROUP.txt, as labels of LFW are published: gender.female.txt names a photo a line.

Photos are matched as in lists of pairs (`photo_lists.matching_rows`), identities by their whole name. A key that stands
there twice with two values has no group in that column: which label is right is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facerec.core import FormatError
from facerec.interop.photo_lists import matching_rows, read_noises
from facerec.store import tables

KEYS = ("photo", "identity")
_MOST_GROUPS = 50
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
Labels = dict[str, dict[str, set[str]]]
"""Column -> key -> its groups; several where the labels contradict one another."""


@dataclass(frozen=True)
class Attributes:
    """Attributes read from a file or folder.

    Attributes:
        key: what its rows name, "photo" or "identity".
        labels: the groups of each of them by column.
    """

    key: str
    labels: Labels

    def contradictions(self, column: str) -> int:
        """How many photos or identities are labelled with more than one group."""
        return sum(len(groups) > 1 for groups in self.labels[column].values())

    def groups(self, column: str, photos: Sequence[str], identities: Sequence[str]) -> list[str]:
        """The group of each photo, by its path and the name of its person; "" where unknown.

        Raises FormatError when an entry may be several of the photos.
        """
        labels = self.labels[column]
        if self.key == "identity":
            return [_only(labels.get(name, ())) for name in identities]
        known = sorted({photo for photo in photos if photo})
        found: dict[str, set[str]] = {}
        for row, groups in zip(matching_rows(labels, known).tolist(), labels.values(), strict=True):
            if row >= 0:
                found.setdefault(known[row], set()).update(groups)
        return [_only(found.get(photo, ())) for photo in photos]


def read_attributes(path: str | Path) -> Attributes:
    """Read a table or a folder of lists; FormatError says what is wrong with it."""
    path = Path(path)
    if path.is_dir():
        found = Attributes("photo", _read_lists(path))
    else:
        rows = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
        found = _from_columns(rows, path)
    for column, labels in found.labels.items():
        groups = set().union(*labels.values())
        if not groups:
            raise FormatError(f"{path} has no value in the column {column}; remove it.")
        if len(groups) > _MOST_GROUPS:
            raise FormatError(
                f"{path}: {column} has {len(groups):,} different values; make at most {_MOST_GROUPS} groups of them, such as "
                "ranges of an age."
            )
    return found


def read_qualities(path: str | Path, column: str, photos: Sequence[str]) -> NDArray[np.float64]:
    """The number in `column` of a table keyed by `photo`, such as a score of quality, of each of `photos`; NaN where none.

    Raises FormatError for a value that is no number, or a photo with two of them.
    """
    path = Path(path)
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if column not in columns or KEYS[0] not in columns or column in KEYS:
        raise FormatError(f"{path} needs a column photo and the column {column}; it has {', '.join(columns)}.")
    found = np.full(len(photos), np.nan)
    for row, text in zip(matching_rows(columns[KEYS[0]], photos).tolist(), columns[column], strict=True):
        if row >= 0 and text:
            try:
                value = float(text)
            except ValueError as error:
                raise FormatError(f"{path}: {text[:40]!r} in the column {column} is no number.") from error
            if not np.isfinite(value) or not (np.isnan(found[row]) or found[row] == value):
                raise FormatError(f"{path}: {photos[row]} has {text[:40]!r} in the column {column}, or two numbers.")
            found[row] = value
    return found


def _only(groups: Iterable[str]) -> str:
    different = set(groups)
    return different.pop() if len(different) == 1 else ""


def _read_lists(folder: Path) -> Labels:
    found: Labels = {}
    for file in sorted(folder.glob("*.*.txt")):
        column, group = file.stem.split(".", 1)
        for photo in read_noises(file):
            name = photo if photo.lower().endswith(_ENDINGS) else f"{photo}.jpg"
            found.setdefault(column, {}).setdefault(name, set()).add(group)
    if not found:
        raise FormatError(f"{folder} holds no list COLUMN.GROUP.txt of photos, such as gender.female.txt.")
    return found


def _read_csv(path: Path) -> Mapping[str, Sequence[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise FormatError(f"cannot read {path} as a CSV table with a header ({error}).") from error
    for number, row in enumerate(rows, 2):
        if row and len(row) != len(header):
            raise FormatError(f"{path}, row {number}: {len(row)} values for {len(header)} columns.")
    if len(set(header)) < len(header):
        raise FormatError(f"{path} names a column twice.")
    return {name.strip(): [row[place].strip() for row in rows if row] for place, name in enumerate(header)}


def _read_parquet(path: Path) -> Mapping[str, Sequence[str]]:
    names = sorted(tables.column_names(path))
    table = tables.read_parquet(path, pa.schema([(name, pa.string()) for name in names]))
    return {name: [value or "" for value in table[name].to_pylist()] for name in names}


def _from_columns(columns: Mapping[str, Sequence[str]], path: Path) -> Attributes:
    keys = [key for key in KEYS if key in columns]
    if len(keys) != 1 or len(columns) < 2:
        raise FormatError(f"{path} needs one column named photo or identity, and a column for each attribute.")
    named = columns[keys[0]]
    if not named or "" in named:
        raise FormatError(f"{path} has {'a row without' if named else 'no'} {keys[0]}.")
    found: Labels = {column: {} for column in columns if column != keys[0]}
    for column, labels in found.items():
        for name, group in zip(named, columns[column], strict=True):
            labels.setdefault(name, set()).update({group} - {""})
    return Attributes(keys[0], found)
