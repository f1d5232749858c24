"""Every face of every photo of a set, in one Parquet table; detecting is done once, aligning often.

One row a face: photo (row in the set), source, face (0, 1, ... by descending score; -1 in the one row of a
photo without faces), box [4], landmarks [10] (x, y of each point), score, width and height of the photo,
error (why it could not be decoded, else ""). Jobs are fixed runs of photos, so the bytes written do not
depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facerec import detection, images
from facerec.detection.base import Detector, Faces
from facerec.errors import FormatError, ImageError
from facerec.execution import map_ordered
from facerec.files import atomic_file
from facerec.formats import shards
from facerec.progress import bar

# Photos of a job and pixels decoded at once. Fixed, since arithmetic in another batch may differ in the
# last bit.
_JOB = 64
_PIXELS = 32 << 20

_SCHEMA = pa.schema(
    {
        "photo": pa.int64(),
        "source": pa.string(),
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
class Counts:
    """What a detector found in a set of photos."""

    photos: int
    with_face: int
    several_faces: int
    """Photos with more than one face."""
    faces: int
    undecodable: int


@dataclass(frozen=True)
class Detections:
    """A detection table in memory; item i holds the faces of photo i, by descending score."""

    sources: list[str]
    errors: list[str]
    """Why a photo could not be decoded, "" where it could."""
    sizes: NDArray[np.int64]
    """(n, 2) height and width of the photos, 0 where they could not be decoded."""
    starts: NDArray[np.int64]
    """(n + 1,) first face of each photo in the arrays of `all_faces`."""
    all_faces: Faces

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, photo: int) -> Faces:
        own = slice(self.starts[photo], self.starts[photo + 1])
        return Faces(self.all_faces.boxes[own], self.all_faces.landmarks[own], self.all_faces.scores[own])

    def counts(self) -> Counts:
        """Totals over the set."""
        faces = np.diff(self.starts)
        return Counts(
            photos=len(self),
            with_face=int((faces > 0).sum()),
            several_faces=int((faces > 1).sum()),
            faces=int(faces.sum()),
            undecodable=sum(error != "" for error in self.errors),
        )


def detect(
    photos: str | Path,
    output: str | Path,
    detector: str,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> Counts:
    """Run a detector over the photo shards in `photos` and write the table `output`.

    `detector` and `options` are those of `facerec.detection.build`. A photo that cannot be decoded gets a
    row with the reason; it does not stop the run. Returns the totals.
    """
    count = len(shards.read(photos, "photos"))
    jobs = [range(start, min(start + _JOB, count)) for start in range(0, count, _JOB)]
    tables = []
    with _one_thread(), bar() as progress:
        task = progress.add_task("Detecting faces", total=count, unit="photos")
        arguments = (Path(photos), detector, dict(options or {}))
        for job, table in zip(jobs, map_ordered(_detect, jobs, workers, _start, arguments), strict=True):
            tables.append(table)
            progress.advance(task, len(job))
    with atomic_file(output) as temporary:
        pq.write_table(pa.concat_tables(tables or [_SCHEMA.empty_table()]), temporary)
    return read(output).counts()


def read(path: str | Path) -> Detections:
    """Read a detection table; FormatError when the file is not one."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise FormatError(f"{path} is not a readable detection table ({reason}); detect again.") from error
    if table.schema.names != _SCHEMA.names:
        raise FormatError(f"{path} is a Parquet file, but not a table of detections.")
    table = table.combine_chunks()
    photo, face = table["photo"].to_numpy(), table["face"].to_numpy()
    first = np.flatnonzero(face <= 0)
    found = photo[face >= 0]
    faces = Faces(
        boxes=_flat(table, "box").reshape(-1, 4),
        landmarks=_flat(table, "landmarks").reshape(-1, 5, 2),
        scores=table["score"].drop_null().to_numpy(),
    )
    return Detections(
        sources=table["source"].take(first).to_pylist(),
        errors=table["error"].take(first).to_pylist(),
        sizes=np.stack([table["height"].to_numpy()[first], table["width"].to_numpy()[first]], 1).astype(
            np.int64
        ),
        starts=np.searchsorted(found, np.arange(len(first) + 1)),
        all_faces=faces,
    )


def _flat(table: pa.Table, column: str) -> NDArray[np.float32]:
    chunks = [chunk.flatten() for chunk in table[column].chunks]
    return np.asarray(pa.chunked_array(chunks, pa.float32()).to_numpy(), np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Put back the number of torch threads, which a worker inside this process sets to one."""
    import torch  # here, so that reading a table costs no import of torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_worker: tuple[shards.Shards, Detector] | None = None


def _start(photos: Path, detector: str, options: dict[str, Any]) -> None:
    """Open the set and build the detector once a worker; the bytes depend on its one thread."""
    import torch

    global _worker
    torch.set_num_threads(1)
    _worker = shards.read(photos, "photos"), detection.build(detector, **options)


def _detect(job: range) -> pa.Table:
    """Rows of the photos of one job, decoded as many at a time as memory allows."""
    assert _worker is not None, "map_ordered runs _start first"
    photos, detector = _worker
    rows: list[dict[str, Any]] = []
    batch: list[NDArray[np.uint8] | str] = []
    for photo in job:
        batch.append(_decode(photos.image(photo)))
        if photo == job[-1] or sum(image.size for image in batch if not isinstance(image, str)) > 3 * _PIXELS:
            first = photo + 1 - len(batch)
            rows += _batch_rows(detector, batch, first, photos.sources[first : photo + 1])
            batch = []
    return pa.Table.from_pylist(rows, _SCHEMA)


def _batch_rows(
    detector: Detector, batch: list[NDArray[np.uint8] | str], first: int, sources: list[str]
) -> Iterator[dict[str, Any]]:
    found = iter(detector.detect([image for image in batch if not isinstance(image, str)]))
    for photo, (image, source) in enumerate(zip(batch, sources, strict=True), first):
        if isinstance(image, str):
            yield from _rows(photo, source, None, (0, 0), image)
        else:
            yield from _rows(photo, source, next(found), (image.shape[0], image.shape[1]), "")


def _decode(data: memoryview) -> NDArray[np.uint8] | str:
    """The photo, or why there is none."""
    try:
        return images.decode(data)
    except ImageError as error:
        return str(error)


def _rows(
    photo: int, source: str, faces: Faces | None, size: tuple[int, int], error: str
) -> Iterator[dict[str, Any]]:
    common = {"photo": photo, "source": source, "height": size[0], "width": size[1], "error": error}
    if faces is None or len(faces) == 0:
        yield {**common, "face": -1}
        return
    for index in range(len(faces)):
        yield {
            **common,
            "face": index,
            "box": faces.boxes[index].tolist(),
            "landmarks": faces.landmarks[index].reshape(-1).tolist(),
            "score": float(faces.scores[index]),
        }
