"""A .npy matrix on disk, read a slice of rows at a time: a million distractors without their 2 GB in memory.

A memory map would do, but its pages count as memory of this process for as long as nobody else wants them.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from facerec.errors import FormatError

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpyRows:
    """Rows of a 2-d float matrix in a .npy file; close it, or use it in a `with`."""

    def __init__(self, path: str | Path) -> None:
        """Read the header only; FormatError where this is no whole 2-d float matrix."""
        self.path = Path(path)
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise FormatError(f"cannot read the matrix {path}: {error.strerror}.") from error
        try:
            self.shape, self.dtype = self._header()
        except BaseException:
            self._file.close()
            raise
        self._start = self._file.tell()
        self._stride = self.shape[1] * self.dtype.itemsize
        if self.path.stat().st_size != self._start + self.shape[0] * self._stride:
            self._file.close()
            raise FormatError(f"{path} is not as long as its header says; write it again.")

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        try:
            shape, by_column, dtype = _HEADERS[npy.read_magic(self._file)](self._file)
        except (KeyError, ValueError, EOFError, MemoryError) as error:
            raise FormatError(f"{self.path} is no .npy matrix; save it with numpy.save.") from error
        if len(shape) != 2 or by_column or dtype.kind != "f":
            raise FormatError(
                f"{self.path} holds {dtype} {shape}; needed is a float matrix with a row a face, in C order."
            )
        return shape, dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """The rows of a contiguous slice, as a new array."""
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("rows are read in order, one after the other")
        count = max(last - first, 0)
        self._file.seek(self._start + first * self._stride)
        values = np.fromfile(self._file, self.dtype, count * self.shape[1])
        return values.reshape(count, self.shape[1])

    def __enter__(self) -> NpyRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
