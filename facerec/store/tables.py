"""Arrays (.npy) and tables (.parquet) from files that may be damaged or hostile: checked types, one kind of error.

Arrays are mapped into memory: `numpy.load` allocates as much as the header asks for before it looks at the file, while
a map cannot be larger than the file. What no column of a table can hold is a note, one JSON object under the key
"facerec" of the file's metadata.
"""

from __future__ import annotations

import io
import json
import mmap
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from facerec.core import Description, FormatError, atomic_file, has_magic, pair_counts, range_of, size_of
from facerec.store import bounds

_LONGEST_HEADER = 10_000  # bytes, as numpy


def read_npy(path: str | Path) -> NDArray[Any]:
    """Map the array in `path` read-only; FormatError when the file is no array, is cut short or holds objects."""
    _check_header(Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers written by Python 2
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, MemoryError) as error:
        raise FormatError(f"cannot read {path}: {error}.") from error
    except Exception as error:  # the header is a Python literal, whose parser fails in many ways
        raise FormatError(f"{path} is no array of numbers in NumPy's form: {reason_of(error)}.") from error
    if not isinstance(array, np.ndarray):  # numpy.load opens .npz too
        raise FormatError(f"{path} is no array of numbers in NumPy's form but an archive.")
    return array


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The first bytes of a .npy file of float32 in this shape, as numpy.save writes them."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _check_header(path: Path) -> None:
    """Refuse a header longer than numpy takes before numpy allocates its size, which may be four gigabytes."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error}.") from error
    longer_form = head.startswith(b"\x93NUMPY") and head[6:7] > b"\x01"
    if longer_form and int.from_bytes(head[8:12], "little") > _LONGEST_HEADER:
        raise FormatError(f"{path} is no array of numbers in NumPy's form: its header is too long.")


T = TypeVar("T")

_NOTE = b"facerec"


def read_parquet(path: str | Path, schema: pa.Schema) -> pa.Table:
    """Read the columns of `schema` in its order and types, in one chunk each, with the file's metadata (`note_of`).

    Raises FormatError when the file is missing, damaged, lacks a column, or holds something else in one;
    text that is not UTF-8 is damage. So is a table that would take more memory than `facerec.store.bounds` allows for
    the size of its file. The file is opened once, so that one put in its place meanwhile does not mix with it.
    """
    opened = RowGroups(path, schema)
    return opened.read(range(len(opened)))


class RowGroups:
    """An open Parquet file of which a few groups of rows are read at a time, as `read_parquet` reads all of them."""

    def __init__(self, path: str | Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        with reading(path, schema.names):
            self._source = Path(path).open("rb")  # noqa: SIM115, closed with this object
            weakref.finalize(self, self._source.close)
            metadata = pq.read_metadata(self._source)
            texts = bounds.check_parquet(self._source, metadata, schema.names)
            self._file = pq.ParquetFile(self._source, metadata=metadata, read_dictionary=texts)

    def __len__(self) -> int:
        return int(self._file.num_row_groups)

    def read(self, groups: Iterable[int]) -> pa.Table:
        """The rows of some groups."""
        with reading(self._path, self._schema.names):
            names = self._schema.names
            found = self._file.read_row_groups(list(groups), names).select(names)
            table = bounds.decode_text(found, self._source)
            table.validate(full=True)
            return table.cast(self._schema).combine_chunks().replace_schema_metadata(table.schema.metadata)

    def bounds_of(self, column: str) -> list[tuple[int, int] | None]:
        """The least and greatest whole number that the footer names for a column in each group; None where it does not."""
        with reading(self._path, self._schema.names):
            metadata = self._file.metadata
            number = [metadata.schema.column(each).path for each in range(metadata.num_columns)].index(column)
            named = [metadata.row_group(group).column(number).statistics for group in range(len(self))]
            ends = [(each.min, each.max) if each is not None and each.has_min_max else None for each in named]
        return [pair if pair and isinstance(pair[0], int) and isinstance(pair[1], int) else None for pair in ends]


def write_parquet(table: pa.Table, path: Path, note: Mapping[str, Any] | None = None) -> None:
    """Write a table atomically and uncompressed; equal tables and notes give equal bytes."""
    with atomic_file(path) as temporary:
        put_parquet(table if note is None else with_note(table, note), temporary)


def write_row_groups(groups: Iterable[pa.Table], schema: pa.Schema, path: Path, note: Mapping[str, Any]) -> None:
    """Write tables of `schema` as the row groups of one, atomically and uncompressed, so that parts of it can be read."""
    noted = with_note(schema.empty_table(), note).schema
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, noted, compression="none") as writer:
        for table in groups:
            writer.write_table(table)


def open_row_groups(path: Path, schema: pa.Schema, adapter: TypeAdapter[T]) -> tuple[pq.ParquetFile, T | None]:
    """The table in `path`, mapped into memory and not read yet, and its note; raises as `read_parquet` does."""
    with reading(path):
        with path.open("rb") as source:
            bounds.check_parquet(source, pq.read_metadata(source), schema.names)
            mapped = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)  # of the same file, should it be replaced
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(mapped)))
        found = file.schema_arrow
        if any(name not in found.names or found.field(name).type != schema.field(name).type for name in schema.names):
            raise ValueError(f"its columns are not {', '.join(schema.names)}")
        return file, note_of(found.empty_table(), path, adapter)


@contextmanager
def reading(path: str | Path, columns: Sequence[str] = ()) -> Iterator[None]:
    """Errors of Arrow in the block are FormatErrors that name the table `path`, and its columns if these are given."""
    try:
        yield
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        of = f" of {', '.join(columns)}" if columns else ""
        raise FormatError(f"{path} is not a readable table{of} ({reason_of(error)}).") from error


def put_parquet(table: pa.Table, path: Path) -> None:
    """Write a table uncompressed into the file `path`, which a failure leaves half-written."""
    pq.write_table(table, path, compression="none")


def put_npy(array: NDArray[Any], path: Path) -> None:
    """Write what `numpy.save` does into the file `path`; a full disk is an OSError that says so, which numpy's is not."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(bytes_of(array))


