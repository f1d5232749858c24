"""Galleries: named embeddings of known people in one small Parquet file.

One row a photo: name, source (path of the photo), photo (sha256 of its bytes), embedding (float32, length 1), score
(of the detector; null where unknown), rung (how the face was found), face (the aligned crop as JPEG; null where it
is not kept). A note in the file names the model that made the embeddings. The bytes of the file depend on its
contents only, not on the order in which people were added.

The note also logs removals, so that an enrolment that began before somebody was removed does not bring them back. Of the
removed it keeps a salted digest of the name: who guesses a name can confirm the guess, and nothing else is left.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from facerec.core import Description, FormatError, sha256_of_bytes, size_of
from facerec.store import tables
from facerec.store.model_metadata import TrainingSet, describe_training_sets

VERSION = 2
"""Files of version 1, which have no log of removals, are read too."""

_MOST = 1 << 16  # largest dimension of an embedding
_LENGTH = 1e-3  # largest difference of a stored embedding's length from 1

_SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "source": pa.string(),
        "photo": pa.string(),
        "embedding": pa.list_(pa.float32()),
        "score": pa.float32(),
        "rung": pa.string(),
        "face": pa.binary(),
    }
)
_OPTIONAL = {"score", "face"}
_GROUP, _BLOCK = 1024, 4096  # rows of a row group, and rows that are searched at a time
_LACKS = "{} is damaged: it lacks parts of some photos; enroll them again."


@dataclass(frozen=True)
class GalleryModel:
    """The model that made the embeddings of a gallery; only its embeddings can be compared with them.

    Attributes:
        digest: of the network and its preprocessing (`facerec.embedding.Embedder.digest`).
        dim: dimension of an embedding.
        preprocessing: of the faces, as `Preprocessing.to_dict` gives it.
        trained_on: face sets that the network was trained on; None where they were not recorded.
    """

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dim: Annotated[int, Field(ge=1, le=_MOST)]
    preprocessing: dict[str, Any]
    trained_on: tuple[TrainingSet, ...] | None = None


@dataclass(frozen=True)
class GalleryEntry:
    """One photo of one person: `embedding` (dim,) float32 of length 1, `photo` the sha256 of its bytes."""

    name: str
    source: str
    photo: str
    embedding: NDArray[np.float32]
    score: float | None
    rung: str
    face: bytes | None = None


@dataclass(frozen=True)
class Removal:
    """That a person was removed, by a salted digest of the name; one in the log for each time."""

    salt: str
    digest: str

    @classmethod
    def of(cls, name: str) -> Removal:
        """That `name` is removed now."""
        salt = secrets.token_hex(16)
        return cls(salt, sha256_of_bytes(f"{salt}{name}".encode()))

    def is_of(self, name: str) -> bool:
        """Whether it is this person who was removed."""
        return sha256_of_bytes(f"{self.salt}{name}".encode()) == self.digest


@dataclass(frozen=True)
class Gallery:
    """The photos of a gallery, sorted by name and source, each photo once, and the log of removals."""

    model: GalleryModel
    entries: tuple[GalleryEntry, ...] = ()
    removals: tuple[Removal, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def people(self) -> dict[str, int]:
        """Number of photos by name, sorted by name."""
        return dict(Counter(entry.name for entry in self.entries))

    def blocks(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """All names and embeddings at once, as `StoredGallery.blocks` gives them some at a time."""
        yield [entry.name for entry in self.entries], self.matrix

    def entries_of(self, rows: Iterable[int]) -> dict[int, GalleryEntry]:
        """The entries of some rows."""
        return {row: self.entries[row] for row in rows}

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """(n, dim) embeddings of length 1, in the order of `entries`."""
        rows = [entry.embedding for entry in self.entries]
        return np.stack(rows) if rows else np.empty((0, self.model.dim), np.float32)

    def with_entries(self, added: Iterable[GalleryEntry]) -> Gallery:
        """A gallery with these photos added; a photo that it has already, under any name, is replaced."""
        by_photo = {entry.photo: entry for entry in (*self.entries, *added)}
        return replace(self, entries=tuple(sorted(by_photo.values(), key=_order)))

    def without(self, name: str) -> Gallery:
        """A gallery without the photos of the person `name`, which logs the removal."""
        kept = tuple(entry for entry in self.entries if entry.name != name)
        return replace(self, entries=kept, removals=(*self.removals, Removal.of(name)))

    def removed_since(self, earlier: Gallery, names: Iterable[str]) -> set[str]:
        """Those of `names` who were removed after the gallery was read as `earlier`."""
        later = set(self.removals) - set(earlier.removals)
        return {name for name in set(names) if any(removal.is_of(name) for removal in later)}


def _order(entry: GalleryEntry) -> tuple[str, str, str]:
    return entry.name, entry.source, entry.photo


@dataclass(frozen=True)
class _Note:
    """The note in the file."""

    gallery: int
    model: GalleryModel
    removals: tuple[Removal, ...] = ()


_NOTE = TypeAdapter(_Note)


def write_gallery(gallery: Gallery, path: str | Path) -> None:
    """Write the gallery atomically as a new file, so nothing that was removed stays in it, nor where a link leads to.

    To change a gallery that others may change too, hold `facerec.core.exclusive` from reading to writing it.
    """
    note = asdict(_Note(VERSION, gallery.model, gallery.removals))
    starts = range(0, max(len(gallery), 1), _GROUP)  # an empty gallery is one empty group
    groups = (_group(gallery.entries[start : start + _GROUP]) for start in starts)
    tables.write_row_groups(groups, _SCHEMA, Path(path).resolve(), note)


def _group(entries: tuple[GalleryEntry, ...]) -> pa.Table:
    table = pa.Table.from_pylist([{**vars(entry), "embedding": None} for entry in entries], _SCHEMA)
    ends = np.cumsum([0, *(len(entry.embedding) for entry in entries)], dtype=np.int32)
    flat = np.concatenate([entry.embedding for entry in entries]) if entries else np.empty(0, np.float32)
    place = _SCHEMA.get_field_index("embedding")
    return table.set_column(place, _SCHEMA.field(place), pa.ListArray.from_arrays(ends, pa.array(flat, pa.float32())))


class StoredGallery:
    """A gallery in a file that is searched as it lies there, mapped into memory, some rows at a time.

    Memory is bounded by a few thousand rows, not by the gallery. Another file may take its place meanwhile; this one
    stays open. Raises FormatError when it is missing, damaged, no gallery or of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _check_there(self.path)
        opened = tables.open_row_groups(self.path, _SCHEMA, _NOTE)
        self._file = opened[0]
        self.model = _checked_note(opened[1], self.path).model

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def blocks(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Names (n) and embeddings (n, dim) of length 1, in the order of the file; FormatError where they are damaged."""
        with tables.reading(self.path):
            for batch in self._file.iter_batches(_BLOCK, columns=["name", "embedding"]):
                if batch["name"].null_count:
                    raise FormatError(_LACKS.format(self.path))
                yield batch["name"].to_pylist(), _matrix(batch["embedding"], self.model.dim, self.path)

    def entries_of(self, rows: Iterable[int]) -> dict[int, GalleryEntry]:
        """The entries of some rows; only the groups of rows that hold them are read."""
        wanted, found, start = sorted(rows), dict[int, GalleryEntry](), 0
        for group in range(self._file.num_row_groups):
            end = start + self._file.metadata.row_group(group).num_rows
            here = [row for row in wanted if start <= row < end]
            if here:
                with tables.reading(self.path):
                    table = self._file.read_row_group(group).take([row - start for row in here]).cast(_SCHEMA)
                plain = _rows(table, self.model.dim, self.path)
                found |= {row: GalleryEntry(**each) for row, each in zip(here, plain, strict=True)}
            start = end
        return found


def read_gallery(path: str | Path) -> Gallery:
    """Read the gallery `path`; FormatError when it is missing, damaged, no gallery or of another version."""
    path = Path(path)
    _check_there(path)
    table = tables.read_parquet(path, _SCHEMA)
    note = _checked_note(tables.note_of(table, path, _NOTE), path)
    entries = tuple(GalleryEntry(**row) for row in _rows(table, note.model.dim, path))
    if any(not _order(a) < _order(b) for a, b in pairwise(entries)):
        raise FormatError(f"{path} is damaged: its photos are not in order; enroll them again.")
    return Gallery(note.model, entries, note.removals)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FormatError(f"there is no gallery {path}; make it with `facerec enroll {path} PHOTOS`.")


def _checked_note(note: _Note | None, path: Path) -> _Note:
    if note is None:
        raise FormatError(f"{path} is a table, but no gallery of facerec.")
    if note.gallery not in (1, VERSION):
        raise FormatError(f"{path} is a gallery of version {note.gallery}, this program reads 1 and {VERSION}.")
    return note


def describe_gallery(path: Path) -> Description | None:
    """Who is in a gallery, with the faces it keeps."""
    if not set(_SCHEMA.names) <= tables.column_names(path):
        return None
    found = read_gallery(path)
    kept = [(entry.source, entry.face) for entry in found.entries if entry.face is not None]
    facts = {
        "people": found.people,
        "photos": len(found),
        "dimensions": found.model.dim,
        "model": found.model.digest,
        "trained_on": describe_training_sets(found.model.trained_on),
        "rungs": dict(Counter(entry.rung for entry in found.entries)),
        "faces_kept": len(kept),
        "bytes": size_of(path),
    }
    return Description("gallery", facts, shown=kept)


def _rows(table: pa.Table, dim: int, path: Path) -> list[dict[str, Any]]:
    """The columns of every entry; FormatError for damaged values."""
    if any(name not in _OPTIONAL and table[name].null_count for name in table.column_names):
        raise FormatError(_LACKS.format(path))
    matrix = _matrix(table["embedding"].combine_chunks(), dim, path)
    rows: list[dict[str, Any]] = table.drop_columns(["embedding"]).to_pylist()
    return [{**row, "embedding": embedding} for row, embedding in zip(rows, matrix, strict=True)]


def _matrix(column: pa.ListArray, dim: int, path: Path) -> NDArray[np.float32]:
    """(n, dim) embeddings of length 1; FormatError where they are damaged."""
    if column.null_count or not pc.all(pc.equal(pc.list_value_length(column), dim), min_count=0).as_py():
        raise FormatError(_LACKS.format(path))
    matrix = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(-1, dim)
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) < _LENGTH).all():  # not true of NaN either
        raise FormatError(f"{path} is damaged: its embeddings are not of length 1; enroll the photos again.")
    return matrix
