"""Tables with images in them, as Hugging Face's `datasets` keeps them: Parquet with the columns `image` and `label`.

`image` is a struct of the encoded bytes and a path, or the bytes alone; `label` a number, whose name the table's metadata
may have (ClassLabel), or a name; `identity`, where it is there, the name. Read and written some rows at a time.
https://huggingface.co/docs/datasets/about_dataset_features
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facerec.core import FormatError, parse_json

_ROWS, _SHARD = 64, 256 << 20  # rows at a time, bytes of images in a table
_LARGEST, _RATIO = 1 << 30, 64  # bytes of a column in one row group, and for each byte of it in the file
_SCHEMA = pa.schema(
    {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "label": pa.int64(),
        "identity": pa.string(),
        "source": pa.string(),
    }
)
_FEATURES = {
    "image": {"_type": "Image"},
    "label": {"dtype": "int64", "_type": "Value"},
    "identity": {"dtype": "string", "_type": "Value"},
    "source": {"dtype": "string", "_type": "Value"},
}


def read_set(path: Path) -> tuple[list[str], Iterator[dict[str, Any]], dict[str, str]]:
    """Identities and images of a table, or of the tables below a folder in the order of their names."""
    tables = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    identities = []
    for table in tables:
        names = _class_names(table)
        identities += [_identity(row, names, table) for row in _values(table, ("identity", "label"))]
    return identities, _images(tables), {}


def _images(tables: list[Path]) -> Iterator[dict[str, Any]]:
    for table in tables:
        for number, row in enumerate(_values(table, ("image", "source"))):
            image = row.get("image")
            content = image.get("bytes") if isinstance(image, dict) else image
            if not isinstance(content, bytes):
                raise FormatError(f"{table}, row {number}: its image is not in the table; download the images with it.")
            path = image.get("path") if isinstance(image, dict) else None
            yield {"image": content, "source": row.get("source") or path or f"{table.stem}/{number:08d}"}


def _values(table: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The columns `wanted`, as far as they are there, row by row."""
    try:
        with pq.ParquetFile(table) as file:
            columns = [name for name in wanted if name in file.schema_arrow.names]
            if not columns:
                raise FormatError(f"{table} has no column {' or '.join(wanted)}.")
            _check_sizes(file.metadata, table)
            for batch in file.iter_batches(_ROWS, columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"{table} is no readable table of images ({str(error).splitlines()[0][:200]}).") from error


def _check_sizes(metadata: pq.FileMetaData, table: Path) -> None:
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.total_uncompressed_size > max(_LARGEST, _RATIO * chunk.total_compressed_size):
                raise FormatError(f"{table} is refused: {chunk.path_in_schema} unpacks to far more than its size.")


def _class_names(table: Path) -> list[str]:
    """The names of the classes in the table's metadata, none where it has none."""
    try:
        metadata = pq.read_schema(table).metadata or {}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FormatError(f"{table} is no Parquet table ({str(error).splitlines()[0][:200]}).") from error
    found = parse_json(metadata.get(b"huggingface", b"{}"), f"the metadata of {table}")
    for key in ("info", "features", "label", "names"):
        found = found.get(key, {}) if isinstance(found, dict) else {}
    return list(map(str, found)) if isinstance(found, list) else []


def _identity(row: dict[str, Any], names: list[str], table: Path) -> str:
    label = row.get("label")
    if row.get("identity") or label in (None, -1):
        return str(row.get("identity") or "")
    if isinstance(label, int) and names:
        if not 0 <= label < len(names):
            raise FormatError(f"{table} has the label {label}, but names of {len(names)} classes.")
        return names[label]
    return str(label)


def write_set(rows: Iterable[dict[str, Any]], folder: Path, pairs: list[tuple[int, int, bool]]) -> None:
    """Write rows as `part-00000.parquet` and so on, uncompressed; pairs have no place in this format."""
    schema = _SCHEMA.with_metadata({"huggingface": json.dumps({"info": {"features": _FEATURES}})})
    pending = iter(rows)
    chunk, number = list(islice(pending, _ROWS)), 0
    while chunk:
        with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", schema, compression="none") as writer:
            used = 0
            while chunk and used < _SHARD:
                used += sum(len(row["image"]) for row in chunk)
                writer.write_table(pa.Table.from_pylist([_record(row) for row in chunk], schema))
                chunk = list(islice(pending, _ROWS))
        number += 1


def _record(row: dict[str, Any]) -> dict[str, Any]:
    image = {"bytes": row["image"], "path": row["name"]}
    return {"image": image, **{key: row[key] for key in ("label", "identity", "source")}}
