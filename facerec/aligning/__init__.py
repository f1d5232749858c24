"""From photos and the faces detected in them to a set of aligned faces, one face a photo.

    fallbacks.py   which face of a photo is taken, and what is tried when there is none
    crops.py       the crop of a face, and all crops of a run of photos

The main call writes a face set; `failures.parquet` beside its shards lists the photos that gave no face and why:

    from facerec.aligning import align_set
    from facerec.params import Align

    statistics = align_set("photos", "detections.parquet", "faces", Align(rule="largest"))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facerec.aligning import crops
from facerec.aligning.fallbacks import FALLBACKS
from facerec.core import FormatError, ParamsError, atomic_dir, resumable_tables
from facerec.detection import table
from facerec.imaging import alignment
from facerec.params import Align
from facerec.store import shards
from facerec.store.shards import Failure, write_failures

__all__ = ["FALLBACKS", "AlignmentStatistics", "align_set"]

_JOB = 512  # photos, half a second's work: a small set starts no processes
_COLUMNS = ("rung", "residual", "score", "found", "category")


@dataclass(frozen=True)
class AlignmentStatistics:
    """What became of the photos of a set; quantiles are None where there are no values.

    Attributes:
        photos: photos in the set.
        faces: photos that gave a face.
        failures: photos that gave none.
        enrolled: faces / photos; 0 for an empty set.
        several: share of the photos in which the detector found more than one face.
        rungs: number of faces from each fallback, in the order of the fallbacks.
        fallbacks: number of faces that do not come from the first fallback.
        reasons: number of failures by category (see facerec.store.failures).
        residual_median: median distance, in crop pixels, of a face's aligned landmarks from the template.
        residual_p95: 95th percentile of the same.
        score_min: lowest detector score of a kept face.
        score_p01: 1st percentile of the same scores.
        score_p05: 5th percentile.
    """

    photos: int
    faces: int
    failures: int
    enrolled: float
    several: float
    rungs: dict[str, int]
    fallbacks: int
    reasons: dict[str, int]
    residual_median: float | None
    residual_p95: float | None
    score_min: float | None
    score_p01: float | None
    score_p05: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def align_set(
    photos: str | Path,
    detections: str | Path,
    output: str | Path,
    options: Align | None = None,
    workers: int | None = None,
) -> AlignmentStatistics:
    """Write the face set `output` of the photo shards `photos` and their detection table.

    A photo gives at most one face: the one the rule chooses, from the first fallback that has one. The bytes depend
    neither on the number of workers nor on interruptions; an interrupted run is continued.

    Raises:
        FormatError: the table belongs to other photos.
        ParamsError: the rule `annotated` for photos without annotations.
    """
    photos, detections, options = Path(photos), Path(detections), options or Align()
    source = shards.read_shards(photos, "photos")
    if table.read_detections(detections).sources != source.sources:
        raise FormatError(f"{detections} is not a table of the photos in {photos}; detect again.")
    if options.rule == "annotated" and not _is_annotated(source):
        raise ParamsError(f"The rule 'annotated' needs annotated photos, and none in {photos} is; use 'center'.")
    tally, failed = _Tally(options.fallbacks), list[Failure]()
    inputs = {"photos": photos, "detections": detections, "options": options.model_dump()}
    work = resumable_tables(
        "align",
        inputs,
        crops.align_job,
        len(source),
        _JOB,
        "Aligning faces",
        workers,
        crops.start_worker,
        (photos, detections, options),
    )
    with work as tables, atomic_dir(output) as folder:
        shards.write_parts(_face_rows(tables, tally, failed), folder, _face_meta(source.meta, options))
        write_failures(failed, folder)
    return tally.statistics()


def _is_annotated(photos: shards.Shards) -> bool:
    """Whether any photo comes with a box or landmarks."""
    return any(photos.table[name].null_count < len(photos) for name in ("box", "landmarks"))


def _face_meta(photos: shards.Meta, options: Align) -> shards.Meta:
    return shards.Meta(
        kind="faces",
        dataset=photos.dataset,
        licence=photos.licence,
        size=alignment.shape_of(options.size),
        template=crops.crop_template(options),
    )


def _face_rows(tables: Iterator[pa.Table], tally: _Tally, failed: list[Failure]) -> Iterator[dict[str, Any]]:
    """Face rows in the order of the photos; failures and statistics are gathered on the way."""
    columns = ["source", "identity", "category", "reason"]
    for rows in tables:
        tally.add(rows)
        lost = pc.is_null(rows["image"])
        failed += [Failure(**row) for row in rows.filter(lost).select(columns).to_pylist()]
        yield from rows.filter(pc.invert(lost)).to_pylist()


@dataclass
class _Tally:
    """Gathers the statistics of rows of `crops.OUTCOME_SCHEMA`, table by table."""

    fallbacks: Sequence[str]
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, rows: pa.Table) -> None:
        for name, values in self.columns.items():
            values += rows[name].to_pylist()

    def statistics(self) -> AlignmentStatistics:
        photos = len(self.columns["found"])
        by_fallback = Counter(fallback for fallback in self.columns["rung"] if fallback is not None)
        reasons = Counter(category for category in self.columns["category"] if category)
        faces = by_fallback.total()
        median, p95 = self._quantiles("residual", 50, 95)
        least, p01, p05 = self._quantiles("score", 0, 1, 5)
        return AlignmentStatistics(
            photos=photos,
            faces=faces,
            failures=photos - faces,
            enrolled=faces / max(1, photos),
            several=sum(found > 1 for found in self.columns["found"]) / max(1, photos),
            rungs={fallback: by_fallback[fallback] for fallback in self.fallbacks},
            fallbacks=faces - by_fallback[self.fallbacks[0]],
            reasons=dict(sorted(reasons.items())),
            residual_median=median,
            residual_p95=p95,
            score_min=least,
            score_p01=p01,
            score_p05=p05,
        )

    def _quantiles(self, column: str, *percents: float) -> list[float | None]:
        values = [value for value in self.columns[column] if value is not None]
        return [float(np.percentile(values, percent)) if values else None for percent in percents]
