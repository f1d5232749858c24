"""How much memory a Parquet table or a shard may take, found out before anything of it is decoded.

A column of one value repeated costs a few bytes on disk and any amount in memory. So the cost of a table is computed
from its footer, and the footer is believed only where it agrees with the headers of the pages (Arrow itself decodes
whatever a page claims). Tables of 256 MB are always read, larger ones up to 64 times their file: text counts as the
Python strings it becomes, and a list of twelve million pairs comes to about 25 times.

Format of the headers: https://parquet.apache.org/docs/file-format/data-pages/ in Thrift's compact protocol, and
https://arrow.apache.org/docs/format/Columnar.html#file-format in flatbuffers.
"""

from __future__ import annotations

import mmap
import os
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from facerec.core import FileMap

FLOOR, RATIO = 256 << 20, 64
"""Bytes that any table may take, and further bytes for each byte of its file."""

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 64}
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_COUNTS = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}  # field of a page's header that counts its values, by type of page
_DELTA_BYTE_ARRAY = 7  # an encoding in which a text repeats the start of the one before
_GROUPS = 4  # field of the footer
_LONGEST_FOOTER = 4 << 20  # bytes; one of seventeen million rows has 50 kB
_DEEPEST = 8  # structures inside each other; headers have four


def check_parquet(file: BinaryIO, metadata: pq.FileMetaData, names: list[str]) -> list[str]:
    """Raise ValueError if the columns `names` of an open file would take too much memory, or the footer is wrong about them.

    Returns the columns of text or bytes. They are to be read as dictionaries and given to `decode_text`, since how
    often each text is repeated is not known before.
    """
    texts, cost = [], 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        groups = _read_footer(data)[_GROUPS]
        for number in range(metadata.num_columns):
            column = metadata.schema.column(number)
            if column.path.split(".")[0] not in names:
                continue
            if column.physical_type == "BYTE_ARRAY":
                if column.max_repetition_level or "." in column.path:
                    raise ValueError(f"{column.path} holds lists of text")
                texts.append(column.path)
            width = _WIDTHS.get(column.physical_type) or column.length
            for group in groups:
                cost += _cost(data, group, number, column.max_repetition_level, width)
                _check_cost(cost, file)
    return texts


def decode_text(table: pa.Table, file: BinaryIO) -> pa.Table:
    """`table`, which was read from `file`, with its dictionaries decoded; ValueError if that would take too much memory."""
    cost = 0
    for number, name in enumerate(table.column_names):
        column = table.column(number)
        if not pa.types.is_dictionary(column.type):
            continue
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
            cost += pc.sum(lengths.take(chunk.indices), min_count=0).as_py()
            _check_cost(cost, file)
        decoded = [chunk.dictionary_decode() for chunk in column.chunks]
        table = table.set_column(number, name, pa.chunked_array(decoded, column.type.value_type))
    return table


def check_uncompressed(data: FileMap) -> None:
    """Raise ValueError if batches of an Arrow file are compressed; others take no memory beyond the mapped file."""
    start = len(data) - 10 - _number(data, len(data) - 10, 4)
    batches = _vector(data, start + _number(data, start, 4), 3)
    count = _number(data, batches, 4) if batches else 0
    for place in range(batches + 4, batches + 4 + 24 * count, 24):
        message = _number(data, place, 8)
        message += 8 if data[message : message + 4] == b"\xff\xff\xff\xff" else 4
        batch = _vector(data, message + _number(data, message, 4), 2)
        if not batch or _field(data, batch, 3):
            raise ValueError("its batches are compressed")


def _check_cost(cost: int, file: BinaryIO) -> None:
    limit = FLOOR + RATIO * os.fstat(file.fileno()).st_size
    if cost > limit:
        raise ValueError(
            f"it would take {cost >> 20} MB of memory, more than the {limit >> 20} MB that its size allows"
        )


def _read_footer(data: mmap.mmap) -> dict[int, Any]:
    """The footer as written; pyarrow's own view of its columns ends the process where some are damaged."""
    length = _number(data, len(data) - 8, 4)
    if not 0 < length <= min(_LONGEST_FOOTER, len(data) - 12):
        raise ValueError(f"its footer of {length} bytes is too long")
    return _structure(data, len(data) - 8 - length)[0]


