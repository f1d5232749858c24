"""Small .mat files of version 5, written as MATLAB does, for tests of what reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {"u1": 2, "i2": 3, "u2": 4, "i4": 5, "f8": 9}
_CLASSES = {"f8": 6, "u1": 9, "i2": 10, "u2": 11, "i4": 12}


def write_mat(path: Path, variables: Mapping[str, Any], compressed: bool = True) -> Path:
    """Arrays, texts, and lists of them as cells."""
    path.write_bytes(mat_bytes(variables, compressed))
    return path


def mat_bytes(variables: Mapping[str, Any], compressed: bool = True) -> bytes:
    """The content of the file that `write_mat` writes."""
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    return header + b"".join(_variable(name, each, compressed) for name, each in variables.items())


def _variable(name: str, value: Any, compressed: bool) -> bytes:
    plain = matrix(name, value)
    if not compressed:
        return plain
    packed = zlib.compress(plain)
    return struct.pack("<II", 15, len(packed)) + packed


def matrix(name: str, value: Any) -> bytes:
    """The element of one variable."""
    if isinstance(value, list):
        shape, kind, body = (len(value), 1), 1, b"".join(matrix("", each) for each in value)
    elif isinstance(value, str):
        shape, kind, body = (1, len(value)), 4, element(4, value.encode("utf-16-le"))
    else:
        array = np.atleast_2d(value)
        code = array.dtype.str[1:]
        shape, kind, body = array.shape, _CLASSES[code], element(_TYPES[code], array.tobytes(order="F"))
    flags = element(6, struct.pack("<II", kind, 0))
    sizes = element(5, struct.pack(f"<{len(shape)}i", *shape))
    inner = flags + sizes + element(1, name.encode()) + body
    return struct.pack("<II", 14, len(inner)) + inner


def element(kind: int, data: bytes) -> bytes:
    """An element, packed into 8 bytes where it is short."""
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\x00")
    return struct.pack("<II", kind, len(data)) + data + b"\x00" * (-len(data) % 8)
