"""Large sets written part by part, each the work of one process, to the bytes of `shard_writing.write_parts`.

Which rows a part has follows from the sizes of all images and names, and these are known before any image is read: from
the index of a pack, the headers of an archive, the files of a folder. So parts are made in any order, by any number of
processes, and an interrupted run goes on with the parts that are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.core import (
    FormatError,
    ShareMade,
    atomic_file,
    bar,
    is_share,
    link_or_copy,
    map_ordered,
    own_share,
    track,
    work_folder,
)
from facerec.store import shard_writing, shards

Row = Mapping[str, Any]


class KnownRows(Protocol):
    """The rows of a set, whose sizes are known before their images are read."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) bytes of each image."""

    @property
    def texts(self) -> NDArray[np.int64]:
        """(n,) bytes of all texts of each row, in UTF-8."""

    @property
    def template(self) -> Row:
        """A row of the same columns, with empty image and texts."""

    def part(self, rows: range) -> Iterable[Row]:
        """Consecutive rows, to be read in any process: it pickles, without the rows around them."""


def write_known(
    known: KnownRows,
    folder: Path,
    meta: shards.Meta,
    origin: Mapping[str, Any],
    title: str,
    shard_bytes: int = 256 << 20,
) -> int:
    """Write what `shard_writing.write_parts` does of all rows into `folder`, in worker processes if it is more than one part.

    Finished parts are kept in a scratch folder until all are, and then linked to their place; copied, if the scratch
    folder is on another file system.

    Args:
        known: the rows.
        folder: an existing directory, still without parts.
        meta: of the set.
        origin: all that decides the rows, for `facerec.core.work_folder`.
        title: description of the progress bar.
        shard_bytes: as of `write_parts`.

    Raises:
        ShareMade: in a block of `facerec.core.making_share`.
    """
    sizes = known.sizes
    spans, count = _plan(known, sizes, meta, shard_bytes), len(sizes)
    if len(spans) == 1 and not is_share():
        return shard_writing.write_parts(
            track(known.part(range(count)), title, count, "images"), folder, meta, shard_bytes
        )
    key = {**origin, "meta": asdict(meta), "spans": [span.stop for span in spans]}
    with work_folder("parts", key) as scratch, bar() as progress:
        jobs = [_Job(known.part(span), scratch / shards.part_name(n), len(span)) for n, span in enumerate(spans)]
        share = own_share(jobs)
        missing = [job for job in share if not job.place.exists()]
        new, total = (sum(job.rows for job in each) for each in (missing, share))
        task = progress.add_task(title, total=total, completed=total - new, unit="images")
        for rows in map_ordered(_Write(meta, jobs[-1].place), missing):
            progress.update(task, advance=rows)
        if is_share():
            raise ShareMade(len(share), len(missing))
        for job in jobs:
            link_or_copy(job.place, folder / job.place.name)
    return count


def _plan(known: KnownRows, sizes: NDArray[np.int64], meta: shards.Meta, shard_bytes: int) -> list[range]:
    """The rows of every part, cut where `write_parts` cuts them."""
    schema, bases = shards.schema_of(meta), dict[int, int]()
    contents = np.concatenate([[0], np.cumsum(sizes + known.texts)])
    spans, first, used = [], 0, 0
    for batch in _batches(sizes):
        if len(batch) not in bases:
            bases[len(batch)] = shard_writing.make_batch([known.template] * len(batch), schema).nbytes
        size = bases[len(batch)] + int(contents[batch.stop] - contents[batch.start])
        if used and used + size > shard_bytes:
            spans.append(range(first, batch.start))
            first, used = batch.start, 0
        used += size
    return [*spans, range(first, len(sizes))]


def _batches(sizes: NDArray[np.int64]) -> Iterator[range]:
    """The rows of every batch: up to 256, fewer where the images are large; as `write_parts` takes them."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        full = int(np.searchsorted(ends, before + shard_writing.BATCH_BYTES)) + 1  # rows until the limit is reached
        stop = min(start + shard_writing.BATCH_ROWS, full, len(sizes))
        yield range(start, stop)
        start = stop
    if not len(sizes):
        yield range(0)


@dataclass(frozen=True)
class _Job:
    part: Iterable[Row]
    place: Path
    rows: int


@dataclass(frozen=True)
class _Write:
    """Writes the part of a job in a worker; `last` is the place of the last one."""

    meta: shards.Meta
    last: Path

    def __call__(self, job: _Job) -> int:
        with atomic_file(job.place) as temporary:
            written = shard_writing.write_part(job.part, temporary, self.meta, last=job.place == self.last)
        if written != job.rows:
            raise FormatError(f"{job.place.name} got {written} rows instead of {job.rows}; its source has changed.")
        return written
