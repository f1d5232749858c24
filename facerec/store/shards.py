"""Photo and face shards, the form in which the pipeline keeps images: a directory of memory-mapped Arrow IPC files.

    faces = read_shards("data/faces/lfw")  # faces.image(0), faces.labels, faces.identities, faces.sources

A set is `part-00000.arrow`, `part-00001.arrow`, ... of about 256 MB each, uncompressed, in batches of at most 256 rows,
so that any image can be reached without copying or decompressing its neighbours. The `Meta` of the set is in the schema
of every part, and the last batch of the last part says that it is the last, so a missing part is noticed. Other files
may lie beside the parts: pairs, lists, and failures.parquet with the photos that gave no face. The digest of that table
is in the last batch, since without it, or with that of another run, a benchmark would count other photos.
`facerec.store.shard_writing` writes all this.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from facerec.core import FileMap, FormatError, map_file, read_ahead, sha256_of_file
from facerec.store import bounds, tables

VERSION = 1
_META_KEY = b"facerec"
LONGEST_SIDE = 4096
"""Pixels of an aligned face; a reader allocates whole batches of the size in the metadata."""
FAILURES_KEY = "facerec.failures"
"""Where the last batch keeps the digest of the table of failures."""

_PHOTO_FIELDS = [
    pa.field("image", pa.binary(), nullable=False),
    pa.field("label", pa.int64(), nullable=False),
    pa.field("identity", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("box", pa.list_(pa.float32(), 4)),
    pa.field("landmarks", pa.list_(pa.list_(pa.float32(), 2), 5)),
]
_FIELDS = {
    "photos": _PHOTO_FIELDS,
    "faces": [*_PHOTO_FIELDS, pa.field("score", pa.float32()), pa.field("rung", pa.string())],
}
SHAPES = {"box": (4,), "landmarks": (5, 2)}
"""Of an array in a column."""


@dataclass(frozen=True)
class Meta:
    """Metadata of a set, which a reader checks first; stored in the schema of every part.

    Attributes:
        kind: "photos" or "faces".
        dataset: name of the set.
        licence: its licence, "" where unknown.
        size: (height, width) of aligned faces in pixels; None for photos.
        colour: channel order of the decoded pixels.
        template: alignment of the faces, such as "arcface-112"; "" for photos.
        version: of the format.
    """

    kind: str
    dataset: str
    licence: str = ""
    size: tuple[int, int] | None = None
    colour: str = "RGB"
    template: str = ""
    version: int = VERSION


_META = TypeAdapter(Meta)


class Shards:
    """An open set: columns as lists and arrays, images as views into the mapped files.

    A column is read and checked when it is first used, an image whenever it is: FormatError where a part is damaged.
    `failures` is the digest of the table of photos without a face; None for a set that was not made from photos.
    Pickles as its path, so passing a set to worker processes is cheap.
    """

    def __init__(
        self, path: Path, meta: Meta, batches: list[pa.RecordBatch], maps: list[FileMap], failures: str | None = None
    ) -> None:
        self.path = path
        self.meta = meta
        self.failures = failures
        self._batches, self._maps, self._columns = batches, maps, dict[str, pa.ChunkedArray]()
        self._in_order = True
        self._images = [_views(batch.column("image")) for batch in batches]
        self._starts = [0, *accumulate(len(batch) for batch in batches)]
        self._read_ahead(True)

    def __len__(self) -> int:
        return self._starts[-1]

    def __reduce__(self) -> tuple[Any, ...]:
        return read_shards, (self.path, self.meta.kind)

    def expect_any_order(self) -> None:
        """Read no more of the disk than the images asked for; else the system reads ahead, for those in order."""
        self._in_order = False
        self._read_ahead(False)

    def _read_ahead(self, wanted: bool) -> None:
        for data in self._maps:
            read_ahead(data, wanted)

    def image(self, index: int) -> memoryview:
        """Encoded bytes of image `index` (0-based), a read-only view into the file."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)} in {self.path}")
        batch = bisect_right(self._starts, index) - 1
        offsets, data = self._images[batch]
        row = index - self._starts[batch]
        start, stop = offsets[row], offsets[row + 1]
        if not 0 <= start <= stop <= len(data):
            raise self._damaged("image", f"image {index} lies outside its file")
        return data[start:stop]

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of all rows in a chunk a batch; between the images of a large set, only its own pages are read."""
        if name not in self._columns:
            self._read_ahead(False)
            try:
                chunks = [_checked(batch, name) for batch in self._batches]
            except pa.ArrowException as error:
                raise self._damaged(name, tables.reason_of(error)) from error
            finally:
                self._read_ahead(self._in_order)
            self._columns[name] = pa.chunked_array(chunks)
        return self._columns[name]

    def rows(self, wanted: range, names: Sequence[str]) -> pa.Table:
        """Columns of consecutive rows; no others are read."""
        pieces, first = [], max(0, bisect_right(self._starts, wanted.start) - 1)
        for batch, start in zip(self._batches[first:], self._starts[first:], strict=False):
            if start >= wanted.stop:
                break
            skipped = max(0, wanted.start - start)
            pieces.append(batch.select(names).slice(skipped, wanted.stop - start - skipped))
        try:
            checked = [_checked_batch(piece) for piece in pieces]
        except pa.ArrowException as error:
            raise self._damaged(" or ".join(names), tables.reason_of(error)) from error
        return pa.Table.from_batches(checked, self._batches[0].select(names).schema)

    def find(self, sources: pa.ChunkedArray | Sequence[str]) -> NDArray[np.int64]:
        """(n,) rows of n images by their paths inside the set; FormatError where it lacks one."""
        wanted = sources if isinstance(sources, pa.ChunkedArray) else pa.array(sources, pa.string())
        found = pc.index_in(wanted, self.column("source"))
        if found.null_count:
            raise FormatError(f"{self.path} lacks {found.null_count} of {len(found)} images; these are of another set.")
        return np.asarray(found.to_numpy(), np.int64)

    def _damaged(self, column: str, reason: str) -> FormatError:
        return FormatError(f"{self.path} is damaged or cut short in its column {column} ({reason}); make it again.")

    @cached_property
    def table(self) -> pa.Table:
        """All columns; for one or two of them, `column` reads less."""
        schema = self._batches[0].schema
        return pa.Table.from_arrays([self.column(name) for name in schema.names], schema=schema)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(n,) identity numbers, -1 where unknown."""
        return np.asarray(self.column("label").to_numpy(), dtype=np.int64)

    @cached_property
    def identities(self) -> list[str]:
        """n identity names, "" where unknown."""
        return list(self.column("identity").to_pylist())

    @cached_property
    def sources(self) -> list[str]:
        """n paths inside the set, '/' separated."""
        return list(self.column("source").to_pylist())

    @property
    def classes(self) -> int:
        """Number of distinct known labels."""
        return len(np.unique(self.labels[self.labels >= 0]))

    def row(self, index: int) -> dict[str, Any]:
        """Row `index`: image as a view, box (4,) and landmarks (5, 2) float32 or None, the rest plain."""
        image = self.image(index)
        names = [name for name in self._batches[0].schema.names if name != "image"]
        row = self.rows(range(index, index + 1), names).to_pylist()[0]
        for name in SHAPES:
            row[name] = None if row[name] is None else np.array(row[name], np.float32)
        return {"image": image, **row}


