"""A picture of a face set to look at: typical faces, the doubtful ones, and what was left out.

Wrong faces and swapped landmarks are seen at once, and nowhere else: a network trains on them without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec import alignment, images
from facerec.errors import ImageError
from facerec.files import atomic_file
from facerec.formats import failures, shards
from facerec.reporting.sheets import check_name, contact_sheet, thumbnail

COLUMNS = 12
_TILE = 112
_TITLE, _CAPTION = 24, 14  # pixels of the strips with a row's title and a tile's caption
_INK, _PAPER = (40, 40, 40), 255
_RED, _GREEN = (255, 40, 40), (0, 230, 60)
_SEED = 1  # the random faces are the same in every run

Image = NDArray[np.uint8]


def sheet(faces: str | Path, photos: str | Path | None = None) -> Image:
    """The contact sheet (h, w, 3) of face set `faces`, and of photos without a face where `photos` is given.

    Rows of up to 12 tiles: random faces (two rows), the largest residuals of the landmarks to the template, the
    lowest scores, each rung, photos that gave no face. Under a tile stands its score, or the residual in pixels of a
    112 crop. The same set always gives the same sheet.
    """
    found = shards.read(faces, "faces")
    bands = [_band(title, tiles) for title, tiles in _groups(found)]
    lost = failures.read(faces)
    if photos is not None and lost:
        bands.append(_lost(shards.read(photos, "photos"), lost))
    return np.concatenate(bands or [_strip(f"{found.meta.dataset}: no faces")])


def write(faces: str | Path, photos: str | Path | None, out: Path) -> None:
    """Write the sheet to `out`, a .jpg or .png."""
    check_name(out)
    picture = sheet(faces, photos)
    if out.suffix == ".jpg":
        data = images.encode_jpeg(picture, 85)
    else:
        data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    with atomic_file(out) as temporary:
        temporary.write_bytes(data)


def _groups(found: shards.Shards) -> Iterator[tuple[str, list[Image]]]:
    """Title and tiles of each row that has any."""
    residuals, scores = _residuals(found), _column(found, "score")
    rungs = found.table["rung"].to_pylist()
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
    yield f"{name}; at random", tiles(_random(rows, 2 * COLUMNS), score)
    yield "Landmarks farthest from the template", tiles(_first(-residuals), residual, marked=True)
    yield "Lowest scores", tiles(_first(scores), score)
    for rung in sorted({rung for rung in rungs if rung}):
        own = np.array([row for row in rows if rungs[row] == rung])
        yield f"Rung {rung}: {len(own):,}", tiles(_random(own, COLUMNS), score)


def _random(rows: NDArray[np.int64], count: int) -> list[int]:
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return [int(row) for row in rows[np.sort(chosen)]]


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
    """The image inside a square of _TILE pixels above its caption; `marks` (5, 2) drawn, the first one red."""
    canvas, radius = image.copy(), max(1, round(max(image.shape) / 56))
    for number, (x, y) in enumerate([] if marks is None else marks.round(2).tolist()):
        cv2.circle(canvas, (round(x), round(y)), radius, _GREEN if number else _RED, -1, cv2.LINE_AA)
    tile = np.full((_TILE + _CAPTION, _TILE, 3), _PAPER, np.uint8)
    tile[:_TILE] = thumbnail(canvas, _TILE)
    cv2.putText(tile, caption, (2, _TILE + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, _INK, 1, cv2.LINE_AA)
    return tile


def _band(title: str, tiles: Sequence[Image]) -> Image:
    """A title and its tiles below it, as wide as every other band."""
    if not tiles:
        return _strip(f"{title}: none")
    blank = np.full_like(tiles[0], _PAPER)
    return np.concatenate(
        [_strip(title), contact_sheet([*tiles, *[blank] * (-len(tiles) % COLUMNS)], COLUMNS)]
    )


def _strip(title: str) -> Image:
    """A white strip with a title; what the font lacks becomes "?"."""
    strip = np.full((_TITLE, COLUMNS * (_TILE + 2) - 2, 3), _PAPER, np.uint8)
    text = title.encode("ascii", "replace").decode()
    cv2.putText(strip, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return strip


def _lost(photos: shards.Shards, lost: Sequence[failures.Failure]) -> Image:
    """Photos that gave no face, each with the category of the reason."""
    rows = {source: row for row, source in enumerate(photos.sources)}
    shown = _random(np.arange(len(lost)), COLUMNS)
    tiles = []
    for failure in (lost[number] for number in shown):
        try:
            image = images.decode(photos.image(rows[failure.source]))
        except ImageError:
            image = np.full((_TILE, _TILE, 3), 120, np.uint8)
        tiles.append(_tile(image, failure.category))
    return _band(f"Photos without a face: {len(lost):,}", tiles)
