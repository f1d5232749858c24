"""Parquet tables of unknown origin: types are brought to ours, everything else is refused in one line."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError
from facerec.store import bounds, tables

SCHEMA = pa.schema({"source": pa.string(), "photo": pa.int64()})


def test_columns_come_in_our_order_and_types(tmp_path):
    path = tmp_path / "x.parquet"
    columns = {
        "photo": pa.array([1, 2], pa.int32()),
        "other": [0, 0],
        "source": pa.array(["a", "b"], pa.large_string()),
    }
    pq.write_table(pa.table(columns), path, row_group_size=1)
    table = tables.read_parquet(path, SCHEMA)
    assert table.schema == SCHEMA
    assert table.to_pydict() == {"source": ["a", "b"], "photo": [1, 2]}
    assert table["photo"].num_chunks == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"source": ["a"]},
        {"source": ["a"], "photo": ["one"]},
        {"source": pa.array([b"\xff\xfe"]).view(pa.string()), "photo": [1]},
    ],
)
def test_other_columns_and_bytes_that_are_no_text_are_refused(tmp_path, columns):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(FormatError, match="not a readable table of source, photo"):
        tables.read_parquet(path, SCHEMA)


@pytest.mark.parametrize("data", [None, b"", b"PAR1", b"no parquet\nat all"])
def test_what_is_no_parquet_file_is_refused_in_one_line(tmp_path, data):
    path = tmp_path / "x.parquet"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(FormatError, match="not a readable table") as caught:
        tables.read_parquet(path, SCHEMA)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(tmp_path, monkeypatch):
    path, check = tmp_path / "x.parquet", bounds.check_parquet
    tables.write_parquet(pa.table({"source": ["a"] * 100, "photo": range(100)}), path)

    def replace_then_check(*arguments):
        tables.write_parquet(pa.table({"source": ["b"], "photo": [7]}), path)
        return check(*arguments)

    monkeypatch.setattr(bounds, "check_parquet", replace_then_check)
    assert set(tables.read_parquet(path, SCHEMA)["source"].to_pylist()) == {"a"}
    monkeypatch.undo()
    assert tables.read_parquet(path, SCHEMA)["source"].to_pylist() == ["b"]
