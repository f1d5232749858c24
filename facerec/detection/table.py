"""The detection table: every face of every photo of a set, in one Parquet file.

One row a face: photo (row in the set), source, view (0 the photo itself, 1 its padded view), face (0, 1, ... by
descending score; -1 in the only row of a photo without faces), box [4], landmarks [10] (x, y of left eye, right eye,
nose, left and right mouth corner as seen in the photo), score, width and height of the photo, error (why it could not
be decoded, else ""). The bytes do not depend on the number of workers, and an interrupted run continues where it
stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facerec.core import (
    Description,
    FormatError,
    atomic_file,
    check_place,
    device_type,
    map_in_threads,
    resumable_tables,
    size_of,
    track,
)
from facerec.detection import NO_FACES, Detector, Faces, FoundFaces, build_detector, find_faces
from facerec.store import shards
from facerec.store.tables import column_names, read_parquet

_JOB = 32  # photos; fixed, since arithmetic in another batch may differ in the last bit

_FEW = 192
"""Photos up to which one process is as quick as several: it finds their faces in the time that torch takes to load."""

_SCHEMA = pa.schema(
    {
        "photo": pa.int64(),
        "source": pa.string(),
        "view": pa.int8(),
        "face": pa.int32(),
        "box": pa.list_(pa.float32()),
        "landmarks": pa.list_(pa.float32()),
        "score": pa.float32(),
        "width": pa.int32(),
        "height": pa.int32(),
        "error": pa.string(),
    }
)


@dataclass(frozen=True)
class DetectionCounts:
    """What a detector found in a set of photos.

    Attributes:
        photos: photos in the set.
        with_face: photos with at least one face.
        several_faces: photos with more than one face.
        faces: faces in all photos.
        undecodable: photos that could not be decoded.
        shortest_side: of all photos, in pixels; 0 if none could be decoded.
        longest_side: likewise.
    """

    photos: int
    with_face: int
    several_faces: int
    faces: int
    undecodable: int
    shortest_side: int
    longest_side: int


@dataclass(frozen=True)
class Detections:
    """A detection table in memory; `detections[i]` are the faces of photo i itself, by descending score.

    Attributes:
        sources: path of each photo in the set.
        errors: why a photo could not be decoded, "" if it could.
        sizes: (n, 2) height and width of the photos, 0 where they could not be decoded.
        starts: (n + 1,) first face of each photo in the arrays of `all_faces`.
        all_faces: faces found in the photos themselves.
        retried_starts: (n + 1,) first face of each photo in the arrays of `all_retried`.
        all_retried: faces found in padded views, in pixels of their photos.
    """

    sources: list[str]
    errors: list[str]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    all_faces: Faces
    retried_starts: NDArray[np.int64]
    all_retried: Faces

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, photo: int) -> Faces:
        return self.all_faces[self.starts[photo] : self.starts[photo + 1]]

    def retried(self, photo: int) -> Faces:
        """The faces found in the padded view of photo `photo`; none where there was no such view."""
        return self.all_retried[self.retried_starts[photo] : self.retried_starts[photo + 1]]

    def counts(self) -> DetectionCounts:
        """Totals over the set."""
        faces = np.diff(self.starts)
        sides = self.sizes[self.sizes > 0]
        return DetectionCounts(
            photos=len(self),
            with_face=int((faces > 0).sum()),
            several_faces=int((faces > 1).sum()),
            faces=int(faces.sum()),
            undecodable=sum(error != "" for error in self.errors),
            shortest_side=int(sides.min()) if sides.size else 0,
            longest_side=int(sides.max()) if sides.size else 0,
        )


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
        found = pa.concat_tables([_SCHEMA.empty_table(), *tables]).combine_chunks()
        with atomic_file(output) as temporary:
            pq.write_table(found, temporary)
    return read_detections(output).counts()


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
        return pa.Table.from_pylist(rows, _SCHEMA)

    jobs = [range(start, min(start + _JOB, len(opened))) for start in range(0, len(opened), _JOB)]
    tables = track(map_in_threads(rows_of, jobs), "Reading photos", total=len(jobs))
    with atomic_file(output) as temporary:
        pq.write_table(pa.concat_tables([_SCHEMA.empty_table(), *tables]).combine_chunks(), temporary)
    return read_detections(output).counts()


class _NoDetector:
    """Finds nothing, so that `find_faces` tells the sizes of photos and which cannot be decoded."""

    name = "none"

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        return [NO_FACES for _ in images]


def read_detections(path: str | Path) -> Detections:
    """Read a detection table; FormatError when the file is not one."""
    try:
        table = read_parquet(path, _SCHEMA)
    except FormatError as error:
        raise FormatError(f"{path} is not a readable detection table ({error}); detect again.") from error
    photo, view, face = (_whole(table, name, path) for name in ("photo", "view", "face"))
    first = np.flatnonzero(np.diff(photo, prepend=-1))
    found, padded = photo[face >= 0], view[face >= 0] > 0
    boxes, landmarks = (pc.list_flatten(table[name]).to_numpy() for name in ("box", "landmarks"))
    scores = table["score"].drop_null().to_numpy()
    if not len(boxes) / 4 == len(landmarks) / 10 == len(scores) == len(found):
        raise FormatError(f"{path} is damaged: it lacks numbers of some faces; detect again.")
    faces = Faces(boxes.reshape(-1, 4), landmarks.reshape(-1, 5, 2), scores)
    photos = np.arange(len(first) + 1)
    return Detections(
        sources=table["source"].take(first).to_pylist(),
        errors=table["error"].take(first).to_pylist(),
        sizes=np.stack([_whole(table, side, path)[first] for side in ("height", "width")], 1),
        starts=np.searchsorted(found[~padded], photos),
        all_faces=faces[~padded],
        retried_starts=np.searchsorted(found[padded], photos),
        all_retried=faces[padded],
    )


def describe_detections(path: Path) -> Description | None:
    """A detection table, for `facerec inspect`."""
    if not {"photo", "face", "box"} <= column_names(path):
        return None
    found = read_detections(path)
    facts = {**asdict(found.counts()), "bytes": size_of(path), "names": found.sources[:5]}
    return Description("table of detections", facts)


def _whole(table: pa.Table, column: str, path: str | Path) -> NDArray[np.int64]:
    """A column of whole numbers; FormatError when one is missing."""
    if table[column].null_count:
        raise FormatError(f"{path} is damaged: it lacks some numbers of {column}; detect again.")
    return np.asarray(table[column].to_numpy(), np.int64)


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
    return pa.Table.from_pylist(rows, _SCHEMA)


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
