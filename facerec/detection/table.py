"""The detection table: every face of every photo of a set, in one Parquet file.

One row a face: photo (row in the set), source, view (0 the photo itself, 1 its padded view), face (0, 1, ... by
descending score; -1 in the only row of a photo without faces), box [4], landmarks [10] (x, y of left eye, right eye,
nose, left and right mouth corner as seen in the photo), score, width and height of the photo, error (why it could not
be decoded, else ""). The bytes do not depend on the number of workers, and an interrupted run continues where it
stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facerec.core import atomic_file, check_place, device_type, map_in_threads, resumable_tables, track
from facerec.detection import NO_FACES, Detector, Faces, FoundFaces, build_detector, find_faces
from facerec.detection.reading import GROUP, SCHEMA, DetectionCounts, Detections, DetectionTable, read_detections
from facerec.store import shards

__all__ = ["SCHEMA", "DetectionCounts", "DetectionTable", "Detections", "detect_set", "list_set", "read_detections"]

_JOB = 32  # photos; fixed, since arithmetic in another batch may differ in the last bit

_FEW = 192
"""Photos up to which one process is as quick as several: it finds their faces in the time that torch takes to load."""


def detect_set(
    photos: str | Path,
    output: str | Path,
    detector: str,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    retry: float = 0.5,
) -> DetectionCounts:
    """Run a detector over the photo shards in `photos` and write the table `output`.

    A photo that cannot be decoded gets a row with the reason; it does not stop the run.

    Args:
        photos: folder of photo shards.
        output: the Parquet file to write.
        detector: name of a detector, as in `facerec.detection.build_detector`.
        options: its options.
        workers: number of workers, by default those of the machine or cluster; one for a few photos, whose faces are
            found before a second process has loaded its libraries.
        retry: photos whose best face scores less get a second look in their padded view: 0 none, 1 all.
    """
    check_place(Path(output), folder=False)
    photos, options = Path(photos), dict(options or {})
    count, arguments = len(shards.read_shards(photos, "photos")), (photos, detector, options, retry)
    if workers is None and count <= _FEW:
        workers = 1
    # All that decides the bytes of a job; a file of weights counts by its content.
    content = {**options, "weights": Path(options["weights"])} if options.get("weights") else options
    device = device_type()
    inputs = {"photos": photos, "detector": detector, "options": content, "retry": retry, "device": device}
    work = resumable_tables(
        "detect",
        inputs,
        _detect,
        count,
        _JOB,
        "Detecting faces",
        workers,
        _start,
        arguments,
        gpus=int(device == "cuda"),
    )
    with _threads_kept(), work as tables:
        _write_table(tables, Path(output))
    return DetectionTable(output).counts()


def list_set(
    photos: str | Path, output: str | Path, landmarks: NDArray[np.float32], scores: NDArray[np.float32]
) -> DetectionCounts:
    """Write the table `output` of faces that others have found, one a photo; no detector runs.

    Args:
        photos: folder of n photo shards.
        output: the Parquet file to write.
        landmarks: (n, 5, 2) in pixels of each photo; NaN where it has no face. A face's box is that of its landmarks.
        scores: (n,) of the faces.
    """
    opened = shards.read_shards(photos, "photos")
    given = Faces(np.concatenate([landmarks.min(axis=1), landmarks.max(axis=1)], axis=1), landmarks, scores)
    known = np.isfinite(given.boxes.sum(axis=1))  # false where a landmark is NaN

    def rows_of(job: range) -> pa.Table:
        looked = find_faces(_NoDetector(), (opened.image(photo) for photo in job))
        rows: list[dict[str, Any]] = []
        for photo, found in zip(job, looked, strict=True):
            face = given[photo : photo + 1] if known[photo] and not found.error else NO_FACES
            rows += _rows(photo, opened.sources[photo], replace(found, faces=face))
        return pa.Table.from_pylist(rows, SCHEMA)

    jobs = [range(start, min(start + _JOB, len(opened))) for start in range(0, len(opened), _JOB)]
    tables = track(map_in_threads(rows_of, jobs), "Reading photos", total=len(jobs))
    _write_table(tables, Path(output))
    return DetectionTable(output).counts()


def _write_table(tables: Iterable[pa.Table], path: Path) -> None:
    """Write the rows of all tables in groups of GROUP rows, of which one is in memory."""
    rest = iter(tables)
    waiting = next(rest, SCHEMA.empty_table())  # and only then a file
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for table in rest:
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) > GROUP:
                writer.write_table(waiting.slice(0, GROUP).combine_chunks())
                waiting = waiting.slice(GROUP)
        writer.write_table(waiting.combine_chunks())


class _NoDetector:
    """Finds nothing, so that `find_faces` tells the sizes of photos and which cannot be decoded."""

    name = "none"

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        return [NO_FACES for _ in images]


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Restore the number of torch threads, which `_start` sets to one when it runs in this process."""
    global _threads
    try:
        yield
    finally:
        if _threads is not None:
            import torch

            torch.set_num_threads(_threads)
            _threads = None


_worker: tuple[shards.Shards, Detector, float] | None = None
_threads: int | None = None  # torch's before `_start`


def _start(photos: Path, detector: str, options: dict[str, Any], retry: float) -> None:
    """Open the set and build the detector, once in every worker; the bytes depend on torch using one thread."""
    import torch  # only here, so that reading a table does not import it

    global _worker, _threads
    _threads = torch.get_num_threads()
    torch.set_num_threads(1)
    _worker = shards.read_shards(photos, "photos"), build_detector(detector, **options), retry


def _detect(job: range) -> pa.Table:
    """Rows of the photos of one job."""
    assert _worker is not None, "map_ordered runs _start first"
    photos, detector, retry = _worker
    found = find_faces(detector, (photos.image(photo) for photo in job), retry)
    sources = photos.sources[job.start : job.stop]
    rows = [row for each in zip(job, sources, found, strict=True) for row in _rows(*each)]
    return pa.Table.from_pylist(rows, SCHEMA)


def _rows(photo: int, source: str, found: FoundFaces) -> Iterator[dict[str, Any]]:
    height, width = found.size
    common = {"photo": photo, "source": source, "height": height, "width": width, "error": found.error}
    if len(found.faces) == len(found.retried) == 0:
        yield {**common, "view": 0, "face": -1}
    for view, faces in enumerate((found.faces, found.retried)):
        for index in range(len(faces)):
            box, landmarks = faces.boxes[index].tolist(), faces.landmarks[index].reshape(-1).tolist()
            place = {"box": box, "landmarks": landmarks, "score": float(faces.scores[index])}
            yield {**common, "view": view, "face": index, **place}
