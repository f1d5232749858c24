"""Verification pairs as rows of a face set, kept in a Parquet table.

Pairs stand fold after fold, all folds of one size, so a protocol finds the folds by counting. Published lists of
pairs are read by `facerec.interop.pair_lists`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facerec.core import Description, FormatError, pair_counts, size_of
from facerec.store import tables

_SCHEMA = pa.schema({"first": pa.int64(), "second": pa.int64(), "same": pa.bool_()})


@dataclass(frozen=True)
class Pairs:
    """Which faces are compared.

    Attributes:
        first: (n,) rows of the face set, -1 where the photo has no face in it.
        second: (n,) rows of the other faces, likewise.
        same: (n,) whether a pair is genuine (one person) or an impostor pair.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not self.first.shape == self.second.shape == self.same.shape or self.first.ndim != 1:
            shapes = f"{self.first.shape}, {self.second.shape}, {self.same.shape}"
            raise FormatError(f"pairs need three columns of one length, not {shapes}.")

    def __len__(self) -> int:
        return len(self.same)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(2n,) with the rows of pair i at 2i and 2i + 1."""
        return np.stack([self.first, self.second], axis=1).ravel()

    def paired(self, matrix: NDArray[np.float32]) -> PairedRows:
        """What `interleave` gives, whose rows are taken from the matrix as they are needed."""
        return PairedRows(matrix, self.rows)

    def interleave(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """(2n, d) rows of `matrix` with pair i in rows 2i and 2i + 1; NaN where a photo of the pair has no face."""
        return self.paired(matrix)[:]


class PairedRows:
    """The embeddings (2n, d) of n pairs, of which 15 million would take 60 GB; indexed by rows as an array is.

    Rows 2i and 2i + 1 are those of pair i; NaN where a photo of the pair has no face.
    """

    def __init__(self, matrix: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        self._matrix, self._rows = matrix, rows
        self.shape, self.dtype = (len(rows), matrix.shape[1]), matrix.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, wanted: slice | NDArray[Any]) -> NDArray[np.float32]:
        rows = self._rows[wanted]
        found = self._matrix[rows]
        found[rows < 0] = np.nan
        return found


def consecutive_pairs(same: NDArray[np.bool_]) -> Pairs:
    """Pair i is rows 2i and 2i + 1, as in every verification pack.

    >>> consecutive_pairs(np.array([True, False])).second.tolist()
    [1, 3]
    """
    first = np.arange(0, 2 * len(same), 2, dtype=np.int64)
    return Pairs(first, first + 1, same)


def read_genuine(path: str | Path) -> NDArray[np.bool_]:
    """Read from a .npy file, as bools or numbers 0 and 1, which of n pairs are genuine."""
    same = tables.read_npy(path)
    if same.ndim != 1 or same.dtype.kind not in "biu" or not np.isin(same, (0, 1)).all():
        raise FormatError(f"{path} is no list of bools, one a pair.")
    return np.array(same, bool)


def write_pairs(pairs: Pairs, path: str | Path) -> None:
    """Write `pairs` as Parquet, columns first, second (int64) and same (bool)."""
    tables.write_parquet(pa.table({"first": pairs.first, "second": pairs.second, "same": pairs.same}), Path(path))


def read_pair_table(path: Path, faces: int) -> Pairs:
    """Read what `write_pairs` wrote for a set of so many `faces`; FormatError when it does not fit the set."""
    table = tables.read_parquet(path, _SCHEMA)
    if any(column.null_count for column in table.columns):
        raise FormatError(f"{path} lacks some numbers; make the pairs again.")
    first, second, same = (column.to_numpy() for column in table.columns)
    for rows in (first, second):
        if len(rows) and not -1 <= rows.min() <= rows.max() < faces:
            raise FormatError(f"{path} names face {rows.max()}, but the set holds {faces}; make both again.")
    return Pairs(first, second, same)


def describe_pair_table(path: Path) -> Description | None:
    """A table that `write_pairs` wrote."""
    if not set(_SCHEMA.names) <= tables.column_names(path):
        return None
    found = read_pair_table(path, np.iinfo(np.int64).max)
    missing = int(((found.first < 0) | (found.second < 0)).sum())
    facts = {**pair_counts(found.same), "without_face": missing, "bytes": size_of(path)}
    return Description("table of pairs", facts)
