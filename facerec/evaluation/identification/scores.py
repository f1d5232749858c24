"""Features ready to be multiplied, and their dot products block by block, so that memory stays flat.

The score is the MegaFace devkit's: s(x, y) = 2 x.y - x.x - y.y = -|x - y|^2 in float32; greater is more
alike. A row of NaN is a face that could not be enrolled: it scores minus infinity against everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError
from facerec.store import tables

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BLOCK = 1024  # distractors multiplied at once: with 3,530 probes 14 MB of scores, which stay in the cache


class Rows(Protocol):
    """A matrix that is read a slice of rows at a time: an array, a memory map, `rows.NpyRows`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Those rows."""


@dataclass(frozen=True)
class Features:
    """Rows ready to be multiplied: missing ones are zeros of infinite squared length."""

    rows: Floats
    squares: Floats
    missing: Bools


def checked_features(rows: NDArray[np.floating], what: str, start: int = 0) -> Features:
    """Float32 `rows`, copied only where need be, and squared lengths; FormatError for an infinite value."""
    values = np.require(rows, np.float32, ["C", "W"])
    squares = np.einsum("ij,ij->i", values, values)
    missing = np.asarray(np.isnan(squares))
    if np.isinf(squares).any():
        row = start + int(np.flatnonzero(np.isinf(squares))[0])
        raise FormatError(f"Row {row} of the {what} is infinite or too large; mark missing faces with NaN.")
    if missing.any():
        values = np.where(missing[:, None], np.float32(0), values)
        squares[missing] = np.inf
    return Features(values, squares, missing)


def feature_blocks(rows: Rows, what: str) -> Iterator[tuple[int, Features]]:
    """(first row, BLOCK rows) after one another."""
    for start in range(0, rows.shape[0], BLOCK):
        yield start, checked_features(rows[start : start + BLOCK], what, start)


class NpyRows:
    """Rows of a 2-d float matrix in a .npy file."""

    def __init__(self, path: str | Path) -> None:
        """Read the header only; FormatError where this is no whole 2-d float matrix."""
        mapped = tables.read_npy(path)
        if not isinstance(mapped, np.memmap) or mapped.ndim != 2 or mapped.dtype.kind != "f":
            raise FormatError(
                f"{path} holds {mapped.dtype} {mapped.shape}; needed is a float matrix with a row a face."
            )
        if not mapped.flags.c_contiguous:
            raise FormatError(f"{path} is stored column after column; save it with numpy.ascontiguousarray.")
        self.shape: tuple[int, ...] = mapped.shape
        self.dtype: np.dtype[Any] = mapped.dtype
        self._start = int(mapped.offset)
        self._stride = self.shape[1] * self.dtype.itemsize
        self._path = Path(path)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """The rows of a contiguous slice, as a new array."""
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("rows are read in order, one after the other")
        count = max(last - first, 0)
        start = self._start + first * self._stride
        values = np.fromfile(self._path, self.dtype, count * self.shape[1], offset=start)
        return values.reshape(count, self.shape[1])