def bytes_of(array: NDArray[Any]) -> memoryview:
    """The numbers of a contiguous array as one sequence, not copied."""
    return array.reshape(-1).data


def with_note(table: pa.Table, note: Mapping[str, Any]) -> pa.Table:
    """The same table with `note`, plain values, in its metadata."""
    return table.replace_schema_metadata({_NOTE: json.dumps(note, sort_keys=True).encode()})


def note_of(table: pa.Table, path: Path, adapter: TypeAdapter[T]) -> T | None:
    """The note of a table that was read from `path`; None where it has none, FormatError when `adapter` refuses it."""
    metadata = table.schema.metadata or {}
    try:
        return None if _NOTE not in metadata else adapter.validate_json(metadata[_NOTE])
    except ValidationError as error:
        raise FormatError(f"What {path} says of itself is damaged or of another version; make it again.") from error


def column_names(path: Path) -> set[str]:
    """Names of the columns of a Parquet file, none for another file; FormatError when it is damaged."""
    if not has_magic(path, b"PAR1"):
        return set()
    try:
        return set(pq.read_schema(path).names)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path} is a damaged Parquet table ({reason_of(error)}).") from error


def describe_table(path: Path) -> Description | None:
    """A Parquet table that no other reader knows."""
    if not column_names(path):
        return None
    file = pq.read_metadata(path)
    names = file.schema.to_arrow_schema().names
    kind = "table of photos without a face" if "reason" in names else "table"
    kind = "rows of embeddings" if path.with_suffix(".npy").is_file() else kind
    return Description(kind, {"rows": file.num_rows, "columns": names, "bytes": size_of(path)})


def describe_array(path: Path) -> Description | None:
    """A .npy file: the list of a bcolz pack, or any array."""
    if not has_magic(path, b"\x93NUMPY"):
        return None
    array = read_npy(path)
    facts = {"shape": list(array.shape), "type": str(array.dtype), "bytes": size_of(path)}
    if array.dtype == bool and array.ndim == 1:
        return Description("list of which pairs are the same person", {**facts, **pair_counts(array)})
    return Description("array without a table of its rows", {**facts, **range_of(array)})


def reason_of(error: Exception) -> str:
    """The first line of an error's message, or its kind, without the full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
