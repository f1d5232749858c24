"""The crop of a face that networks are shown, and all crops of a set of photos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facerec import params
from facerec.aligning.fallbacks import ChosenFace, PhotoFaces, choose_faces
from facerec.aligning.statistics import AlignmentStatistics, count_outcomes
from facerec.core import FormatError, ImageError, ParamsError, atomic_dir, check_place, resumable_tables
from facerec.detection.table import Detections, DetectionTable
from facerec.imaging import alignment, images
from facerec.params import Align
from facerec.store import shard_writing, shards

_JOB = 512  # photos, half a second's work: a small set starts no processes
_BOXED = re.compile(r"box-([0-9]{1,2}(?:\.[0-9]{1,9})?(?:e-[0-9]{2})?)-.*")


def crop_template(options: Align) -> str:
    """Name of the crops' geometry, which training and embedding check.

    >>> crop_template(Align(size=128)), crop_template(Align(crop="box", margin=0.25))
    ('arcface-128', 'box-0.25-112')
    """
    name = alignment.template_name(options.size)
    return name if options.crop == "template" else f"box-{options.margin:g}{name.removeprefix('arcface')}"


def options_for_network(size: tuple[int, int], template: str, **choosing: Any) -> Align:
    """Options whose crops have the size (height, width) and the geometry that a network declares.

    `choosing` are other fields of `facerec.params.Align`. Raises ParamsError for a field that is not allowed and
    FormatError for a geometry that no option gives.
    """
    boxed = _BOXED.fullmatch(template)
    if boxed is not None:
        choosing |= {"crop": "box", "margin": float(boxed[1])}
    options = params.parse_options(Align, {**choosing, "size": size}, "align")
    if crop_template(options) != template:
        raise FormatError(
            f"Faces aligned to {template!r} at {size[0]}x{size[1]} cannot be cut from photos here; use a "
            f"network for {alignment.template_name(size)!r}."
        )
    return options


def crop_matrices(faces: Sequence[ChosenFace], sizes: Sequence[tuple[int, int]], options: Align) -> NDArray[np.float64]:
    """Transforms (n, 2, 3) from photos of `sizes` (height, width) to crops."""
    found = np.empty((len(faces), 2, 3))
    turned = np.array([face.turned for face in faces], bool)
    landmarks = np.array([face.landmarks for face in faces if face.turned], np.float64)
    found[turned] = alignment.similarity(landmarks.reshape(-1, 5, 2), options.size)
    for row in np.flatnonzero(~turned).tolist():
        box = faces[row].box
        square, margin = (alignment.centre_square(sizes[row]), 0.0) if box is None else (box, options.margin)
        found[row] = alignment.upright(square, options.size, margin)[0]
    return found


def cut_crop(photo: NDArray[np.uint8], matrix: NDArray[np.float64], options: Align) -> bytes:
    """JPEG bytes of the crop that `matrix` (2, 3) cuts from an RGB photo (h, w, 3)."""
    crop = alignment.warp(photo, matrix, options.size)
    return images.encode_jpeg(crop, options.quality, options.subsampling)


OUTCOME_SCHEMA = pa.schema(
    {
        "image": pa.binary(),
        "label": pa.int64(),
        "identity": pa.string(),
        "source": pa.string(),
        "box": pa.list_(pa.float32()),
        "landmarks": pa.list_(pa.list_(pa.float32())),
        "score": pa.float32(),
        "rung": pa.string(),
        "residual": pa.float64(),  # mean distance of the aligned landmarks from the template, crop pixels
        "found": pa.int32(),  # faces of the photo in the detection table
        "category": pa.string(),  # of a failure
        "reason": pa.string(),
    }
)
"""`image` is null where the photo gave no face, `category` and `reason` where it did. `rung` names the fallback."""
_FAILURE = ["source", "identity", "category", "reason"]


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
    check_place(Path(output), folder=True)
    photos, detections, options = Path(photos), Path(detections), options or Align()
    source = shards.read_shards(photos, "photos")
    if not DetectionTable(detections).is_of(source):
        raise FormatError(f"{detections} is not a table of the photos in {photos}; detect again.")
    if options.rule == "annotated" and all(
        source.column(name).null_count == len(source) for name in ("box", "landmarks")
    ):
        raise ParamsError(f"The rule 'annotated' needs annotated photos, and none in {photos} is; use 'center'.")
    arguments = (photos, detections, options)
    inputs = {"photos": photos, "detections": detections, "options": options.model_dump()}
    work = resumable_tables(
        "align", inputs, _align_job, len(source), _JOB, "Aligning faces", workers, _start_worker, arguments
    )
    meta = shards.Meta(
        kind="faces",
        dataset=source.meta.dataset,
        licence=source.meta.licence,
        size=alignment.shape_of(options.size),
        template=crop_template(options),
    )
    gathered = _Gathered()
    with work as tables, atomic_dir(output) as folder:
        shard_writing.write_parts(gathered.face_rows(tables), folder, meta, failures=gathered.failures)
    return count_outcomes(pa.concat_tables(gathered.counted), options.fallbacks)


class _Gathered:
    """What is known of all photos in the end: some numbers of each, and all of those without a face."""

    def __init__(self) -> None:
        self.counted = [_slim(OUTCOME_SCHEMA.empty_table())]
        self._failed = [OUTCOME_SCHEMA.empty_table().select(_FAILURE)]

    def face_rows(self, tables: Iterator[pa.Table]) -> Iterator[dict[str, Any]]:
        """Face rows in the order of the photos."""
        for rows in tables:
            self.counted.append(_slim(rows))
            self._failed.append(rows.filter(pc.is_valid(rows["category"])).select(_FAILURE))
            yield from rows.filter(pc.is_valid(rows["image"])).to_pylist()

    def failures(self) -> Iterator[shards.Failure]:
        """The photos without a face."""
        for table in self._failed:
            for row in table.to_pylist():
                yield shards.Failure(**row)


def _slim(outcomes: pa.Table) -> pa.Table:
    """The columns that are counted, 24 bytes a photo, copied: views of them would keep the images in memory."""
    counted = outcomes.select(["score", "residual", "found"]).take(np.arange(len(outcomes)))
    for name in ("rung", "category"):
        counted = counted.append_column(name, outcomes[name].dictionary_encode())
    return counted


@dataclass(frozen=True)
class _Worker:
    photos: shards.Shards
    detections: DetectionTable
    options: Align


_worker: _Worker | None = None


def _start_worker(photos: Path, detections: Path, options: Align) -> None:
    """Open the photos and their table, once in every worker."""
    global _worker
    _worker = _Worker(shards.read_shards(photos, "photos"), DetectionTable(detections), options)


def _align_job(job: range) -> pa.Table:
    """The rows of the photos of `job`, as OUTCOME_SCHEMA says."""
    assert _worker is not None, "map_ordered runs _start_worker first"
    detections = _worker.detections.read(job)
    outcomes = _outcomes(_worker, job, detections)
    known = _worker.photos.rows(job, ["label", "identity", "source"]).to_pylist()
    counts = np.diff(detections.starts).tolist()
    rows = [
        {**photo, "found": found, **outcomes[number]} for number, photo, found in zip(job, known, counts, strict=True)
    ]
    return pa.Table.from_pylist(rows, OUTCOME_SCHEMA)


def _outcomes(worker: _Worker, job: range, detections: Detections) -> dict[int, dict[str, Any]]:
    """For every photo the columns of its face or failure."""
    errors, options = dict(zip(job, detections.errors, strict=True)), worker.options
    outcomes: dict[int, dict[str, Any]] = {
        number: {"category": "undecodable", "reason": error} for number, error in errors.items() if error
    }
    photos = {number: photo for number, photo in _photos(worker, job, detections).items() if not errors[number]}
    faces: dict[int, ChosenFace] = {}
    for number, found in zip(photos, choose_faces(list(photos.values()), options), strict=True):
        if isinstance(found, ChosenFace):
            faces[number] = found
        else:
            outcomes[number] = {"category": found.category, "reason": str(found)}
    order = list(faces.values())
    matrices = crop_matrices(order, [photos[number].size for number in faces], options)
    for number, matrix, residual in zip(faces, matrices, _residuals(order, options), strict=True):
        outcomes[number] = _cut(worker, number, faces[number], matrix) | {"residual": residual}
    return outcomes


def _photos(worker: _Worker, job: range, detections: Detections) -> dict[int, PhotoFaces]:
    options = worker.options
    boxes: list[Any] = [None] * len(job)
    landmarks = boxes
    if options.rule == "annotated" or "annotation" in options.fallbacks:
        rows = worker.photos.rows(job, ["box", "landmarks"])
        boxes, landmarks = rows["box"].to_pylist(), rows["landmarks"].to_pylist()
    return {
        number: PhotoFaces(
            (int(detections.sizes[place, 0]), int(detections.sizes[place, 1])),
            detections[place],
            detections.retried(place),
            None if box is None else np.array(box, np.float32),
            None if points is None else np.array(points, np.float32),
        )
        for place, (number, box, points) in enumerate(zip(job, boxes, landmarks, strict=True))
    }


def _residuals(faces: Sequence[ChosenFace], options: Align) -> list[float | None]:
    """How far each face's landmarks, aligned, are from the template; None for a face without."""
    nowhere = np.full((5, 2), np.nan)
    landmarks = np.array([nowhere if face.landmarks is None else face.landmarks for face in faces]).reshape(-1, 5, 2)
    known = alignment.usable(landmarks)
    distances = iter(alignment.residuals(landmarks[known], options.size).tolist())
    return [next(distances) if each else None for each in known]


def _cut(worker: _Worker, number: int, face: ChosenFace, matrix: NDArray[np.float64]) -> dict[str, Any]:
    """The columns of a face; those of a failure where the photo cannot be decoded after all."""
    options = worker.options
    try:
        photo = images.decode(worker.photos.image(number))
    except ImageError as error:
        return {"category": "undecodable", "reason": str(error)}
    return {
        "image": cut_crop(photo, matrix, options),
        "box": face.box,
        "landmarks": None if face.landmarks is None else face.landmarks.tolist(),
        "score": face.score,
        "rung": face.fallback,
    }
