"""Framing of records in a .rec file, and its index: read, checked and, where that is safe, rebuilt.

Framing, as MXNet 1.9.1 (dmlc) writes it: every part of a record is u32 magic, u32 (cflag << 29 | length), the bytes,
zeros up to a multiple of 4; cflag 0 whole, 1 first, 2 middle, 3 last. A payload is cut where the magic word stands
4-byte aligned in it; the word itself is left out, and the reader puts it back between two parts.

The index has a line "key<TAB>offset" a record. It is trusted when its last record ends the file and records stand where
a sample of it points. Most writers repeat the key as id in the record: where all of the sample do, an id that differs
later shows a wrong line. Rebuilding reads the whole file: keys are the ids if no two records share one. If they do,
keys can only be the positions 0, 1, 2, ..., which is right where there was no index at all; where there was one, its
keys may have another meaning, and the file is refused.
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from facerec.core import FileMap, FormatError, read_ahead

Integers = NDArray[np.int64]

_ID = struct.Struct("<8xQ")  # the end of the header "IfQQ" up to its first id
_HEADER_SIZE = 24
_SAMPLE = 64
_NO_ID = -1


class Index(NamedTuple):
    """Keys in ascending order and where their records begin."""

    keys: Integers
    offsets: Integers
    own_keys: bool
    """Whether records carry their keys as ids, so that a wrong offset is noticed."""
    note: str = ""
    """Why it was rebuilt, one sentence; "" where it came from the file as it is."""


def load_index(rec: Path, data: FileMap) -> Index:
    """Read the index of the .rec `rec` with bytes `data`; FormatError where it is wrong and cannot be rebuilt."""
    path = rec.with_suffix(".idx")
    if not path.is_file():
        return rebuild_index(rec, data, f"{path.name} is missing", counted=True)
    try:
        index = _sorted(*_read(path))
    except FormatError as error:
        return rebuild_index(rec, data, str(error).rstrip("."))
    problem = _problem(index.keys, index.offsets, data)
    return rebuild_index(rec, data, f"{path.name} {problem}") if problem else _compared(rec, data, index)


def rebuild_index(rec: Path, data: FileMap, problem: str, counted: bool = False) -> Index:
    """Make the index from the ids of the records, or the positions of records that are to be `counted`.

    Raises FormatError where the ids are no keys or the file is damaged.
    """
    offsets, ids = _scan(rec, data)
    if _are_keys(ids):
        return _sorted(ids, offsets, f"{problem}; keys were read from the records of {rec.name}.")
    if counted:
        keys = np.arange(len(offsets), dtype=np.int64)
        return Index(keys, offsets, False, f"{problem}; the records of {rec.name} were counted from 0.")
    raise FormatError(
        f"{problem}, and the records of {rec} carry no keys to rebuild it from; fetch both again, or "
        f"delete {rec.with_suffix('.idx').name} to have the records counted."
    )


def _sorted(keys: Integers, offsets: Integers, note: str = "") -> Index:
    if (keys[1:] >= keys[:-1]).all():  # as in nearly every pack
        return Index(keys, offsets, True, note)
    order = np.argsort(keys, kind="stable")
    return Index(keys[order], offsets[order], True, note)


def _problem(keys: Integers, offsets: Integers, data: FileMap) -> str:
    """A description of what is wrong with a sorted index by itself, "" if nothing is."""
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if len(repeated):
        return f"lists key {repeated[0]} twice"
    if not len(keys):
        return "" if not len(data) else "is empty"
    if not (offsets[1:] > offsets[:-1]).all() and len(np.unique(offsets)) < len(offsets):
        return "points two keys at one record"
    try:
        ends = record_end(data, int(offsets.max())) == len(data)
        for row in _sample(len(keys)):
            record_end(data, int(offsets[row]))
    except FormatError as error:
        return f"points where {error}"
    return "" if ends else "does not fit, one of both is cut short or of another pack"


def _compared(rec: Path, data: FileMap, index: Index) -> Index:
    """The index, or a rebuilt one where the ids of records contradict it."""
    rows = _sample(len(index.keys))
    ids = np.array([record_id(read_payload(data, int(index.offsets[row]), _HEADER_SIZE)) for row in rows])
    agree = ids == index.keys[rows]
    if agree.all():
        return index
    if not _are_keys(ids):
        return index._replace(own_keys=False)
    offsets, all_ids = _scan(rec, data)
    if _are_keys(all_ids) and (agree.any() or np.array_equal(np.sort(all_ids), index.keys)):
        wrong = int(index.keys[rows][~agree][0])
        note = f"{rec.stem}.idx points key {wrong} at another record; keys were read from the records."
        return _sorted(all_ids, offsets, note)
    return index._replace(own_keys=False)


def _sample(count: int) -> NDArray[np.intp]:
    """Rows evenly over all, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.intp))


