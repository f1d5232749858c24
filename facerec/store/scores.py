"""Scores at rest: every pair of a benchmark with its distance, in scores.parquet, and what they were measured with.

One row a pair: first, second (paths of the photos in their set, null for a photo without a face), first_identity,
second_identity ("" where unknown), same, distance
(smaller is more alike), fold, and the threshold of that fold.
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
from facerec.store import parquet
from facerec.store.embeddings import Origin

NAME = "scores.parquet"

_SCHEMA = pa.schema({"same": pa.bool_(), "distance": pa.float64()})


@dataclass(frozen=True)
class Measured:
    """How the distances of a table came about; `origin` is None for embeddings of unknown making."""

    benchmark: str
    protocol: str
    """Of `facerec.evaluation.verification.protocols`; it says what a distance is."""
    origin: Origin | None


@dataclass(frozen=True)
class Scores:
    """n pairs: distance (n,) float64, same (n,) bool; `measured` is None in tables of earlier versions."""

    distance: NDArray[np.float64]
    same: NDArray[np.bool_]
    measured: Measured | None


_MEASURED = TypeAdapter(Measured)


def write_scores(table: pa.Table, measured: Measured, folder: Path) -> None:
    """Write the table of all pairs into `folder`, which is still being made; not atomic by itself."""
    pq.write_table(parquet.noted(table, asdict(measured)), folder / NAME, compression="none")


def read_scores(path: str | Path) -> Scores:
    """The pairs of scores.parquet, or of the directory that holds it; FormatError when missing or damaged."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    table = parquet.read_parquet(path, _SCHEMA)
    measured = parquet.read_note(path, _MEASURED)
    complete = not any(column.null_count for column in table.columns)
    if not complete or not np.isfinite(distance := table["distance"].to_numpy()).all():
        raise FormatError(f"{path} is damaged: it lacks some numbers; verify again.")
    return Scores(distance, np.asarray(table["same"].to_numpy(), bool), measured)
