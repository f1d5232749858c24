"""Parquet tables that are read by people's programs but may come from anywhere: typed, checked, one error."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from facerec.errors import FormatError


def read(path: str | Path, schema: pa.Schema) -> pa.Table:
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
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(
            f"{path} is not a readable table of {', '.join(schema.names)} ({reason})."
        ) from error
