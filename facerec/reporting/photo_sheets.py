"""A picture of photos to look at: the boxes and landmarks found in them, and the face each of them gave.

Shows what a face sheet cannot: which of several faces was taken, and why a photo gave none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facerec.detection import table
from facerec.detection.faces import Faces, draw_faces
from facerec.imaging import sheets
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
from facerec.store import failures, shards

COLUMNS = 5
_SIDE = TILE + 3 * CAPTION  # pixels of a photo: as high as a face and three captions below it
_KEPT = (0, 230, 60)
_PAPER, _GREY = 255, 225


@dataclass(frozen=True)
class _Set:
    """A set of photos, what was found in them, and what they gave, by number of the photo."""

    photos: shards.Shards
    detections: table.Detections
    faces: shards.Shards
    rows: dict[int, int]
    """Row in `faces` of the face of a photo."""
    lost: dict[int, str]
    """Why a photo gave none, in a word."""


def photo_sheet(photos: str | Path, detections: str | Path, faces: str | Path) -> Image:
    """The sheet (h, w, 3) of a photo set, its detection table and the face set made of both.

    Rows of up to 5 photos: at random, the lowest scores, the most faces, each fallback but the first, no face (two
    rows). White boxes are what the detector found, a green one is the face that was taken; beside a photo that face
    as it was cut out, its fallback, its score and how many faces there were. Equal sets give equal sheets.
    """
    found = _read(photos, detections, faces)
    bands = [
        titled_band(
            f"{title}: {count:,} photos" if count else title, [_tile(found, each) for each in shown], COLUMNS
        )
        for title, count, shown in _groups(found)
    ]
    return np.concatenate(bands or [title_strip(f"{found.photos.meta.dataset}: no photos")])


def write_photo_sheet(photos: str | Path, detections: str | Path, faces: str | Path, out: Path) -> None:
    """Write the sheet to `out`, a .jpg or .png."""
    sheets.check_sheet_name(out)
    sheets.write_sheet(photo_sheet(photos, detections, faces), out, quality=85)


def _read(photos: str | Path, detections: str | Path, faces: str | Path) -> _Set:
    taken = shards.read_shards(photos, "photos")
    numbers = {source: number for number, source in enumerate(taken.sources)}
    aligned = shards.read_shards(faces, "faces")
    rows = {numbers[source]: row for row, source in enumerate(aligned.sources)}
    lost = {numbers[failure.source]: failure.category for failure in failures.read_failures(faces)}
    return _Set(taken, table.read_detections(detections), aligned, rows, lost)


def _groups(found: _Set) -> Iterator[tuple[str, int, list[int]]]:
    """Title of a row, how many photos it is about, and those it shows."""
    name, count = found.photos.meta.dataset, len(found.photos)
    yield f"{name}, some at random", count, sample_rows(range(count), COLUMNS)
    scores, fallbacks = (found.faces.table[column].to_pylist() for column in ("score", "rung"))
    scored = [photo for photo, row in found.rows.items() if scores[row] is not None]
    yield "Lowest scores", 0, sorted(scored, key=lambda photo: float(scores[found.rows[photo]]))[:COLUMNS]
    counts = np.diff(found.detections.starts)
    several = np.flatnonzero(counts > 1)
    most = several[np.argsort(-counts[several], kind="stable")][:COLUMNS]
    yield "Several faces", len(several), most.tolist()
    for fallback in sorted({fallback for fallback in fallbacks if fallback not in (None, "detector")}):
        own = [photo for photo, row in found.rows.items() if fallbacks[row] == fallback]
        yield f"Taken by the fallback {fallback}", len(own), sample_rows(own, COLUMNS)
    lost = list(found.lost)
    yield "No face taken", len(lost), sample_rows(lost, 2 * COLUMNS)


def _tile(found: _Set, photo: int) -> Image:
    """A photo with what was found in it, beside the face it gave."""
    count = len(found.detections[photo])
    row = None if photo not in found.rows else found.faces.row(found.rows[photo])
    face = np.full((TILE, TILE, 3), _GREY, np.uint8) if row is None else _face(row)
    for line in _captions(found, photo, row, count):
        face = add_caption(face, line)
    gap = np.full((_SIDE, 2, 3), _PAPER, np.uint8)
    return np.concatenate([_marked(found, photo, row), gap, face], axis=1)


def _face(row: dict[str, Any]) -> Image:
    return sheets.thumbnail(decode_or_grey(row["image"]), TILE)


def _captions(found: _Set, photo: int, row: dict[str, Any] | None, count: int) -> list[str]:
    seen = f"{count} face{'' if count == 1 else 's'} found"
    if row is None:
        return [found.lost.get(photo, ""), "", seen]
    return [row["rung"] or "", "" if row["score"] is None else f"score {row['score']:.3f}", seen]


def _marked(found: _Set, photo: int, row: dict[str, Any] | None) -> Image:
    """The photo in a square of _SIDE, everything that was found in white, what was taken in green."""
    image = decode_or_grey(found.photos.image(photo))
    scale = _SIDE / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    marked = draw_faces(small, _scaled(found.detections[photo], scale))
    if row is not None and row["box"] is not None:
        points = np.empty((0, 2), np.float32) if row["landmarks"] is None else row["landmarks"]
        taken = Faces(row["box"][None], points[None], np.ones(1, np.float32))
        marked = draw_faces(marked, _scaled(taken, scale), _KEPT)
    return sheets.thumbnail(marked, _SIDE)


def _scaled(faces: Faces, scale: float) -> Faces:
    return Faces(faces.boxes * np.float32(scale), faces.landmarks * np.float32(scale), faces.scores)
