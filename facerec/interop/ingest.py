"""Photos of a folder or an archive into photo shards, part by part in worker processes where they are many.

A tgz can only be read from its beginning, and a zip through its directory at the end, so these are read in this process
alone; unpack a large one, or make it a tar.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec.core import track
from facerec.interop.photos import PhotoList, PhotoRows, photo_rows
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
