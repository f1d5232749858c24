"""MATLAB's .mat files of version 5, as far as lists of indices and names go: numbers, texts and cells of them.

A file is a header of 128 bytes and one element after another: type and size (uint32 each), the bytes, padding to 8. A
type of 15 holds one element compressed by zlib; 14 is a matrix, whose parts are flags (the class), dimensions, name
and values. An element of at most 4 bytes may be packed into 8, its size in the upper half of the first word. Numbers
are stored in the smallest type that holds them, column after column.
Source: MathWorks, "MAT-File Format", version 5.

    read_mat("blufr_lfw_config.mat")["testIndex"][0]  # the first cell, an array
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facerec.core import FormatError

_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _TEXT = 1, 4  # classes of a matrix; the numeric ones are 6 to 15
_LARGEST = 64 << 20  # bytes of a file, and of all that is unpacked from it; protocols have one or two MB
_DEEPEST = 4  # cells in cells


def read_mat(path: str | Path) -> dict[str, Any]:
    """The variables of a .mat file: (rows, columns, ...) arrays, texts as str, cells as lists in column order.

    Raises:
        FormatError: where the file is missing, damaged, large (64 MB) or holds something else, such as structures,
            complex numbers, or the HDF5 of version 7.3.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST >> 20} MB")
        return _variables(path.read_bytes())
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}.") from error
    except (ValueError, struct.error, zlib.error) as error:
        raise FormatError(f"{path} cannot be read as a .mat file of version 5 ({error}).") from error


@dataclass
class _Elements:
    """Elements one after another in `data`; `spare` is how many bytes may still be unpacked."""

    data: memoryview
    spare: int
    place: int = 0

    def next(self) -> tuple[int, memoryview]:
        """Type and bytes of the next element."""
        kind, size = struct.unpack_from("<II", self.data, self.place)
        if kind >> 16:
            start, size, width, kind = self.place + 4, kind >> 16, 8, kind & 0xFFFF
        else:
            start, width = self.place + 8, 8 + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(self.data) or (width == 8 and size > 4):
            raise ValueError("an element ends beyond the file")
        self.place += width
        return kind, self.data[start : start + size]

    def unpacked(self) -> memoryview:
        """The bytes of the next element, which is a matrix and may be compressed."""
        kind, data = self.next()
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            inner = memoryview(stream.decompress(data, self.spare + 1))
            self.spare -= len(inner)
            if self.spare < 0:
                raise ValueError(f"it unpacks to more than {_LARGEST >> 20} MB")
            kind, data = _Elements(inner, 0).next()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} stands where a matrix is needed")
        return data

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self.place < len(self.data)


def _variables(data: bytes) -> dict[str, Any]:
    if len(data) < 128 or data[124:128] != b"\x00\x01IM":
        raise ValueError("it lacks the header of that version on a little-endian machine")
    elements, found = _Elements(memoryview(data)[128:], _LARGEST), {}
    while elements.left:
        name, value = _matrix(elements.unpacked(), 0)
        found[name] = value
    return found


def _matrix(data: memoryview, depth: int) -> tuple[str, Any]:
    """Name and value."""
    parts = _Elements(data, 0)
    flags, shape = _numbers(*parts.next()), _numbers(*parts.next())
    name = bytes(parts.next()[1]).decode("latin-1")
    if not len(flags) or len(shape) < 2 or (shape < 0).any():
        raise ValueError(f"the matrix {name!r} has no flags or dimensions")
    kind, complex_ = int(flags[0]) & 0xFF, int(flags[0]) & 0x800
    count = int(np.prod(shape.astype(object)))
    if kind == _CELL and depth < _DEEPEST:
        if count > len(data):
            raise ValueError(f"the cells of {name!r} end beyond the file")
        return name, [_matrix(parts.unpacked(), depth + 1)[1] for _ in range(count)]
    if complex_ or not (kind == _TEXT or 6 <= kind <= 15):
        raise ValueError(f"{name!r} is of class {kind}; only numbers, texts and cells of them are read")
    values = _numbers(*parts.next()) if count else np.empty(0)
    if len(values) != count:
        raise ValueError(f"{name!r} holds {len(values)} values instead of {count}")
    if kind == _TEXT:
        return name, "".join(map(chr, values.astype(int).tolist()))
    return name, values.reshape(shape.tolist(), order="F")


def _numbers(kind: int, data: memoryview) -> Any:
    if kind not in _NUMBERS:
        raise ValueError(f"numbers cannot be of type {kind}")
    return np.frombuffer(data, "<" + _NUMBERS[kind])
