"""From photos and what was detected in them to a set of aligned faces: one face a photo.

The faces become a face set in a directory; `failures.parquet` beside the shards lists, source by source,
the photos that gave no face and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facerec import alignment, images
from facerec.alignment import AlignmentError, Size
from facerec.detection import RULES, choose, table
from facerec.errors import FormatError, ImageError, ParamsError
from facerec.execution import map_ordered
from facerec.files import atomic_dir
from facerec.formats import failures, shards
from facerec.formats.failures import Failure
from facerec.progress import bar

_JOB = 512  # photos, half a second's work: a small set starts no processes


@dataclass(frozen=True)
class Options:
    """`rule` of facerec.detection.choose, `size` of the crop (side, or height and width), JPEG `quality`."""

    rule: str = "center"
    size: Size = 112
    quality: int = 95


@dataclass(frozen=True)
class Counts:
    """How many photos gave a face, and how well the landmarks fit the template."""

    photos: int
    faces: int
    failures: int
    share: float
    """Faces / photos; 0 for an empty set."""
    residual: float
    """Median over faces of the mean distance of aligned landmarks from the template, crop pixels."""


@dataclass
class _Tally:
    failures: list[Failure] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Worker:
    photos: shards.Shards
    detections: table.Detections
    options: Options


_worker: _Worker | None = None


def align(
    photos: str | Path,
    detections: str | Path,
    output: str | Path,
    options: Options | None = None,
    workers: int | None = None,
) -> Counts:
    """Write the face set `output` of the photo shards `photos` and their detection table.

    A photo gives at most one face: the one the rule chooses. Bytes do not depend on the workers. Raises
    ParamsError for an impossible option and FormatError when the table belongs to other photos.
    """
    options = options or Options()
    source = shards.read(photos, "photos")
    meta = _face_meta(source.meta, options)
    if table.read(detections).sources != source.sources:
        raise FormatError(f"{detections} is not a table of the photos in {photos}; detect again.")
    tally = _Tally()
    with atomic_dir(output) as folder:
        faces = shards.write_parts(
            _rows(Path(photos), Path(detections), len(source), options, workers, tally), folder, meta
        )
        failures.write(tally.failures, folder)
    return Counts(
        photos=len(source),
        faces=faces,
        failures=len(tally.failures),
        share=faces / max(1, len(source)),
        residual=float(np.median(tally.residuals)) if faces else 0.0,
    )


def _face_meta(photos: shards.Meta, options: Options) -> shards.Meta:
    alignment.template(options.size)  # refuses a size without template
    if options.rule not in RULES:
        raise ParamsError(f"No rule {options.rule!r} to choose a face; use one of {', '.join(RULES)}.")
    return shards.Meta(
        kind="faces",
        dataset=photos.dataset,
        licence=photos.licence,
        size=alignment.shape_of(options.size),
        template=alignment.template_name(options.size),
    )


def _rows(
    photos: Path, detections: Path, count: int, options: Options, workers: int | None, tally: _Tally
) -> Iterator[dict[str, Any]]:
    """Face rows in the order of the photos; failures and residuals go to the tally."""
    jobs = [range(start, min(start + _JOB, count)) for start in range(0, count, _JOB)]
    results = map_ordered(_align, jobs, workers, _start, (photos, detections, options))
    with bar() as progress:
        task = progress.add_task("Aligning faces", total=count, unit="photos")
        for job, (rows, failed, residuals) in zip(jobs, results, strict=True):
            tally.failures += failed
            tally.residuals += residuals
            progress.advance(task, len(job))
            yield from rows


def _start(photos: Path, detections: Path, options: Options) -> None:
    """Open photos and table once a worker."""
    global _worker
    _worker = _Worker(shards.read(photos, "photos"), table.read(detections), options)


def _align(job: range) -> tuple[list[dict[str, Any]], list[Failure], list[float]]:
    """Face rows, failures and residuals of the photos of one job."""
    assert _worker is not None, "map_ordered runs _start first"
    rows: list[dict[str, Any]] = []
    failed: list[Failure] = []
    for photo in job:
        try:
            rows.append(_face(_worker, photo))
        except (ImageError, AlignmentError) as error:
            source, identity = _worker.photos.sources[photo], _worker.photos.identities[photo]
            failed.append(Failure(source, identity, "no-face", str(error)))
    landmarks = np.array([row["landmarks"] for row in rows]).reshape(-1, 5, 2)
    return rows, failed, alignment.residuals(landmarks, _worker.options.size).tolist()


def _face(worker: _Worker, photo: int) -> dict[str, Any]:
    """The face row of one photo; ImageError or AlignmentError says why there is none."""
    detections, options = worker.detections, worker.options
    if detections.errors[photo]:
        raise ImageError(detections.errors[photo])
    faces = detections[photo]
    height, width = (int(value) for value in detections.sizes[photo])
    chosen = choose(faces, (height, width), options.rule)
    if chosen is None:
        raise ImageError("The detector found no face.")
    landmarks = faces.landmarks[chosen]
    matrix = alignment.similarity(landmarks, options.size)[0]
    crop = alignment.warp(images.decode(worker.photos.image(photo)), matrix, options.size)
    return {
        "image": images.encode_jpeg(crop, options.quality),
        "label": int(worker.photos.labels[photo]),
        "identity": worker.photos.identities[photo],
        "source": worker.photos.sources[photo],
        "box": faces.boxes[chosen],
        "landmarks": landmarks,
        "score": float(faces.scores[chosen]),
        "rung": "detector",
    }
