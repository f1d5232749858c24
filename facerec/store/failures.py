"""Photos that gave no face: `failures.parquet` beside the shards of a face set, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from facerec.core import FormatError
from facerec.store import parquet

NAME = "failures.parquet"
_SCHEMA = pa.schema({name: pa.string() for name in ("source", "identity", "category", "reason")})


@dataclass(frozen=True)
class Failure:
    """A photo without a face: its path in the set, whose it is, and why it was left out."""

    source: str
    identity: str
    category: str
    """A word to count by: "undecodable", "no-face" or "landmarks" (found, but such as no crop can be made of)."""
    reason: str
    """One sentence."""


def write_failures(failures: Iterable[Failure], folder: Path) -> None:
    """Write the table into face set `folder`, which is still being made; not atomic by itself."""
    table = pa.Table.from_pylist([asdict(failure) for failure in failures], _SCHEMA)
    pq.write_table(table, folder / NAME, compression="none")


def read_failures(folder: str | Path) -> list[Failure]:
    """The failures of a face set in photo order; none for a set that was not made from photos."""
    path = Path(folder) / NAME
    if not path.exists():
        return []
    rows = parquet.read_parquet(path, _SCHEMA).to_pylist()
    if any(value is None for row in rows for value in row.values()):
        raise FormatError(f"{path} is damaged: some texts are missing; align the photos again.")
    return [Failure(**row) for row in rows]
