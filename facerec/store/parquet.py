"""Parquet tables that are read by people's programs but may come from anywhere: typed, checked, one error.

What no column can say of a table lies as one JSON object under the key "facerec" of the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from facerec.core import FormatError

T = TypeVar("T")

_NOTE = b"facerec"


def read_parquet(path: str | Path, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` in one chunk each, in its order and types.

    Raises FormatError when the file is missing, damaged, lacks a column, or holds something else in one;
    text that is not UTF-8 is damage.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(schema.names).select(schema.names)
        table.validate(full=True)
        return table.cast(schema).combine_chunks()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise FormatError(
            f"{path} is not a readable table of {', '.join(schema.names)} ({_reason(error)})."
        ) from error


def noted(table: pa.Table, note: Mapping[str, Any]) -> pa.Table:
    """The table with `note`, plain values, in its metadata; equal notes give equal bytes."""
    return table.replace_schema_metadata({_NOTE: json.dumps(note, sort_keys=True).encode()})


def read_note(path: str | Path, adapter: TypeAdapter[T]) -> T | None:
    """The note of a table as `adapter` checks it, None where there is none; FormatError when it is damaged."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        return None if _NOTE not in metadata else adapter.validate_json(metadata[_NOTE])
    except ValidationError as error:
        raise FormatError(f"What {path} says of itself is damaged; make it again.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FormatError(f"{path} is not a readable table ({_reason(error)}).") from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
