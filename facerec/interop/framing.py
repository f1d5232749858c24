"""RecordIO's framing, as MXNet 1.9.1 (dmlc) writes it: how payloads lie in a .rec file.

Every part of a record is: u32 magic, u32 (cflag << 29 | length), the bytes, zeros up to a multiple of 4;
cflag 0 whole, 1 first, 2 middle, 3 last. A payload is cut where the magic word stands 4-byte aligned in
it; the word itself is left out, and put back by the reader between two parts.
"""

from __future__ import annotations

import mmap
import struct

from facerec.core import FormatError

LONGEST = (1 << 29) - 1
"""Bytes of the longest payload."""

_MAGIC = struct.pack("<I", 0xCED7230A)
_PART = struct.Struct("<4sI")
_unpack_part = _PART.unpack_from
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def frame(payload: bytes) -> bytes:
    """`payload` as it stands in the file, padded to a multiple of 4 bytes."""
    pieces = _split(payload)
    framed = bytearray()
    for number, piece in enumerate(pieces):
        flag = _WHOLE if len(pieces) == 1 else _MIDDLE
        if len(pieces) > 1 and number in (0, len(pieces) - 1):
            flag = _LAST if number else _FIRST
        framed += _PART.pack(_MAGIC, flag << 29 | len(piece)) + piece
    return bytes(framed) + bytes(-len(framed) % 4)


def payload(data: mmap.mmap | bytes, offset: int, size: int = LONGEST) -> bytes:
    """First `size` bytes of the payload of the record at byte `offset`, by default all.

    Raises FormatError when no whole record is there.
    """
    if 0 <= offset <= len(data) - 8:  # the short way for nearly every record: one whole part
        word, length = _unpack_part(data, offset)
        if word == _MAGIC and length <= size:  # a flag other than 0 makes `length` larger than any size
            piece = data[offset + 8 : offset + 8 + length]
            if len(piece) == length:
                return piece
    pieces = [data[start : min(stop, start + size)] for start, stop in _parts(data, offset)]
    return _MAGIC.join(pieces)[:size]


def end(data: mmap.mmap | bytes, offset: int) -> int:
    """Offset of the byte after the record at `offset`; FormatError when no whole record is there."""
    return _aligned(_parts(data, offset)[-1][1])


def _parts(data: mmap.mmap | bytes, offset: int) -> list[tuple[int, int]]:
    """[start, stop) of the bytes of every part of the record at `offset`."""
    parts: list[tuple[int, int]] = []
    flag, start = _FIRST, offset
    while flag in (_FIRST, _MIDDLE):
        if not 0 <= start <= len(data) - _PART.size:
            raise FormatError(f"no whole record at byte {offset}: the file ends at {len(data)}")
        word, header = _PART.unpack_from(data, start)
        flag, stop = header >> 29, start + _PART.size + (header & LONGEST)
        if word != _MAGIC or flag > _LAST or (flag in (_MIDDLE, _LAST)) != bool(parts):
            raise FormatError(f"no record at byte {offset}")
        if stop > len(data):
            raise FormatError(f"no whole record at byte {offset}: the file ends at {len(data)}")
        parts.append((start + _PART.size, stop))
        start = _aligned(stop)
    return parts


def _split(payload: bytes) -> list[bytes]:
    """Cut at every 4-byte-aligned magic word, which is dropped."""
    pieces, start = [], 0
    place = payload.find(_MAGIC)
    while place >= 0:
        if place % 4 == 0:
            pieces.append(payload[start:place])
            start = place + 4
        place = payload.find(_MAGIC, place + 1)
    return [*pieces, payload[start:]]


def _aligned(offset: int) -> int:
    return offset + -offset % 4