def record_id(payload: bytes) -> int:
    """The id in a payload that begins with the header of an image; -1 where there is none."""
    value = _ID.unpack_from(payload)[0] if len(payload) >= _HEADER_SIZE else _NO_ID
    return int(value) if value < 1 << 63 else _NO_ID


def _are_keys(ids: Integers) -> bool:
    """Whether every record has an id and no two share one."""
    return len(np.unique(ids)) == len(ids) and (not len(ids) or int(ids.min()) >= 0)


def _scan(rec: Path, data: FileMap) -> tuple[Integers, Integers]:
    """Offsets and ids of all records, in the order of the file."""
    offsets, ids, offset = array("q"), array("q"), 0
    read_ahead(data, True)
    try:
        while offset < len(data):
            offsets.append(offset)
            ids.append(record_id(read_payload(data, offset, _HEADER_SIZE)))
            offset = record_end(data, offset)
    except FormatError as error:
        raise FormatError(f"{rec} is damaged or cut short: {error}; fetch it again.") from error
    finally:
        read_ahead(data, False)
    return np.array(offsets, np.int64), np.array(ids, np.int64)


def _read(path: Path) -> tuple[Integers, Integers]:
    if path.stat().st_size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    try:
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(column_names=["key", "offset"]),
            parse_options=pacsv.ParseOptions(delimiter="\t"),
            convert_options=pacsv.ConvertOptions(
                column_types={"key": pa.int64(), "offset": pa.int64()},
                null_values=[],  # else "nan" and empty text would count as numbers
            ),
        )
        return table["key"].to_numpy(), table["offset"].to_numpy()
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(f"{path.name} is no index of 'key<TAB>offset' lines ({reason}).") from error


LONGEST_PAYLOAD = (1 << 29) - 1
"""Bytes of the longest payload."""

MAGIC = struct.pack("<I", 0xCED7230A)
_PART = struct.Struct("<4sI")
_unpack_part = _PART.unpack_from
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def frame_payload(payload: bytes) -> bytes:
    """`payload` as it is written to the file, padded to a multiple of 4 bytes."""
    pieces = _split(payload)
    framed = bytearray()
    for number, piece in enumerate(pieces):
        flag = _WHOLE if len(pieces) == 1 else _MIDDLE
        if len(pieces) > 1 and number in (0, len(pieces) - 1):
            flag = _LAST if number else _FIRST
        framed += _PART.pack(MAGIC, flag << 29 | len(piece)) + piece
    return bytes(framed) + bytes(-len(framed) % 4)


def read_payload(data: FileMap, offset: int, size: int = LONGEST_PAYLOAD) -> bytes:
    """First `size` bytes of the payload of the record at byte `offset`, by default all.

    Raises FormatError when no whole record is there.
    """
    if 0 <= offset <= len(data) - 8:  # the fast way for nearly every record: one whole part
        word, length = _unpack_part(data, offset)
        if word == MAGIC and length <= size:  # a flag other than 0 makes `length` larger than any size
            piece = data[offset + 8 : offset + 8 + length]
            if len(piece) == length:
                return piece
    pieces = [data[start : min(stop, start + size)] for start, stop in _parts(data, offset)]
    return MAGIC.join(pieces)[:size]


def payload_size(data: FileMap, offset: int) -> int:
    """Bytes of the payload of the record at byte `offset`; FormatError when no whole record is there."""
    parts = _parts(data, offset)
    return sum(stop - start for start, stop in parts) + len(MAGIC) * (len(parts) - 1)


def record_end(data: FileMap, offset: int) -> int:
    """Offset of the byte after the record at `offset`; FormatError when no whole record is there."""
    return _aligned(_parts(data, offset)[-1][1])


def _parts(data: FileMap, offset: int) -> list[tuple[int, int]]:
    """[start, stop) of the bytes of every part of the record at `offset`."""
    parts: list[tuple[int, int]] = []
    flag, start = _FIRST, offset
    while flag in (_FIRST, _MIDDLE):
        if not 0 <= start <= len(data) - _PART.size:
            raise FormatError(f"no whole record at byte {offset}: the file ends at {len(data)}")
        word, header = _PART.unpack_from(data, start)
        flag, stop = header >> 29, start + _PART.size + (header & LONGEST_PAYLOAD)
        if word != MAGIC or flag > _LAST or (flag in (_MIDDLE, _LAST)) != bool(parts):
            raise FormatError(f"no record at byte {offset}")
        if stop > len(data):
            raise FormatError(f"no whole record at byte {offset}: the file ends at {len(data)}")
        parts.append((start + _PART.size, stop))
        start = _aligned(stop)
    return parts


def _split(payload: bytes) -> list[bytes]:
    """Cut at every 4-byte-aligned magic word, which is dropped."""
    pieces, start = [], 0
    place = payload.find(MAGIC)
    while place >= 0:
        if place % 4 == 0:
            pieces.append(payload[start:place])
            start = place + 4
        place = payload.find(MAGIC, place + 1)
    return [*pieces, payload[start:]]


def _aligned(offset: int) -> int:
    return offset + -offset % 4
