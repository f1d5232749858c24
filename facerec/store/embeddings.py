"""Embeddings on disk, and the distances of verification pairs measured with them.

    embeddings = read_embeddings("data/embeddings/lfw.npy")  # .matrix, .sources, .identities

Embeddings are one float32 matrix in NAME.npy and the table of its rows in NAME.parquet, which names the digest of the
matrix, so that files of two runs are not taken for one. scores.parquet has one row a
pair of a benchmark: first, second (paths of the photos in their set, null for a photo without a face), first_identity,
second_identity ("" where unknown), same, distance (smaller is more alike), fold, and the threshold of that fold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter

from facerec.core import (
    Description,
    FormatError,
    atomic_dir,
    atomic_file,
    atomic_link,
    link_or_copy,
    sha256_of_bytes,
    size_of,
    spread_of,
)
from facerec.store import tables

_SCHEMA = pa.schema({"source": pa.string(), "identity": pa.string()})
_PROBES, _DISTRACTORS, _UNCLEANED = "probes.npy", "distractors.npy", "uncleaned.npy"
_MARKS = "noise.parquet"
_MARK_SCHEMA = pa.schema({"row": pa.int64()})
_ROWS = 4096  # of a matrix that are in memory at a time


@dataclass(frozen=True)
class Origin:
    """The model, face set and machine that embeddings come from; only embeddings of one model can be compared.

    Attributes:
        model: digest of the network and its preprocessing (`facerec.embedding.Embedder.digest`).
        dataset: name of the face set.
        rendered: whether that set is known to be rendered, so its people do not exist.
        arithmetic: kind of machine that computed them (`facerec.core.describe_arithmetic`); None where not recorded.
    """

    model: str
    dataset: str
    rendered: bool
    arithmetic: str | None = None


@dataclass(frozen=True)
class _Note:
    """The note of the table: sha256 of the numbers of its matrix, and where they come from."""

    matrix: str
    origin: Origin | None


_NOTE = TypeAdapter(_Note)


@dataclass(frozen=True)
class Embeddings:
    """n embeddings of d numbers, and the photos and people they belong to.

    Attributes:
        matrix: (n, d) float32, not normalised; read from a file it is mapped and cannot be written to. What only
            gives slices of rows, as cleaned distractors do, can be written to a file.
        sources: n paths of the photos inside their set.
        identities: n names, "" where unknown.
        origin: where they come from; None where it was not recorded.
    """

    matrix: NDArray[np.float32]
    sources: list[str]
    identities: list[str]
    origin: Origin | None = None

    def __post_init__(self) -> None:
        shape, rows = self.matrix.shape, len(self.sources)
        if len(shape) != 2 or not shape[0] == rows == len(self.identities):
            raise FormatError(f"a matrix of shape {shape} does not fit a table of {rows} rows; embed again.")

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def arithmetic(self) -> str | None:
        """The kind of machine that computed them, where known."""
        return self.origin.arithmetic if self.origin else None


def write_embeddings(embeddings: Embeddings, path: str | Path, there: BinaryIO | None = None) -> None:
    """Write PATH (.npy) and the table beside it: both whole before the first is renamed, the table last.

    The matrix is not copied; some thousand rows are in memory at a time. If it is `there`, in an open .npy file that
    nobody will change, PATH becomes another name of that file (`facerec.core.atomic_link`).
    """
    path = _npy(path)
    table = pa.table({"source": embeddings.sources, "identity": embeddings.identities})
    numbers = atomic_link(there, path) if there else atomic_file(path)
    with atomic_file(path.with_suffix(".parquet")) as rows, numbers as temporary:
        digest = _digest_of(embeddings.matrix) if there else _put_matrix(embeddings.matrix, temporary)
        tables.put_parquet(tables.with_note(table, asdict(_Note(digest, embeddings.origin))), rows)


def _put_matrix(matrix: NDArray[np.float32], path: Path) -> str:
    """Write the matrix as numpy.save does, whose error of a full disk does not say so; the digest of its numbers."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        file.write(tables.npy_header(matrix.shape))
        for block in _blocks(matrix):
            digest.update(tables.bytes_of(block))
            file.write(tables.bytes_of(block))
    return digest.hexdigest()


def _digest_of(matrix: NDArray[np.float32]) -> str:
    return sha256_of_bytes(tables.bytes_of(matrix))


def _blocks(matrix: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, matrix.shape[0], _ROWS):
        yield np.ascontiguousarray(matrix[start : start + _ROWS], "<f4")


def read_embeddings(path: str | Path) -> Embeddings:
    """Read PATH (.npy) and its table; FormatError when one is missing, damaged or does not belong to the other.

    The matrix stays in its file, mapped into memory. Its digest takes a second for each GB; it is that of the mapped
    numbers, so a file that another process puts in its place meanwhile is noticed too.
    """
    path = _npy(path)
    beside = path.with_suffix(".parquet")
    try:
        mapped = tables.read_npy(path)
        table = tables.read_parquet(beside, _SCHEMA)
        note = tables.note_of(table, beside, _NOTE)
    except FormatError as error:
        raise FormatError(f"cannot read the embeddings {path} ({error}); run the embed stage.") from error
    if mapped.dtype != np.float32:
        raise FormatError(f"{path} holds {mapped.dtype}, but embeddings are float32; embed again.")
    matrix = np.ascontiguousarray(np.asarray(mapped))
    if note is None or _digest_of(matrix) != note.matrix:
        raise FormatError(f"{path} and {beside.name} are not of one run, or one is damaged; embed again.")
    return Embeddings(matrix, table["source"].to_pylist(), table["identity"].to_pylist(), note.origin)


