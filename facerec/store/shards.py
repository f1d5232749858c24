"""Photo and face shards: the one form of data at rest, a directory of memory-mapped Arrow IPC files.

A set is `part-00000.arrow`, `part-00001.arrow`, ... of about 256 MB each, uncompressed, in batches of at
most 256 rows, so that any image can be reached without copying or decompressing its neighbours. The `Meta`
of the set travels in the schema of every part, and the last batch of the last part says that it is the
last: a set that lost a part is noticed. Other files in the directory (pairs.txt, lists) are left alone.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from facerec.core import FormatError, atomic_dir

VERSION = 1
_BATCH_ROWS = 256
_BATCH_BYTES = 32 << 20
_BYTES = (bytes, bytearray, memoryview)
_META_KEY = b"facerec"
_LONGEST_SIDE = 4096
"""Pixels of an aligned face; a reader makes room for whole batches of the size promised."""
_LAST = {"facerec.last": "yes"}

_PHOTO_FIELDS = [
    pa.field("image", pa.binary(), nullable=False),
    pa.field("label", pa.int64(), nullable=False),
    pa.field("identity", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("box", pa.list_(pa.float32(), 4)),
    pa.field("landmarks", pa.list_(pa.list_(pa.float32(), 2), 5)),
]
_FIELDS = {
    "photos": _PHOTO_FIELDS,
    "faces": [*_PHOTO_FIELDS, pa.field("score", pa.float32()), pa.field("rung", pa.string())],
}
_SHAPES = {"box": (4,), "landmarks": (5, 2)}


@dataclass(frozen=True)
class Meta:
    """What a reader must know of a set before it looks at a row; stored in the schema of every part."""

    kind: str
    """"photos" or "faces"."""
    dataset: str
    licence: str = ""
    size: tuple[int, int] | None = None
    """(height, width) of aligned faces in pixels; None for photos."""
    colour: str = "RGB"
    """Channel order of the decoded pixels."""
    template: str = ""
    """Alignment of the faces, such as "arcface-112"; "" for photos."""
    version: int = VERSION


_META = TypeAdapter(Meta)


class Shards:
    """An open set: columns as lists and arrays, images as views into the mapped files.

    Pickling keeps only the path, so handing a set to worker processes costs nothing.
    """

    def __init__(self, path: Path, meta: Meta, batches: list[pa.RecordBatch]) -> None:
        self.path = path
        self.meta = meta
        self.table: pa.Table = pa.Table.from_batches(batches)
        self._images = [_views(batch.column("image")) for batch in batches]
        self._starts = [0, *accumulate(len(batch) for batch in batches)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __reduce__(self) -> tuple[Any, ...]:
        return read_shards, (self.path, self.meta.kind)

    def image(self, index: int) -> memoryview:
        """Encoded bytes of image `index` (0-based), a read-only view into the file."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)} in {self.path}")
        batch = bisect_right(self._starts, index) - 1
        offsets, data = self._images[batch]
        row = index - self._starts[batch]
        return data[offsets[row] : offsets[row + 1]]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(n,) identity numbers, -1 where unknown."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.int64)

    @cached_property
    def identities(self) -> list[str]:
        """n identity names, "" where unknown."""
        return list(self.table["identity"].to_pylist())

    @cached_property
    def sources(self) -> list[str]:
        """n paths inside the set, '/' separated."""
        return list(self.table["source"].to_pylist())

    @property
    def classes(self) -> int:
        """Number of distinct known labels."""
        return len(np.unique(self.labels[self.labels >= 0]))

    def row(self, index: int) -> dict[str, Any]:
        """Row `index`: image as a view, box (4,) and landmarks (5, 2) float32 or None, the rest plain."""
        image = self.image(index)
        record = self.table.slice(index, 1)
        row = {name: record[name][0].as_py() for name in self.table.column_names if name != "image"}
        for name in _SHAPES:
            row[name] = None if row[name] is None else np.array(row[name], np.float32)
        return {"image": image, **row}


def read_shards(path: str | Path, kind: str | None = None) -> Shards:
    """Open the set in directory `path`; nothing is loaded until it is used.

    Raises FormatError when it is no set of ours, not of `kind`, of another version, not RGB, or when
    a part is missing, cut short or of another set.
    """
    path = Path(path)
    parts = _parts(path)
    meta, batches, ended = _open(parts[0])
    for part in parts[1:]:
        if ended:
            raise FormatError(f"{part} does not belong to the set before it; make {path} again.")
        other, more, ended = _open(part)
        if other != meta:
            raise FormatError(f"{part} and {parts[0].name} describe different sets; make {path} again.")
        batches += more
    if not ended:
        raise FormatError(f"{path} ends after {parts[-1].name} but had more parts; make it again.")
    if kind is not None and meta.kind != kind:
        raise FormatError(f"{path} holds {meta.kind}, but {kind} are needed here.")
    return Shards(path, meta, batches)


def write_shards(
    rows: Iterable[Mapping[str, Any]], path: str | Path, meta: Meta, shard_bytes: int = 256 << 20
) -> int:
    """Write `rows` as the whole content of directory `path`, which is replaced at the end.

    A row needs image (encoded bytes), label, identity and source; box (4,), landmarks (5, 2) and, for
    faces, score and rung (the fallback) may be absent or None. A new part starts where the current one would pass
    `shard_bytes`. Returns the number of rows; raises FormatError for an impossible row or meta.
    """
    with atomic_dir(path) as folder:
        return write_parts(rows, folder, meta, shard_bytes)


