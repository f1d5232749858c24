"""A .npy matrix on disk, read a slice of rows at a time: a million distractors without their 2 GB in memory.

A memory map would do, but its pages count as memory of this process for as long as nobody else wants them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FormatError
from facerec.formats import npy


class NpyRows:
    """Rows of a 2-d float matrix in a .npy file."""

    def __init__(self, path: str | Path) -> None:
        """Read the header only; FormatError where this is no whole 2-d float matrix."""
        mapped = npy.read(path)
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
