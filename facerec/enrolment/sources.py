"""Photos wherever they are: shards as they are, a folder or an archive as shards for the time of the work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec.formats import photos, shards


@contextmanager
def as_shards(source: str | Path, scratch: Path) -> Iterator[Path]:
    """The photo shards of `source`: a directory of shards, a folder of photos, or an archive of them.

    Shards made of the others lie below `scratch` until the block ends. Raises FormatError when there is no photo.
    """
    source = Path(source)
    if shards.is_set(source):
        shards.read(source, "photos")
        yield source
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{source.name}.", suffix=".tmp", dir=scratch) as temporary:
        made = Path(temporary, "photos")
        shards.write(photos.rows(source, scratch=Path(temporary)), made, shards.Meta("photos", source.stem))
        yield made