def write_parts(
    rows: Iterable[Mapping[str, Any]], folder: Path, meta: Meta, shard_bytes: int = 256 << 20
) -> int:
    """As `write`, into a directory that exists and may hold other files; not atomic by itself."""
    schema = _schema(meta)
    batches = _batches(rows, schema)
    batch, total = next(batches), 0
    for number in range(100_000):
        used = 0
        with pa.ipc.new_file(folder / f"part-{number:05d}.arrow", schema) as writer:
            while used == 0 or used + batch.nbytes <= shard_bytes:
                following = next(batches, None)
                writer.write_batch(batch, custom_metadata=None if following is not None else _LAST)
                used += batch.nbytes
                total += len(batch)
                if following is None:
                    return total
                batch = following
    raise FormatError(f"{folder} would need more than 100,000 parts; write larger ones.")


def _schema(meta: Meta) -> pa.Schema:
    if meta.kind not in _FIELDS:
        raise FormatError(f"a set holds photos or faces, not {meta.kind!r}.")
    if (meta.kind == "faces") != (meta.size is not None):
        raise FormatError(f"a set of {meta.kind} cannot have the size {meta.size}.")
    if meta.colour != "RGB" or meta.version != VERSION:
        raise FormatError(f"only RGB and version {VERSION} are written, not {meta.colour}, {meta.version}.")
    encoded = json.dumps(asdict(meta), sort_keys=True)
    return pa.schema(_FIELDS[meta.kind], metadata={_META_KEY: encoded.encode()})


def _batches(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Record batches; at least one, so that even an empty set has a last batch."""
    empty = True
    for chunk in _chunks(rows):
        empty = False
        yield pa.record_batch([_column(chunk, field) for field in schema], schema=schema)
    if empty:
        yield pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Up to 256 rows, fewer where the images are large, so that memory stays small."""
    chunk: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        chunk.append(row)
        image = row.get("image")
        size += len(image) if isinstance(image, _BYTES) else 0
        if len(chunk) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _column(rows: list[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    try:
        values = [_value(row, field) for row in rows]
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError) as error:
        sources = f"{rows[0].get('source')} to {rows[-1].get('source')}"
        raise FormatError(f"column {field.name} of the rows {sources} cannot be stored: {error}.") from error


def _value(row: Mapping[str, Any], field: pa.Field) -> Any:
    value = row.get(field.name)
    if value is None:
        if field.nullable:
            return None
        raise ValueError(f"{row.get('source')} has none")
    if field.name == "image":
        if not isinstance(value, _BYTES):
            raise TypeError(f"{row.get('source')} has {type(value).__name__} where bytes are due")
        return bytes(value)
    shape = _SHAPES.get(field.name)
    if shape is None:
        return value
    array = np.asarray(value, np.float32)
    if array.shape != shape:
        raise ValueError(f"shape {array.shape} where {shape} is due")
    return array.tolist()


def _views(column: pa.Array) -> tuple[memoryview, memoryview]:
    """Offsets (int32) and bytes of a binary column as it lies in the file: ten times as fast as by scalars."""
    _, offsets, data = (memoryview(buffer or b"").cast("B").toreadonly() for buffer in column.buffers())
    return offsets.cast("i"), data


def is_set(path: str | Path) -> bool:
    """Whether `path` is a directory that holds shards; whether they are sound is for `read` to say."""
    return any(Path(path).glob("part-*.arrow"))


def _parts(path: Path) -> list[Path]:
    parts = sorted(path.glob("part-*.arrow"))
    if not parts:
        raise FormatError(f"{path} holds no shards (part-00000.arrow, ...); run the stage that makes it.")
    for number, part in enumerate(parts):
        if part.name != f"part-{number:05d}.arrow":
            raise FormatError(f"{path} lacks part-{number:05d}.arrow; make it again.")
    return parts


def _open(part: Path) -> tuple[Meta, list[pa.RecordBatch], bool]:
    """Meta of one part, its batches, and whether it is the last of its set."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(part)))
        meta = _meta(reader.schema, part)
        count = reader.num_record_batches
        if not count:
            raise pa.ArrowInvalid("it has no batches")
        batches = [reader.get_batch(number) for number in range(count - 1)]
        last, custom = reader.get_batch_with_custom_metadata(count - 1)
        batches.append(last)
        for batch in batches:
            _check(batch)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"{part} is damaged or cut short ({reason}); make it again.") from error
    return meta, batches, bool(custom)


def _check(batch: pa.RecordBatch) -> None:
    """ArrowInvalid where an offset leads out of the file, a name is no text, or what must be there is null.

    Arrow itself believes all of these and reads any memory. Takes 13 microseconds a batch; no image is read.
    """
    batch.validate(full=True)
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if column.null_count and not field.nullable:
            raise pa.ArrowInvalid(f"{field.name} is null in some rows")


def _meta(schema: pa.Schema, part: Path) -> Meta:
    encoded = (schema.metadata or {}).get(_META_KEY)
    if encoded is None:
        raise FormatError(f"{part} is an Arrow file, but not one of facerec's shards.")
    try:
        meta = _META.validate_json(encoded, strict=True)
    except ValidationError as error:
        raise FormatError(f"{part} does not say what set it is part of; make it again.") from error
    if meta.version != VERSION:
        raise FormatError(f"{part} has version {meta.version}, this program reads {VERSION}.")
    if meta.size is not None and not all(0 < side <= _LONGEST_SIDE for side in meta.size):
        raise FormatError(f"{part} promises faces of {meta.size[0]}x{meta.size[1]} pixels; make it again.")
    if meta.colour != "RGB":
        raise FormatError(f"{part} holds {meta.colour} pixels, but RGB is needed.")
    if not schema.equals(pa.schema(_FIELDS.get(meta.kind, []))):
        raise FormatError(f"{part} does not have the columns of {meta.kind}.")
    return meta
