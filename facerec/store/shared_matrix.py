"""A matrix of embeddings that several processes write into one .npy file, in any order.

    matrix = SharedMatrix(Path("scratch/0.npy"), rows=1000, columns=128)
    with matrix.open() as file:                     # in any process, on any machine that sees the file
        digest = matrix.put(file, 256, embeddings)
    with matrix.open() as file:                     # at the end, in one: others may remove the file's name meanwhile
        assert matrix.holds(file, 256, len(embeddings), digest)
        embeddings = matrix.read(file)

So the rows are on the disk once, and in no process's memory. Writing rows again changes nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from facerec.core import sha256_of_bytes
from facerec.store import tables


@dataclass(frozen=True)
class SharedMatrix:
    """A file of (rows, columns) float32; what nobody has written of it is not defined."""

    path: Path
    rows: int
    columns: int

    def open(self) -> BinaryIO:
        """The file, made if it is not there, to be read and written."""
        while True:
            with suppress(FileNotFoundError):  # another run of the same work is just removing the folder
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.utime(self.path.parent)  # so that it does not look as if the work had been given up
                return open(self.path, "r+b", opener=lambda path, flags: os.open(path, flags | os.O_CREAT, 0o666))

    def put(self, file: BinaryIO, start: int, rows: NDArray[np.float32]) -> str:
        """Write `rows` from row `start` on; the digest of their bytes, for `holds`."""
        body = tables.bytes_of(np.ascontiguousarray(rows, "<f4"))
        file.seek(0)
        file.write(tables.npy_header((self.rows, self.columns)))
        file.seek(self._place(start))
        file.write(body)
        file.flush()
        return sha256_of_bytes(body)

    def holds(self, file: BinaryIO, start: int, count: int, digest: str) -> bool:
        """Whether rows of this digest have been written from row `start` on."""
        file.seek(self._place(start))
        return sha256_of_bytes(file.read(4 * self.columns * count)) == digest

    def read(self, file: BinaryIO) -> NDArray[np.float32]:
        """All rows, mapped from the file; they stay when its name is removed. Some must have been `put`, if only none."""
        return np.memmap(file, "<f4", "r", self._place(0), (self.rows, self.columns))

    def _place(self, row: int) -> int:
        return len(tables.npy_header((self.rows, self.columns))) + 4 * self.columns * row
