"""From photos and what was detected in them to a set of aligned faces: one face a photo.

    rungs.py     where the face of a photo comes from, and what is tried when there is none
    options.py   which face, which crop
    cutting.py   from the face to its crop
    faces.py     a run of photos cut out
    counts.py    what became of the set

The faces become a face set in a directory; `failures.parquet` beside the shards lists, source by source,
the photos that gave no face and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from facerec.aligning import crops
from facerec.aligning.options import RUNGS, AlignOptions
from facerec.aligning.statistics import AlignmentStatistics, Tally
from facerec.core import FormatError, ParamsError, atomic_dir, bar, resumable
from facerec.detection import table
from facerec.imaging import alignment
from facerec.store import shards
from facerec.store.shards import Failure, write_failures

__all__ = ["RUNGS", "AlignOptions", "AlignmentStatistics", "align_set"]

_JOB = 512  # photos, half a second's work: a small set starts no processes


def align_set(
    photos: str | Path,
    detections: str | Path,
    output: str | Path,
    options: AlignOptions | None = None,
    workers: int | None = None,
) -> AlignmentStatistics:
    """Write the face set `output` of the photo shards `photos` and their detection table.

    A photo gives at most one face: the one the rule chooses on the first rung that has one. Bytes depend
    neither on the workers nor on interruptions: what an interrupted run finished is not made again. Raises
    ParamsError for an impossible option and FormatError when the table belongs to other photos.
    """
    photos, detections, options = Path(photos), Path(detections), options or AlignOptions()
    options.check()
    source = shards.read_shards(photos, "photos")
    if table.read_detections(detections).sources != source.sources:
        raise FormatError(f"{detections} is not a table of the photos in {photos}; detect again.")
    if options.rule == "annotated" and not _annotated(source):
        raise ParamsError(
            f"The rule 'annotated' needs annotated photos, and none in {photos} is; use 'center'."
        )
    tally, failed = Tally(options.rungs), list[Failure]()
    jobs = [range(start, min(start + _JOB, len(source))) for start in range(0, len(source), _JOB)]
    inputs = {"photos": photos, "detections": detections, "options": options, "job": _JOB}
    with resumable.parts("align", inputs) as parts, atomic_dir(output) as folder:
        made = _finished(parts, jobs, workers, (photos, detections, options))
        rows = _rows(made, tally, failed)
        shards.write_parts(rows, folder, _meta(source.meta, options))
        write_failures(failed, folder)
    return tally.counts()


def _annotated(photos: shards.Shards) -> bool:
    """Whether any photo comes with a box or landmarks."""
    return any(photos.table[name].null_count < len(photos) for name in ("box", "landmarks"))


def _meta(photos: shards.Meta, options: AlignOptions) -> shards.Meta:
    return shards.Meta(
        kind="faces",
        dataset=photos.dataset,
        licence=photos.licence,
        size=alignment.shape_of(options.size),
        template=options.template,
    )


def _rows(parts: Iterator[pa.Table], tally: Tally, failed: list[Failure]) -> Iterator[dict[str, Any]]:
    """Face rows in the order of the photos; failures and numbers are gathered on the way."""
    columns = ["source", "identity", "category", "reason"]
    for part in parts:
        tally.add(part)
        lost = pc.is_null(part["image"])
        failed += [Failure(**row) for row in part.filter(lost).select(columns).to_pylist()]
        yield from part.filter(pc.invert(lost)).to_pylist()


def _finished(
    parts: resumable.Parts, jobs: list[range], workers: int | None, arguments: tuple[Path, Path, AlignOptions]
) -> Iterator[pa.Table]:
    """The table of every job, with a bar."""
    with bar() as progress:
        task = progress.add_task("Aligning faces", total=sum(map(len, jobs)), unit="photos")
        kept = 0
        for number, part in enumerate(
            parts.map(crops.align_job, jobs, workers, crops.start_worker, arguments)
        ):
            kept += len(jobs[number]) if number in parts.kept else 0
            progress.update(task, advance=len(jobs[number]), kept=kept)
            yield part
