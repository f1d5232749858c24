"""Contact sheets of a set, for a person to check: photos with the faces found in them, and the aligned faces.

They show errors that no metric shows: a wrong face taken from a photo, swapped landmarks, a photo without a face. A
network would train on them without any warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.detection import Faces, draw_faces, table
from facerec.imaging import alignment, sheets
from facerec.imaging.sheets import (
    CAPTION,
    TILE,
    Image,
    add_caption,
    decode_or_grey,
    sample_rows,
    title_strip,
    titled_band,
)
from facerec.store import shards
from facerec.store.shards import Failure, read_failures

FACE_COLUMNS, PHOTO_COLUMNS = 12, 5
"""Tiles in a row of either sheet."""
_SIDE = TILE + 3 * CAPTION  # of a photo in pixels: as high as a face with three captions below it
_RED, _GREEN = (255, 40, 40), (0, 230, 60)
_PAPER, _GREY = 255, 225
_BLOCK = 1 << 16  # faces whose landmarks are in memory at a time


def write_face_sheet(faces: str | Path, photos: str | Path | None, out: Path) -> None:
    """Write `face_sheet` to `out`, a .jpg or .png."""
    sheets.write_sheet(face_sheet(faces, photos), out, quality=85)


def write_photo_sheet(photos: str | Path, detections: str | Path, faces: str | Path, out: Path) -> None:
    """Write `photo_sheet` to `out`, a .jpg or .png."""
    sheets.write_sheet(photo_sheet(photos, detections, faces), out, quality=85)


def face_sheet(faces: str | Path, photos: str | Path | None = None) -> Image:
    """The contact sheet of a face set. The same set always gives the same sheet.

    Rows of up to 12 tiles: random faces (two rows), the landmarks farthest from the template, the lowest scores, some
    faces of each fallback, photos without a face. The caption of a tile is its score, or the residual of its landmarks
    in pixels of a 112 crop.

    Args:
        faces: the face set.
        photos: the photo set it was made from; without it, photos without a face are not shown.

    Returns:
        (h, w, 3) RGB.
    """
    found = shards.read_shards(faces, "faces")
    bands = [titled_band(title, tiles, FACE_COLUMNS) for title, tiles in _face_rows(found)]
    failed = read_failures(found)
    if photos is not None and failed:
        bands.append(_photos_without_a_face(shards.read_shards(photos, "photos"), failed))
    return np.concatenate(bands or [title_strip(f"{found.meta.dataset}: no faces")])


def _face_rows(found: shards.Shards) -> Iterator[tuple[str, list[Image]]]:
    """Title and tiles of each row."""
    residuals, scores = _residuals(found), found.column("score").to_numpy().astype(np.float64)
    fallbacks = _Fallbacks(found)
    rows = np.arange(len(found))

    def scored(chosen: Sequence[int]) -> list[Image]:
        captions = ["" if np.isnan(scores[row]) else f"{scores[row]:.3f}" for row in chosen]
        return _face_tiles(found, chosen, captions, [None] * len(chosen))

    name = f"{found.meta.dataset}: {len(found):,} faces, {found.meta.template}"
    yield f"{name}; at random", scored(sample_rows(rows, 2 * FACE_COLUMNS))
    farthest = _lowest(-residuals)
    captions = [f"{residuals[row]:.1f} px" for row in farthest]
    marked = _face_tiles(found, farthest, captions, _aligned_landmarks(found, farthest))
    yield "Landmarks farthest from the template", marked
    yield "Lowest scores", scored(_lowest(scores))
    for fallback in sorted(filter(None, fallbacks.names)):
        own = fallbacks.rows(fallback)
        yield f"Found by {fallback}: {len(own):,}", scored(sample_rows(own, FACE_COLUMNS))


def _lowest(values: NDArray[np.float64]) -> list[int]:
    """Rows of the lowest values, lowest first, without NaN."""
    order: list[int] = np.argsort(values, kind="stable")[:FACE_COLUMNS].tolist()
    return [row for row in order if not np.isnan(values[row])]


def _residuals(found: shards.Shards) -> NDArray[np.float64]:
    """(n,) in pixels of a 112 crop; NaN for a face without landmarks."""
    values = np.full(len(found), np.nan)
    for start in range(0, len(found), _BLOCK):
        column = found.rows(range(start, min(start + _BLOCK, len(found))), ["landmarks"])["landmarks"].combine_chunks()
        landmarks = np.full((len(column), 5, 2), np.nan)
        known = np.asarray(column.is_valid())
        landmarks[known] = np.asarray(column.flatten().flatten(), np.float64).reshape(-1, 5, 2)
        usable = alignment.usable(landmarks)
        values[start : start + _BLOCK][usable] = alignment.residuals(landmarks[usable])
    return values


class _Fallbacks:
    """The fallbacks that faces come from, as numbers."""

    def __init__(self, found: shards.Shards) -> None:
        coded = found.column("rung").dictionary_encode(null_encoding="encode").combine_chunks()
        self.names: list[str | None] = coded.dictionary.to_pylist()
        self._codes = coded.indices.to_numpy()

    def rows(self, name: str) -> NDArray[np.int64]:
        """The faces from one of them."""
        return np.flatnonzero(self._codes == self.names.index(name))


def _aligned_landmarks(found: shards.Shards, rows: Sequence[int]) -> list[NDArray[np.float64] | None]:
    """Landmarks (5, 2) in the crops of these rows; None where the crops are not aligned to the template."""
    size = found.meta.size
    if size is None or not rows or found.meta.template != alignment.template_name(size):
        return [None] * len(rows)
    points = np.array([found.row(row)["landmarks"] for row in rows], np.float64)
    matrices = alignment.similarity(points, size)
    return list(points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2])


def _face_tiles(
    found: shards.Shards, rows: Sequence[int], captions: Sequence[str], marks: Sequence[Any]
) -> list[Image]:
    pictures = [decode_or_grey(found.image(row)) for row in rows]
    return [_face_tile(*each) for each in zip(pictures, captions, marks, strict=True)]


def _face_tile(image: Image, caption: str, marks: NDArray[np.float64] | None = None) -> Image:
    """The image in a square above its caption, with `marks` (5, 2) drawn on it, the first one red."""
    canvas, radius = image.copy(), max(1, round(max(image.shape) / 56))
    for number, (x, y) in enumerate([] if marks is None else marks.round(2).tolist()):
        cv2.circle(canvas, (round(x), round(y)), radius, _GREEN if number else _RED, -1, cv2.LINE_AA)
    return add_caption(sheets.thumbnail(canvas, TILE), caption)


def _photos_without_a_face(photos: shards.Shards, failed: Sequence[Failure]) -> Image:
    """A row of them, each with the category of its failure."""
    shown = [failed[number] for number in sample_rows(range(len(failed)), FACE_COLUMNS)]
    places = photos.find([each.source for each in shown]).tolist()
    tiles = [
        _face_tile(decode_or_grey(photos.image(place)), each.category)
        for place, each in zip(places, shown, strict=True)
    ]
    return titled_band(f"Photos without a face: {len(failed):,}", tiles, FACE_COLUMNS)


def photo_sheet(photos: str | Path, detections: str | Path, faces: str | Path) -> Image:
    """The contact sheet (h, w, 3) of a photo set, its detections and its face set. It is always the same for them.

    Rows of up to 5 photos: at random, the lowest scores, the most faces, each fallback, no face (two rows). White boxes
    are the faces that the detector found, the green one was taken. Beside a photo stands its aligned face, with its
    fallback, its score and the number of faces found.
    """
    found = _read_photo_set(photos, detections, faces)
    bands = []
    for title, count, shown in _photo_rows(found):
        tiles = [_photo_tile(found, photo) for photo in shown]
        bands.append(titled_band(f"{title}: {count:,} photos" if count else title, tiles, PHOTO_COLUMNS))
    return np.concatenate(bands or [title_strip(f"{found.photos.meta.dataset}: no photos")])


@dataclass(frozen=True)
class _PhotoSet:
    """A photo set, its detections and its faces.

    Attributes:
        numbers: (faces,) number of the photo of each face.
        rows: (photos,) row of the face of each photo in `faces`, -1 for none.
        failed: number of a photo without a face -> category of the failure.
    """

    photos: shards.Shards
    detections: table.DetectionTable
    faces: shards.Shards
    numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    failed: dict[int, str]


def _read_photo_set(photos: str | Path, detections: str | Path, faces: str | Path) -> _PhotoSet:
    taken, aligned = shards.read_shards(photos, "photos"), shards.read_shards(faces, "faces")
    numbers, failures = taken.find(aligned.column("source")), read_failures(aligned)
    rows = np.full(len(taken), -1)
    rows[numbers] = np.arange(len(numbers))
    places = taken.find([failure.source for failure in failures]).tolist()
    failed = {place: failure.category for place, failure in zip(places, failures, strict=True)}
    return _PhotoSet(taken, table.DetectionTable(detections), aligned, numbers, rows, failed)


def _photo_rows(found: _PhotoSet) -> Iterator[tuple[str, int, list[int]]]:
    """Title of a row, how many photos it is about, and those it shows."""
    name, count = found.photos.meta.dataset, len(found.photos)
    yield f"{name}, some at random", count, sample_rows(range(count), PHOTO_COLUMNS)
    scores, fallbacks = found.faces.column("score").to_numpy().astype(np.float64), _Fallbacks(found.faces)
    yield "Lowest scores", 0, found.numbers[_lowest(scores)[:PHOTO_COLUMNS]].tolist()
    counts = found.detections.faces_of_photos()
    several = np.flatnonzero(counts > 1)
    most = several[np.argsort(-counts[several], kind="stable")][:PHOTO_COLUMNS]
    yield "Several faces", len(several), most.tolist()
    for fallback in sorted(name for name in fallbacks.names if name and name != "detector"):
        own = found.numbers[fallbacks.rows(fallback)]
        yield f"Taken by the fallback {fallback}", len(own), sample_rows(own, PHOTO_COLUMNS)
    yield "No face taken", len(found.failed), sample_rows(list(found.failed), 2 * PHOTO_COLUMNS)


def _photo_tile(found: _PhotoSet, photo: int) -> Image:
    """A photo with its detections, beside its aligned face."""
    row = found.faces.row(int(found.rows[photo])) if found.rows[photo] >= 0 else None
    seen = found.detections.read(range(photo, photo + 1))[0]
    empty = np.full((TILE, TILE, 3), _GREY, np.uint8)
    face = empty if row is None else sheets.thumbnail(decode_or_grey(row["image"]), TILE)
    for line in _captions(len(seen), found.failed.get(photo, ""), row):
        face = add_caption(face, line)
    gap = np.full((_SIDE, 2, 3), _PAPER, np.uint8)
    return np.concatenate([_marked_photo(found.photos.image(photo), seen, row), gap, face], axis=1)


def _captions(count: int, failure: str, row: dict[str, Any] | None) -> list[str]:
    seen = f"{count} face{'' if count == 1 else 's'} found"
    if row is None:
        return [failure, "", seen]
    return [row["rung"] or "", "" if row["score"] is None else f"score {row['score']:.3f}", seen]


def _marked_photo(photo: memoryview, seen: Faces, row: dict[str, Any] | None) -> Image:
    """The photo in a square of _SIDE pixels, the faces `seen` in white, the one that was taken in green."""
    image = decode_or_grey(photo)
    scale = _SIDE / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    marked = draw_faces(small, _scaled(seen, scale))
    if row is not None and row["box"] is not None:
        points = np.empty((0, 2), np.float32) if row["landmarks"] is None else row["landmarks"]
        taken = Faces(row["box"][None], points[None], np.ones(1, np.float32))
        marked = draw_faces(marked, _scaled(taken, scale), _GREEN)
    return sheets.thumbnail(marked, _SIDE)


def _scaled(faces: Faces, scale: float) -> Faces:
    return Faces(faces.boxes * np.float32(scale), faces.landmarks * np.float32(scale), faces.scores)
