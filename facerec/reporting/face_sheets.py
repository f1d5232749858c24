"""A picture of a face set to look at: typical faces, the doubtful ones, and what was left out.

Wrong faces and swapped landmarks are seen at once, and nowhere else: a network trains on them without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.imaging import alignment, images, sheets
from facerec.imaging.sheets import (
    TILE,
    Image,
    add_caption,
    decode_or_grey,
    sample_rows,
    title_strip,
    titled_band,
)
from facerec.store import failures, shards

COLUMNS = 12
_RED, _GREEN = (255, 40, 40), (0, 230, 60)


def face_sheet(faces: str | Path, photos: str | Path | None = None) -> Image:
    """The contact sheet (h, w, 3) of face set `faces`, and of photos without a face where `photos` is given.

    Rows of up to 12 tiles: random faces (two rows), the largest residuals of the landmarks to the template, the
    lowest scores, each fallback, photos that gave no face. Under a tile stands its score, or the residual in pixels of a
    112 crop. The same set always gives the same sheet.
    """
    found = shards.read_shards(faces, "faces")
    bands = [titled_band(title, tiles, COLUMNS) for title, tiles in _groups(found)]
    lost = failures.read_failures(faces)
    if photos is not None and lost:
        bands.append(_lost(shards.read_shards(photos, "photos"), lost))
    return np.concatenate(bands or [title_strip(f"{found.meta.dataset}: no faces")])


def write_face_sheet(faces: str | Path, photos: str | Path | None, out: Path) -> None:
    """Write the sheet to `out`, a .jpg or .png."""
    sheets.check_sheet_name(out)
    sheets.write_sheet(face_sheet(faces, photos), out, quality=85)


def _groups(found: shards.Shards) -> Iterator[tuple[str, list[Image]]]:
    """Title and tiles of each row that has any."""
    residuals, scores = _residuals(found), _column(found, "score")
    fallbacks = found.table["rung"].to_pylist()
    rows = np.arange(len(found))

    def tiles(chosen: Sequence[int], label: Callable[[int], str], marked: bool = False) -> list[Image]:
        marks = _aligned(found, chosen) if marked else [None] * len(chosen)
        pictures = [images.decode(found.image(row)) for row in chosen]
        return [_tile(*each) for each in zip(pictures, map(label, chosen), marks, strict=True)]

    def score(row: int) -> str:
        return "" if np.isnan(scores[row]) else f"{scores[row]:.3f}"

    def residual(row: int) -> str:
        return "" if np.isnan(residuals[row]) else f"{residuals[row]:.1f} px"

    name = f"{found.meta.dataset}: {len(found):,} faces, {found.meta.template}"
    yield f"{name}; at random", tiles(sample_rows(rows, 2 * COLUMNS), score)
    yield "Landmarks farthest from the template", tiles(_first(-residuals), residual, marked=True)
    yield "Lowest scores", tiles(_first(scores), score)
    for fallback in sorted({fallback for fallback in fallbacks if fallback}):
        own = np.array([row for row in rows if fallbacks[row] == fallback])
        yield f"Fallback {fallback}: {len(own):,}", tiles(sample_rows(own, COLUMNS), score)


def _first(values: NDArray[np.float64]) -> list[int]:
    """Rows of the smallest values, smallest first; those without a value do not count."""
    order = np.argsort(values, kind="stable")[:COLUMNS]
    return [int(row) for row in order if not np.isnan(values[row])]


def _column(found: shards.Shards, name: str) -> NDArray[np.float64]:
    return np.array(
        [np.nan if value is None else value for value in found.table[name].to_pylist()], np.float64
    )


def _residuals(found: shards.Shards) -> NDArray[np.float64]:
    """(n,) of every face, in pixels of a 112 crop; NaN for a face without landmarks."""
    nowhere = [[np.nan, np.nan]] * 5
    landmarks = np.array([points or nowhere for points in found.table["landmarks"].to_pylist()], np.float64)
    usable = alignment.usable(landmarks.reshape(-1, 5, 2))
    values = np.full(len(found), np.nan)
    values[usable] = alignment.residuals(landmarks.reshape(-1, 5, 2)[usable])
    return values


def _aligned(found: shards.Shards, rows: Sequence[int]) -> list[NDArray[np.float64] | None]:
    """Landmarks (5, 2) in the crops of these rows, None where the crops are not aligned to the template."""
    size = found.meta.size
    if size is None or not rows or found.meta.template != alignment.template_name(size):
        return [None] * len(rows)
    points = np.array([found.table["landmarks"][row].as_py() for row in rows], np.float64)
    matrices = alignment.similarity(points, size)
    return list(points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2])


def _tile(image: Image, caption: str, marks: NDArray[np.float64] | None = None) -> Image:
    """The image inside a square above its caption; `marks` (5, 2) drawn, the first one red."""
    canvas, radius = image.copy(), max(1, round(max(image.shape) / 56))
    for number, (x, y) in enumerate([] if marks is None else marks.round(2).tolist()):
        cv2.circle(canvas, (round(x), round(y)), radius, _GREEN if number else _RED, -1, cv2.LINE_AA)
    return add_caption(sheets.thumbnail(canvas, TILE), caption)


def _lost(photos: shards.Shards, lost: Sequence[failures.Failure]) -> Image:
    """Photos that gave no face, each with the category of the reason."""
    rows = {source: row for row, source in enumerate(photos.sources)}
    shown = [lost[number] for number in sample_rows(range(len(lost)), COLUMNS)]
    tiles = [_tile(decode_or_grey(photos.image(rows[each.source])), each.category) for each in shown]
    return titled_band(f"Photos without a face: {len(lost):,}", tiles, COLUMNS)
