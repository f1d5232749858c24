"""Verification pairs: rows of a face set that are compared, and whether both show one person.

Reads and writes the official LFW form, pairs.txt (http://vis-www.cs.umass.edu/lfw/): a line
"folds<TAB>n", then for every fold n lines "name i j" and n lines "name i other j"; `pair_lists` reads the
other published forms. At rest pairs are a Parquet table of row numbers, ready for any protocol that takes
faces 2i and 2i+1. Pairs stand fold after fold, all folds of one size, so folds are counted off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_file, write_text
from facerec.store import matching, npy, pair_lists, parquet

_SCHEMA = pa.schema({"first": pa.int64(), "second": pa.int64(), "same": pa.bool_()})

Photo = tuple[str, int]
"""Identity and 1-based number of a photo: ("Name", 1) is Name/Name_0001.jpg."""

_HEADER = re.compile(r"\s*([0-9]{1,9})(?:\s+([0-9]{1,9}))?\s*")


@dataclass(frozen=True)
class Pairs:
    """Which faces are compared: n pairs of rows, -1 where a photo has no face in the set."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not self.first.shape == self.second.shape == self.same.shape or self.first.ndim != 1:
            shapes = f"{self.first.shape}, {self.second.shape}, {self.same.shape}"
            raise FormatError(f"pairs need three columns of one length, not {shapes}.")

    def __len__(self) -> int:
        return len(self.same)


def read_pairs(path: str | Path, sources: Sequence[str]) -> Pairs:
    """Pairs of `path` as rows of a face set whose photos are `sources`.

    `path` is a .parquet with the row numbers themselves, a .npy with the list of a bcolz pack (pair i is rows
    2i and 2i + 1), LFW's pairs.txt, or whatever `pair_lists.read` takes: a list "path path same", CALFW's and
    CPLFW's lists, a folder Protocol/Split/FP of CFP. Photos are matched as `matching.rows` does it; one that
    `sources` lacks becomes -1. Raises FormatError with the line of what is wrong.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return _read_parquet(path, len(sources))
    if path.suffix == ".npy":
        return _read_npy(path, len(sources))
    named = pair_lists.read_pair_list(path) if path.is_dir() or not _is_lfw(path) else _named(read_lfw(path))
    try:
        rows = matching.matching_rows((name for pair in named for name in pair[:2]), sources).reshape(-1, 2)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    return Pairs(rows[:, 0].copy(), rows[:, 1].copy(), np.array([pair[2] for pair in named], bool))


def write_pairs(pairs: Pairs, path: str | Path) -> None:
    """Write `pairs` as Parquet, columns first, second (int64) and same (bool)."""
    table = pa.table({"first": pairs.first, "second": pairs.second, "same": pairs.same})
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="none")


def read_lfw(path: str | Path) -> list[tuple[Photo, Photo, bool]]:
    """The pairs of an official pairs.txt, in its order, with their photos by name and number.

    A one-number header ("500", as in pairsDevTest.txt) means a single fold. Raises FormatError when a
    line is malformed, stands in the wrong half of its fold, is missing or is left over.
    """
    path = Path(path)
    lines = _lines(path)
    folds, size = _header(lines[0] if lines else "", path)
    expected = 2 * folds * size
    body = [line for line in lines[1:] if line.strip()]
    if len(body) != expected or lines[1 : 1 + expected] != body:
        raise FormatError(
            f"{path} promises {expected} pairs in lines 2 to {expected + 1}, but holds {len(body)}."
        )
    return [
        _pair(line, same=(row // size) % 2 == 0, where=f"{path}, line {row + 2}")
        for row, line in enumerate(body)
    ]


def write_lfw(pairs: Sequence[tuple[Photo, Photo, bool]], path: str | Path, folds: int = 10) -> None:
    """Write pairs in the official form: per fold first the same, then the different ones.

    `pairs` are taken in order, split evenly over `folds`; there must be as many different as same
    pairs, both divisible by `folds`, else FormatError.
    """
    same = [pair for pair in pairs if pair[2]]
    different = [pair for pair in pairs if not pair[2]]
    if len(same) != len(different) or len(same) % folds:
        raise FormatError(f"{len(same)} same and {len(different)} different pairs do not fill {folds} folds.")
    if any(a[0] != b[0] for a, b, _ in same) or any(a[0] == b[0] for a, b, _ in different):
        raise FormatError(f"the names of the pairs for {path} contradict whether they are the same person.")
    size = len(same) // folds
    lines = [f"{folds}\t{size}"]
    matched, mismatched = iter(same), iter(different)
    for _ in range(folds):
        lines += [f"{a[0]}\t{a[1]}\t{b[1]}" for a, b, _ in islice(matched, size)]
        lines += [f"{a[0]}\t{a[1]}\t{b[0]}\t{b[1]}" for a, b, _ in islice(mismatched, size)]
    write_text(path, "\n".join(lines) + "\n")


def _read_parquet(path: Path, count: int) -> Pairs:
    table = parquet.read_parquet(path, _SCHEMA)
    if any(column.null_count for column in table.columns):
        raise FormatError(f"{path} lacks some numbers; make the pairs again.")
    first, second, same = (column.to_numpy() for column in table.columns)
    for rows in (first, second):
        if len(rows) and not -1 <= rows.min() <= rows.max() < count:
            raise FormatError(f"{path} names face {rows.max()}, but the set holds {count}; make both again.")
    return Pairs(first, second, same)


def _read_npy(path: Path, count: int) -> Pairs:
    flags = npy.read_npy(path)
    if flags.ndim != 1 or flags.dtype.kind not in "biu" or not np.isin(flags, (0, 1)).all():
        raise FormatError(f"{path} is no list of bools, one a pair.")
    if 2 * len(flags) != count:
        raise FormatError(f"{path} tells of {len(flags)} pairs, but the set holds {count} faces.")
    first = np.arange(0, count, 2, dtype=np.int64)
    return Pairs(first, first + 1, np.array(flags, bool))


def _is_lfw(path: Path) -> bool:
    """Whether the first line is LFW's, one or two numbers."""
    lines = _lines(path)
    return not lines or _HEADER.fullmatch(lines[0]) is not None