def read_shards(path: str | Path, kind: str | None = None) -> Shards:
    """Open the set in directory `path`; data are loaded, and checked, when they are used.

    Of a large set no more is read than a page of every batch, 0.2 % of one of aligned faces. Raises FormatError when it
    is no set of facerec, not of `kind`, of another version, not RGB, or when a part is missing, cut short or of another
    set.
    """
    path = Path(path)
    parts = paths_of_parts(path)
    meta, batches, ended, data = _open(parts[0])
    maps = [data]
    for part in parts[1:]:
        if ended:
            raise FormatError(f"{part} does not belong to the set before it; make {path} again.")
        other, more, ended, data = _open(part)
        if other != meta:
            raise FormatError(f"{part} and {parts[0].name} describe different sets; make {path} again.")
        batches += more
        maps.append(data)
    if not ended:
        raise FormatError(f"{path} ends after {parts[-1].name} but had more parts; make it again.")
    if kind is not None and meta.kind != kind:
        raise FormatError(f"{path} holds {meta.kind}, but {kind} are needed here.")
    return Shards(path, meta, batches, maps, ended.get(FAILURES_KEY))


def part_name(number: int) -> str:
    """File name of part `number`."""
    return f"part-{number:05d}.arrow"


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """How many times larger than `wanted` a face of `size` is in both directions; 0 where it is no multiple.

    >>> reduction((224, 224), (112, 112)), reduction((112, 112), (112, 96))
    (2, 0)
    """
    scale = size[0] // wanted[0]
    return scale if size == (scale * wanted[0], scale * wanted[1]) else 0


def schema_of(meta: Meta) -> pa.Schema:
    """The columns of a set and its metadata; FormatError for impossible metadata."""
    if meta.kind not in _FIELDS:
        raise FormatError(f"a set holds photos or faces, not {meta.kind!r}.")
    if (meta.kind == "faces") != (meta.size is not None):
        raise FormatError(f"a set of {meta.kind} cannot have the size {meta.size}.")
    if meta.colour != "RGB" or meta.version != VERSION:
        raise FormatError(f"only RGB and version {VERSION} are written, not {meta.colour}, {meta.version}.")
    encoded = json.dumps(asdict(meta), sort_keys=True)
    return pa.schema(_FIELDS[meta.kind], metadata={_META_KEY: encoded.encode()})


def _views(column: pa.Array) -> tuple[memoryview, memoryview]:
    """Offsets (int32) and bytes of a binary column in the file: ten times as fast as access through scalars."""
    _, offsets, data = (memoryview(buffer or b"").cast("B").toreadonly() for buffer in column.buffers())
    return offsets.cast("i"), data


