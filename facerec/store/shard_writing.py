"""Writing photo and face shards, whose form `facerec.store.shards` describes and reads.

    write_shards(rows, "data/faces/lfw", Meta("faces", "lfw", size=(112, 112), template="arcface-112"))

Equal rows and metadata give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from facerec.core import FormatError, atomic_dir, sha256_of_file
from facerec.store import tables
from facerec.store.shards import FAILURE_SCHEMA, FAILURES, FAILURES_KEY, SHAPES, Failure, Meta, part_name, schema_of

BATCH_ROWS = 256
BATCH_BYTES = 32 << 20
_BYTES = (bytes, bytearray, memoryview)
_LAST = {"facerec.last": "yes"}


def write_shards(rows: Iterable[Mapping[str, Any]], path: str | Path, meta: Meta, shard_bytes: int = 256 << 20) -> int:
    """Write `rows` as the whole content of directory `path`, which is replaced at the end.

    A row needs image (encoded bytes), label, identity and source; box (4,), landmarks (5, 2) and, for
    faces, score and rung (the fallback) may be absent or None. A new part starts where the current one would pass
    `shard_bytes`. Returns the number of rows; raises FormatError for an impossible row or meta.
    """
    with atomic_dir(path) as folder:
        return write_parts(rows, folder, meta, shard_bytes)


def write_parts(
    rows: Iterable[Mapping[str, Any]],
    folder: Path,
    meta: Meta,
    shard_bytes: int = 256 << 20,
    failures: Callable[[], Iterable[Failure]] | None = None,
) -> int:
    """Write what `write_shards` does into a directory that exists and may hold other files; not atomic by itself.

    For a set made from photos, `failures` says after the last row which photos gave no face; their table lies beside.
    """
    schema = schema_of(meta)
    batches = (make_batch(chunk, schema) for chunk in _chunks(rows))
    batch, total = next(batches), 0
    for number in range(100_000):
        used = 0
        with pa.ipc.new_file(folder / part_name(number), schema) as writer:
            while used == 0 or used + batch.nbytes <= shard_bytes:
                following = next(batches, None)
                writer.write_batch(batch, custom_metadata=None if following is not None else _ending(folder, failures))
                used += batch.nbytes
                total += len(batch)
                if following is None:
                    return total
                batch = following
    raise FormatError(f"{folder} would need more than 100,000 parts; write larger ones.")


def write_part(rows: Iterable[Mapping[str, Any]], path: Path, meta: Meta, last: bool) -> int:
    """Write one part that holds all of `rows`; `last` of its set. See `facerec.store.part_jobs`."""
    schema, total = schema_of(meta), 0
    with pa.ipc.new_file(path, schema) as writer:
        for chunk, following in pairwise(chain(_chunks(rows), [[]])):  # no chunk of some rows is empty
            ending = None if following or not last else _LAST
            writer.write_batch(make_batch(chunk, schema), custom_metadata=ending)
            total += len(chunk)
    return total


def make_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as a batch; FormatError for one that is impossible."""
    return pa.record_batch([_column(rows, field) for field in schema], schema=schema)


def _ending(folder: Path, failures: Callable[[], Iterable[Failure]] | None) -> dict[str, str]:
    """Write the table of failures, where there is one; what the last batch says."""
    if failures is None:
        return _LAST
    path = folder / FAILURES
    tables.write_parquet(pa.Table.from_pylist([asdict(each) for each in failures()], FAILURE_SCHEMA), path)
    return {**_LAST, FAILURES_KEY: sha256_of_file(path)}


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Up to 256 rows, fewer where the images are large, so that memory stays small; one empty chunk of no rows."""
    chunk: list[Mapping[str, Any]] = []
    size, some = 0, False
    for row in rows:
        chunk.append(row)
        image = row.get("image")
        size += len(image) if isinstance(image, _BYTES) else 0
        if len(chunk) == BATCH_ROWS or size >= BATCH_BYTES:
            yield chunk
            chunk, size, some = [], 0, True
    if chunk or not some:
        yield chunk


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
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
    shape = SHAPES.get(field.name)
    if shape is None:
        return value
    array = np.asarray(value, np.float32)
    if array.shape != shape:
        raise ValueError(f"shape {array.shape} where {shape} is due")
    return array.tolist()
