"""Scores on disk: the pairs of a benchmark with their distances, in scores.parquet.

One row a pair: first, second (paths of the photos in their set, null for a photo without a face), first_identity,
second_identity ("" where unknown), same, distance (smaller is more alike), fold, and the threshold of that fold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter

from facerec.core import FormatError
from facerec.store import tables
from facerec.store.embeddings import Origin

NAME = "scores.parquet"

_SCHEMA = pa.schema({"same": pa.bool_(), "distance": pa.float64()})


@dataclass(frozen=True)
class Measured:
    """The measurement that gave the distances of a table.

    Attributes:
        benchmark: its name.
        protocol: one of `facerec.evaluation.verification.PROTOCOLS`, which defines the distance.
        origin: model and face set of the embeddings; None where they were not recorded.
    """

    benchmark: str
    protocol: str
    origin: Origin | None


@dataclass(frozen=True)
class Scores:
    """n pairs: distance (n,) float64, same (n,) bool; `measured` is None in tables of earlier versions."""

    distance: NDArray[np.float64]
    same: NDArray[np.bool_]
    measured: Measured | None


_MEASURED = TypeAdapter(Measured)


def write_scores(table: pa.Table, measured: Measured, folder: Path) -> None:
    """Write the table of all pairs into a `folder` in the making; not atomic by itself."""
    pq.write_table(tables.with_note(table, asdict(measured)), folder / NAME, compression="none")


def read_scores(path: str | Path) -> Scores:
    """Read scores.parquet, named itself or by its directory; FormatError when it is missing or damaged."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    table = tables.read_parquet(path, _SCHEMA)
    measured = tables.read_note(path, _MEASURED)
    complete = not any(column.null_count for column in table.columns)
    if not complete or not np.isfinite(distance := table["distance"].to_numpy()).all():
        raise FormatError(f"{path} is damaged: it lacks some numbers; verify again.")
    return Scores(distance, np.asarray(table["same"].to_numpy(), bool), measured)