def _named(pairs: Sequence[tuple[Photo, Photo, bool]]) -> list[pair_lists.Named]:
    return [(_path(first), _path(second), same) for first, second, same in pairs]


def _path(photo: Photo) -> str:
    name, number = photo
    return f"{name}/{name}_{number:04d}.jpg"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the pairs {path}: {error}.") from error


def _header(line: str, path: Path) -> tuple[int, int]:
    match = _HEADER.fullmatch(line)
    if match is None or int(match[1]) < 1 or int(match[2] or 1) < 1:
        raise FormatError(f"{path}, line 1: expected 'folds<TAB>pairs', found {line[:80]!r}.")
    return (int(match[1]), int(match[2])) if match[2] else (1, int(match[1]))


def _pair(line: str, same: bool, where: str) -> tuple[Photo, Photo, bool]:
    words = line.split("\t") if "\t" in line else line.split()
    wanted = "name<TAB>i<TAB>j" if same else "name<TAB>i<TAB>other<TAB>j"
    numbers = (words[1:] if same else words[1::2]) if len(words) == (3 if same else 4) else []
    if not numbers or not all(_is_count(word) for word in numbers):
        raise FormatError(f"{where}: expected {wanted}, found {line[:80]!r}.")
    other = words[0] if same else words[2]
    return (words[0], int(numbers[0])), (other, int(numbers[1])), same


def _is_count(word: str) -> bool:
    """Whether `word` is a whole number from 1 of a size that a list can have."""
    return word.isdecimal() and len(word) < 10 and int(word) > 0