def read_feature_sets(folder: str | Path) -> tuple[Embeddings, Embeddings]:
    """Read the probes and distractors of an identification benchmark, made by one model, from their feature directory.

    Where it has `read_noise_marks`, the distractors are those before the removal of noise.
    """
    others = _UNCLEANED if (Path(folder) / _MARKS).exists() else _DISTRACTORS
    probes, distractors = (read_embeddings(Path(folder) / name) for name in (_PROBES, others))
    if probes.origin and distractors.origin and probes.origin.model != distractors.origin.model:
        raise FormatError(f"the probes and the distractors in {folder} were made by two models; embed both again.")
    return probes, distractors


def write_feature_sets(
    probes: Embeddings, distractors: Embeddings, out: str | Path, there: Sequence[BinaryIO | None] = (None, None)
) -> None:
    """Write the feature directory `out`, which is replaced whole; `there` as of `write_embeddings`."""
    with atomic_dir(out) as folder:
        write_embeddings(probes, folder / _PROBES, there[0])
        write_embeddings(distractors, folder / _DISTRACTORS, there[1])


@dataclass(frozen=True)
class NoiseMarks:
    """Which rows of the distractors are noise, instead of the cleaned distractors themselves.

    Attributes:
        variant: of noise removal (`facerec.evaluation.identification.noise`).
        rows: (k,) int64, ascending.
    """

    variant: str
    rows: NDArray[np.int64]


_VARIANT = TypeAdapter(dict[str, str])


def write_marked_sets(probes: Embeddings, features: Path, marks: NoiseMarks, out: str | Path) -> None:
    """Write the feature directory `out` of cleaned probes and of distractors that stay as they are, with their marks.

    The distractors are those of directory `features`, with which `out` shares the file, so they take no further disk.
    """
    with atomic_dir(out) as folder:
        write_embeddings(probes, folder / _PROBES)
        for suffix in (".npy", ".parquet"):
            link_or_copy((features / _DISTRACTORS).with_suffix(suffix), (folder / _UNCLEANED).with_suffix(suffix))
        tables.write_parquet(pa.table({"row": marks.rows}, _MARK_SCHEMA), folder / _MARKS, {"variant": marks.variant})


def read_noise_marks(folder: str | Path) -> NoiseMarks | None:
    """Read the marks of a feature directory; None where its distractors are cleaned already, or nothing was."""
    path = Path(folder) / _MARKS
    if not path.exists():
        return None
    table = tables.read_parquet(path, _MARK_SCHEMA)
    known = tables.note_of(table, path, _VARIANT)
    if table["row"].null_count or known is None or "variant" not in known:
        raise FormatError(f"{path} is damaged: it does not say which rows are noise; denoise again.")
    return NoiseMarks(known["variant"], table["row"].to_numpy())


def _npy(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".npy":
        raise FormatError(f"embeddings are kept in .npy files, {path} is none.")
    return path


def normalise(rows: ArrayLike, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """(n, d) rows scaled to length 1 in float64, returned as float32; rows of NaN or zeros become NaN.

    They are written to `out`, if given, which may be `rows` itself.

    >>> normalise([[3.0, 4.0]]).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    given = np.asarray(rows)
    unit = np.empty(given.shape, np.float32) if out is None else out
    for start in range(0, len(given), _ROWS):
        wide = np.asarray(given[start : start + _ROWS], dtype=np.float64)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        unit[start : start + _ROWS] = np.divide(wide, norms, out=np.full_like(wide, np.nan), where=norms > 0)
    return unit


def describe_embeddings(path: Path) -> Description | None:
    """A matrix of embeddings, told from other .npy files by the table beside it."""
    if path.suffix != ".npy" or not path.with_suffix(".parquet").is_file():
        return None
    found = read_embeddings(path)
    norms = np.linalg.norm(found.matrix.astype(np.float64), axis=1)
    finite = np.isfinite(norms)
    facts = {
        "embeddings": len(found),
        "dimensions": found.matrix.shape[1],
        "without_face": int((~finite).sum()) or None,
        "norms": spread_of(norms[finite]),
        **_people([name for name in found.identities if name]),
        "bytes": size_of(path),
        "names": found.sources[:5],
    }
    return Description("embeddings", facts)


def describe_feature_sets(path: Path) -> Description | None:
    """A feature directory."""
    if not (path / _PROBES).is_file():
        return None
    probes, distractors = read_feature_sets(path)
    facts = {"probes": len(probes), **_people(probes.identities), "distractors": len(distractors)}
    marks = read_noise_marks(path)
    facts |= {"marked_as_noise": len(marks.rows) if marks else None}
    facts |= {"dimensions": probes.matrix.shape[1], "bytes": size_of(path)}
    return Description("features of an identification benchmark", facts)


def _people(identities: list[str]) -> dict[str, Any]:
    _, counts = np.unique(identities, return_counts=True)
    images = {"images_per_identity": spread_of(counts)} if len(counts) else {}
    return {"identities": len(counts) or "unknown", **images}


SCORES = "scores.parquet"

_SCORE_SCHEMA = pa.schema({"same": pa.bool_(), "distance": pa.float64()})


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
    """Write the table of all pairs into `folder`."""
    tables.write_parquet(table, folder / SCORES, asdict(measured))


def read_scores(path: str | Path) -> Scores:
    """Read scores.parquet, named itself or by its directory; FormatError when it is missing or damaged."""
    path = Path(path)
    path = path / SCORES if path.is_dir() else path
    table = tables.read_parquet(path, _SCORE_SCHEMA)
    measured = tables.note_of(table, path, _MEASURED)
    complete = not any(column.null_count for column in table.columns)
    if not complete or not np.isfinite(distance := table["distance"].to_numpy()).all():
        raise FormatError(f"{path} is damaged: it lacks some numbers; verify again.")
    return Scores(distance, np.asarray(table["same"].to_numpy(), bool), measured)
