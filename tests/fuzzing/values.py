"""Ways to spoil values instead of bytes: files that are well formed and hold what no honest program writes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

Files = Mapping[str, bytes]

TEXTS = (
    "",
    "x" * 10_000,
    "\x1b[31mred\x1b[0m",
    "[bold]",
    "[",
    "a\nb\r\u2028c",
    "../../etc/passwd",
    "\0",
    "<script>",
    "ß\u202e",
)
_NUMBERS = (0, -1, 1, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63), 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"))
_DEEP: list[Any] = []
for _ in range(300):
    _DEEP = [_DEEP]
_PLAIN = (None, True, {}, [], (), "", b"x", 3 + 4j, {1: 2}, {"name": "x"}, [[1], "a"], _DEEP, 10**6000)


# Tables

_TYPES = (
    pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.null(),
    pa.large_string(), pa.binary(), pa.binary(4), pa.date32(), pa.timestamp("ns", "UTC"), pa.decimal128(38, 3),
    pa.list_(pa.float32()), pa.large_list(pa.int64()), pa.list_(pa.float32(), 3), pa.list_(pa.string()),
    pa.dictionary(pa.int8(), pa.string()), pa.struct({"a": pa.int32()}), pa.map_(pa.string(), pa.int32()),
)  # fmt: skip


def spoil_table(files: Files, rng: Random) -> Files:
    """One table of the files with some columns of other types, values or lengths, written in some other way."""
    name = rng.choice(sorted(name for name, data in files.items() if data.startswith(b"PAR1")))
    table = pq.read_table(io.BytesIO(files[name]))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        table = rng.choice((_other_type, _other_values, _other_values, _nulls, _other_columns, _other_rows))(table, rng)
    written = io.BytesIO()
    options: dict[str, Any] = {
        "compression": rng.choice(("none", "snappy", "gzip", "zstd", "lz4", "brotli")),
        "data_page_version": rng.choice(("1.0", "2.0")),
        "use_dictionary": rng.random() < 0.7,
        "row_group_size": rng.choice((1, 2, 1 << 20)),
        "store_schema": rng.random() < 0.7,
        "write_page_checksum": rng.random() < 0.2,
    }
    try:
        pq.write_table(table.slice(0, 200_000 if options["row_group_size"] > 2 else 20), written, **options)
    except (pa.ArrowException, OSError):  # types that Parquet does not have
        return files
    return {**files, name: written.getvalue()}


def _column(values: list[Any], kind: pa.DataType) -> pa.Array | None:
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _replaced(table: pa.Table, number: int, column: pa.Array | None) -> pa.Table:
    return table if column is None else table.set_column(number, table.column_names[number], column)


def _other_type(table: pa.Table, rng: Random) -> pa.Table:
    number, kind = rng.randrange(max(table.num_columns, 1)), rng.choice(_TYPES)
    if not table.num_columns:
        return table
    try:
        return _replaced(table, number, table.column(number).cast(kind))
    except pa.ArrowException:
        filler = rng.choice((None, 1, "x", [1.0], [], b"abcd", {"a": 1}))
        return _replaced(table, number, _column([filler] * len(table), kind))


def _other_values(table: pa.Table, rng: Random) -> pa.Table:
    if not table.num_columns or not len(table):
        return table
    number = rng.randrange(table.num_columns)
    values = table.column(number).to_pylist()
    for _ in range(rng.choice((1, len(values)))):
        strange: Any = rng.choice((*_NUMBERS, *TEXTS, [], [1.0], [float("nan")] * 4, [None], [1e30] * 10_000))
        values[rng.randrange(len(values))] = strange if rng.random() < 0.8 else rng.choice(values)
    return _replaced(table, number, _column(values, table.schema.types[number]))


def _nulls(table: pa.Table, rng: Random) -> pa.Table:
    if not table.num_columns:
        return table
    number = rng.randrange(table.num_columns)
    values = [None if rng.random() < 0.5 else value for value in table.column(number).to_pylist()]
    return _replaced(table, number, _column(values, table.schema.types[number]))


def _other_columns(table: pa.Table, rng: Random) -> pa.Table:
    names = list(table.column_names)
    if not names:
        return table
    name = rng.choice(names)
    if rng.random() < 0.5 and names.count(name) == 1:
        return table.drop_columns([name]) if rng.random() < 0.5 else table.append_column(name, table.columns[0])
    return table.rename_columns([rng.choice((*TEXTS, *names)) if each == name else each for each in names])


def _other_rows(table: pa.Table, rng: Random) -> pa.Table:
    """No rows, some of them, in another order, or the same again and again."""
    if not len(table):
        return table
    count = rng.choice((0, 1, len(table), 3 * len(table), 20_000))
    mixed = [rng.randrange(len(table)) for _ in range(min(count, 100))]
    return table.take(np.resize(np.array(mixed, int), count))


# Torch files


def spoil_weights(files: Files, rng: Random) -> Files:
    """A torch file of the files with some values of its dictionary changed, added or left out."""
    name = rng.choice(sorted(name for name in files if name.endswith(".pt")))
    content = torch.load(io.BytesIO(files[name]), weights_only=True)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _spoil_key(content, rng)
    written = io.BytesIO()
    old = rng.random() < 0.2
    try:
        torch.save(content, written, _use_new_zipfile_serialization=not old)
    except (RuntimeError, RecursionError, NotImplementedError):
        return files
    return {**files, name: written.getvalue()}


def _spoil_key(content: dict[Any, Any], rng: Random) -> None:
    """Change one entry, mostly near the top: a file has hundreds of weights and few other values."""
    while True:
        key = rng.choice(list(content)) if content else "x"
        value = content.get(key)
        if not isinstance(value, dict) or not value or rng.random() < 0.3:
            break
        content = value
    what = rng.random()
    if what < 0.2:
        content.pop(key, None)
    elif what < 0.3:
        content[rng.choice((*TEXTS, 3, None, ("a", 1)))] = content.pop(key, 1)
    elif isinstance(value, torch.Tensor) and what < 0.8:
        content[key] = rng.choice(_TENSORS)(value)
    else:
        content[key] = rng.choice((*_PLAIN, *_NUMBERS, *TEXTS, torch.zeros(2)))


_TENSORS = (
    lambda tensor: tensor.double(),
    lambda tensor: tensor.reshape(-1),
    lambda tensor: tensor[..., None],
    lambda tensor: tensor.new_zeros(0),
    lambda tensor: tensor * float("nan"),
    lambda tensor: tensor.to(torch.complex64),
    lambda tensor: tensor.to_sparse(),
    lambda tensor: torch.zeros(1).expand(100_000, 100_000),
    lambda tensor: torch.zeros(()).expand(tensor.shape),
    lambda tensor: tensor.to("meta"),
    lambda tensor: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
    partial(torch.nn.Parameter, requires_grad=False),
)
