"""Features ready to be multiplied, and their dot products block by block, so that memory stays flat.

The score is the MegaFace devkit's: s(x, y) = 2 x.y - x.x - y.y = -|x - y|^2 in float32; greater is more
alike. A row of NaN is a face that could not be enrolled: it scores minus infinity against everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FormatError

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


def features(rows: NDArray[np.floating], what: str, start: int = 0) -> Features:
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
        yield start, features(rows[start : start + BLOCK], what, start)