def _cost(data: mmap.mmap, group: dict[int, Any], number: int, repeated: int, width: int) -> int:
    """Bytes that a column of a row group takes in memory."""
    rows, column = group[3], group[1][number][3]
    values, size = _count_pages(data, column)
    if values != column[5] or rows < 0 or (values < rows if repeated else values != rows):
        raise ValueError(f"column {number} has {values} values, but the footer names another number")
    return values * (width + 4) + size


def _count_pages(data: mmap.mmap, column: dict[int, Any]) -> tuple[int, int]:
    """Values in the pages of a column, and bytes of the unpacked pages; of a column without values none are read."""
    if column[5] == 0:
        return 0, 0
    place, length = column[9], column[7]
    if column.get(11):  # where its dictionary is
        place = min(place, column[11])
    end, values, size = place + length, 0, 0
    if not 0 <= place <= end <= len(data):
        raise ValueError("a column is not inside the file")
    while place < end:
        header, place = _structure(data, place)
        kind, unpacked, packed = (header[key] for key in (1, 2, 3))
        counts = header.get(_COUNTS.get(kind, 0), {})
        if not isinstance(counts, dict) or min(unpacked, packed, counts.get(1, 0)) < 0:
            raise ValueError("a column has a page of negative size")
        if kind in (_DATA, _DATA_V2):
            values += counts[1]
            if counts.get(2 if kind == _DATA else 4) == _DELTA_BYTE_ARRAY:
                raise ValueError("a column is encoded as DELTA_BYTE_ARRAY; write it with another encoding")
        place, size = place + packed, size + unpacked
    return values, size


def _structure(data: mmap.mmap, place: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Fields of a Thrift structure by number, and the place after it."""
    found: dict[int, Any] = {}
    key = 0
    while (head := data[place]) != 0:
        place += 1
        if head >> 4:
            key += head >> 4
        else:
            key, place = _whole(data, place)
        if key in found:  # readers differ in which of the two they take
            raise ValueError("a header is damaged")
        found[key], place = _value(data, place, head & 15, depth)
    return found, place + 1


def _value(data: mmap.mmap, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > _DEEPEST:
        raise ValueError("a header is nested too deeply")
    if kind in (1, 2):
        return kind == 1, place
    if kind == 3:
        return data[place], place + 1
    if kind in (4, 5, 6):
        return _whole(data, place)
    if kind == 7:
        return None, place + 8
    if kind == 8:
        length, place = _varint(data, place)
        return None, place + length
    if kind == 9:
        return _list(data, place, depth + 1)
    if kind == 12:
        return _structure(data, place, depth + 1)
    raise ValueError("a header is damaged")  # Parquet has neither sets nor maps in them


def _list(data: mmap.mmap, place: int, depth: int) -> tuple[list[Any], int]:
    count, kind = data[place] >> 4, data[place] & 15
    place += 1
    if count == 15:
        count, place = _varint(data, place)
    found = []
    for _ in range(count):
        value, place = _value(data, place, 3 if kind <= 2 else kind, depth)
        found.append(value)
    return found, place


def _whole(data: mmap.mmap, place: int) -> tuple[int, int]:
    number, place = _varint(data, place)
    return number >> 1 ^ -(number & 1), place


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError("a number in a header is too long")


def _number(data: FileMap, place: int, width: int) -> int:
    """A whole number of flatbuffers."""
    if not 0 <= place <= len(data) - width:
        raise ValueError("a place in its footer is outside the file")
    return int.from_bytes(data[place : place + width], "little")


def _field(data: FileMap, table: int, slot: int) -> int:
    """Where a field of a flatbuffers table is; 0 if it is absent."""
    layout = table - int.from_bytes(data[table : table + 4], "little", signed=True)
    if 4 + 2 * slot >= _number(data, layout, 2):
        return 0
    offset = _number(data, layout + 4 + 2 * slot, 2)
    return table + offset if offset else 0


def _vector(data: FileMap, table: int, slot: int) -> int:
    """Where the vector or table is that a field refers to; 0 if the field is absent."""
    place = _field(data, table, slot)
    return place + _number(data, place, 4) if place else 0