def is_shard_set(path: str | Path) -> bool:
    """Whether `path` is a directory with shards; `read_shards` tells whether they are sound."""
    return any(Path(path).glob("part-*.arrow"))


def paths_of_parts(path: Path) -> list[Path]:
    """The files of a set in order; FormatError where one is missing."""
    parts = sorted(path.glob("part-*.arrow"))
    if not parts:
        raise FormatError(f"{path} holds no shards (part-00000.arrow, ...); run the stage that makes it.")
    for number, part in enumerate(parts):
        if part.name != part_name(number):
            raise FormatError(f"{path} lacks {part_name(number)}; make it again.")
    return parts


def _open(part: Path) -> tuple[Meta, list[pa.RecordBatch], dict[str, str], FileMap]:
    """Meta of one part, its batches, what the last batch of its set says (nothing in other parts), and the mapped file.

    Batches are views of the mapped file, so a set takes no more memory than its files are long.
    """
    try:
        data = map_file(part)
        reader = pa.ipc.open_file(pa.py_buffer(data))
        bounds.check_uncompressed(data)
        meta = _meta(reader.schema, part)
        count = reader.num_record_batches
        if not count:
            raise pa.ArrowInvalid("it has no batches")
        batches = [reader.get_batch(number) for number in range(count - 1)]
        last, custom = reader.get_batch_with_custom_metadata(count - 1)
        batches.append(last)
        for batch in batches:
            _check_images(batch)
        ending = {key.decode(): value.decode() for key, value in (custom or {}).items()}
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise FormatError(f"{part} is damaged or cut short ({tables.reason_of(error)}); make it again.") from error
    return meta, batches, ending, data


def _check_images(batch: pa.RecordBatch) -> None:
    """Raise ArrowInvalid where images are null or there are fewer offsets than images; none of them is read."""
    images = batch.column("image")
    _, offsets, _ = images.buffers()
    if images.null_count or images.offset or (offsets.size if offsets else 0) < 4 * (len(images) + 1 if images else 0):
        raise pa.ArrowInvalid("it has fewer images than rows")


def _checked(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column; ArrowInvalid where an offset leads out of the file, a name is no text, or a required value is null.

    Arrow itself trusts offsets and would read any memory. No image is read.
    """
    column = batch.column(name)
    column.validate(full=True)
    if column.null_count and not batch.schema.field(name).nullable:
        raise pa.ArrowInvalid(f"{name} is null in some rows")
    return column


def _checked_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    for name in batch.schema.names:
        _checked(batch, name)
    return batch


def _meta(schema: pa.Schema, part: Path) -> Meta:
    encoded = (schema.metadata or {}).get(_META_KEY)
    if encoded is None:
        raise FormatError(f"{part} is an Arrow file, but not one of facerec's shards.")
    try:
        meta = _META.validate_json(encoded, strict=True)
    except ValidationError as error:
        raise FormatError(f"{part} does not say what set it is part of; make it again.") from error
    if meta.version != VERSION:
        raise FormatError(f"{part} has version {meta.version}, this program reads {VERSION}.")
    if meta.size is not None and not all(0 < side <= LONGEST_SIDE for side in meta.size):
        raise FormatError(f"{part} promises faces of {meta.size[0]}x{meta.size[1]} pixels; make it again.")
    if meta.colour != "RGB":
        raise FormatError(f"{part} holds {meta.colour} pixels, but RGB is needed.")
    if not schema.equals(pa.schema(_FIELDS.get(meta.kind, []))):
        raise FormatError(f"{part} does not have the columns of {meta.kind}.")
    return meta


PAIRS, FAILURES = "pairs.parquet", "failures.parquet"
"""Tables beside the parts: pairs of a verification set, photos without a face."""
FAILURE_SCHEMA = pa.schema({name: pa.string() for name in ("source", "identity", "category", "reason")})


@dataclass(frozen=True)
class Failure:
    """A photo that gave no face.

    Attributes:
        source: path of the photo in its set.
        identity: who it shows, "" where unknown.
        category: "undecodable", "no-face" or "landmarks" (found, but not usable for a crop).
        reason: one sentence.
    """

    source: str
    identity: str
    category: str
    reason: str


def read_failures(faces: Shards) -> list[Failure]:
    """Read the failures of a face set in photo order; none for a set that was not made from photos."""
    path = faces.path / FAILURES
    if (sha256_of_file(path) if path.exists() else None) != faces.failures:
        raise FormatError(f"{path} is not the table that was made with these faces; align the photos again.")
    return _read_failure_table(path) if faces.failures else []


def _read_failure_table(path: Path) -> list[Failure]:
    rows = tables.read_parquet(path, FAILURE_SCHEMA).to_pylist()
    if any(value is None for row in rows for value in row.values()):
        raise FormatError(f"{path} is damaged: some texts are missing; align the photos again.")
    return [Failure(**row) for row in rows]
