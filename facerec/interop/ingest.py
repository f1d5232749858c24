"""Photos of a folder or an archive into photo shards, part by part in worker processes where they are many.

A tgz can only be read from its beginning, and a zip through its directory at the end, so these are read in this process
alone; unpack a large one, or make it a tar.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import track
from facerec.interop.file_sources import FileReader
from facerec.interop.photos import PhotoList, photo_rows
from facerec.store import part_jobs, shard_writing, shards


def write_photos(
    listed: PhotoList,
    folder: Path,
    meta: shards.Meta,
    title: str,
    expected: int | None = None,
    shard_bytes: int = 256 << 20,
) -> int:
    """Write the photos of an open source into an existing directory, and return their number.

    `title` describes the progress bar and `expected` is its length, where that is known before; `shard_bytes` is that of
    `facerec.store.shard_writing.write_parts`. The bytes do not depend on the number of workers, and an interrupted run is
    continued.
    """
    reader = listed.files.reader(listed.names)
    if reader is None:
        return shard_writing.write_parts(track(listed.rows(), title, expected, "photos"), folder, meta, shard_bytes)
    known = PhotoRows.of(listed, reader)
    origin = {"photos": reader.state(), "names": list(listed.names), "identities": list(listed.identities)}
    return part_jobs.write_known(known, folder, meta, origin, title, shard_bytes)


@contextmanager
def as_shards(source: str | Path, scratch: Path) -> Iterator[Path]:
    """Yield photo shards of `source`: a directory of shards, a folder of photos, or an archive of them.

    Shards that have to be made are below `scratch` until the block ends. Raises FormatError when there is no photo.
    """
    source = Path(source)
    if shards.is_shard_set(source):
        shards.read_shards(source, "photos")
        yield source
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{source.name}.", suffix=".tmp", dir=scratch) as temporary:
        made = Path(temporary, "photos")
        shard_writing.write_shards(
            photo_rows(source, scratch=Path(temporary)), made, shards.Meta("photos", source.stem)
        )
        yield made


@dataclass(frozen=True)
class PhotoRows:
    """Photos as rows; see `facerec.store.part_jobs.KnownRows`."""

    reader: FileReader
    names: Sequence[str]
    identities: Sequence[str]
    labels: Sequence[int]
    sources: Sequence[str]

    @classmethod
    def of(cls, listed: PhotoList, reader: FileReader) -> PhotoRows:
        """The rows of a list, read by `reader`."""
        return cls(reader, listed.names, listed.identities, listed.labels, list(listed.sources()))

    @property
    def template(self) -> dict[str, Any]:
        """A row without content."""
        return {"image": b"", "label": -1, "identity": "", "source": ""}

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) bytes of each photo."""
        return np.array([self.reader.size(name) for name in self.names], np.int64)

    @property
    def texts(self) -> NDArray[np.int64]:
        """(n,) bytes of the identity and source of each row."""
        named = zip(self.identities, self.sources, strict=True)
        return np.array([len(identity.encode()) + len(source.encode()) for identity, source in named], np.int64)

    def part(self, rows: range) -> PhotoRows:
        """Some of the rows."""
        span = slice(rows.start, rows.stop)
        columns = (self.names, self.identities, self.labels, self.sources)
        names, identities, labels, sources = (column[span] for column in columns)
        return PhotoRows(self.reader.part(list(names)), names, identities, labels, sources)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        columns = zip(self.names, self.labels, self.identities, self.sources, strict=True)
        for name, label, identity, source in columns:
            yield {"image": self.reader.read(name), "label": label, "identity": identity, "source": source}
