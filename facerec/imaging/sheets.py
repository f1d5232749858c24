"""Contact sheets: many small pictures in one, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.core import ImageError, ParamsError, atomic_file, shown
from facerec.imaging import images

TILE = 112
"""Side in pixels of a face on a sheet."""
WIDTH = 12 * (TILE + 2) - 2
"""Of every sheet: twelve faces and the gaps between them."""
CAPTION = 14
"""Height in pixels of the caption of a tile."""

_TITLE = 24  # height in pixels of the title of a band
_SEED = 1  # random tiles are the same in every run
_INK, _PAPER = (40, 40, 40), 255
_AROUND, _UNREADABLE = 128, 120  # greys around a thumbnail, and in place of a picture that cannot be decoded

Image = NDArray[np.uint8]


def contact_sheet(
    images: Sequence[Image],
    columns: int,
    landmarks: Sequence[NDArray[np.float32]] | None = None,
    labels: Sequence[str] | None = None,
    gap: int = 2,
) -> Image:
    """Tile RGB images of equal size row by row on white; landmarks (k, 2) and a label may be drawn on each.

    Raises ValueError for no images, images of unequal size or fewer than one column.
    """
    if not images or columns < 1 or any(image.shape != images[0].shape for image in images):
        raise ValueError("A contact sheet takes at least one image, all of one size, and at least one column.")
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), _PAPER, np.uint8)
    for number, image in enumerate(images):
        tile = image.copy()
        for x, y in landmarks[number] if landmarks is not None else ():
            place = round(float(x)), round(float(y))
            cv2.circle(tile, place, max(1, width // 90), (0, 230, 60), -1, cv2.LINE_AA)
        if labels is not None:
            place, white = (3, height - 5), (255, 255, 255)
            cv2.putText(
                tile, _plain(labels[number]), place, cv2.FONT_HERSHEY_SIMPLEX, width / 500, white, 1, cv2.LINE_AA
            )
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def thumbnail(image: Image, side: int = 112) -> Image:
    """The whole RGB image, at its own proportions, in a grey square of `side` pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((side, side, 3), _AROUND, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


def write_sheet(sheet: Image, path: str | Path, quality: int = 95) -> None:
    """Write an RGB picture as .png or .jpg of that `quality`, by its name; ParamsError for any other name."""
    check_sheet_name(path)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if Path(path).suffix == ".jpg" else []
    encoded = cv2.imencode(Path(path).suffix, sheet[..., ::-1], options)[1]
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def check_sheet_name(path: str | Path) -> None:
    """ParamsError unless a picture can be written under this name."""
    if Path(path).suffix not in (".png", ".jpg"):
        raise ParamsError(f"a sheet is written as .png or .jpg, not {Path(path).name}.")


def titled_band(title: str, tiles: Sequence[Image], columns: int) -> Image:
    """A title and its tiles, all of one shape, in rows of `columns` below it; `WIDTH` pixels wide."""
    if not tiles:
        return title_strip(f"{title}: none")
    blank = np.full_like(tiles[0], _PAPER)
    rows = contact_sheet([*tiles, *[blank] * (-len(tiles) % columns)], columns)
    margin = np.full((len(rows), WIDTH - rows.shape[1], 3), _PAPER, np.uint8)
    return np.concatenate([title_strip(title), np.concatenate([rows, margin], axis=1)])


def title_strip(title: str) -> Image:
    """A white strip with a title; characters that the font lacks become "?"."""
    picture = np.full((_TITLE, WIDTH, 3), _PAPER, np.uint8)
    _write(picture, title, (4, 17), 0.5)
    return picture


def add_caption(image: Image, caption: str) -> Image:
    """The image above a white strip with its caption."""
    below = np.full((CAPTION, image.shape[1], 3), _PAPER, np.uint8)
    _write(below, caption, (2, 11), 0.36)
    return np.concatenate([image, below])


def decode_or_grey(data: bytes | memoryview) -> Image:
    """The picture, or a grey square where the bytes cannot be decoded."""
    try:
        return images.decode(data)
    except ImageError:
        return np.full((TILE, TILE, 3), _UNREADABLE, np.uint8)


def sample_rows(rows: Sequence[int] | NDArray[np.int64], count: int) -> list[int]:
    """`count` of the rows (all, if there are fewer), in their order; the same ones in every run."""
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return [int(rows[place]) for place in np.sort(chosen)]


def _write(picture: Image, text: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(picture, _plain(text), place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)


def _plain(text: str) -> str:
    """As the font can write it."""
    return shown(text).encode("ascii", "replace").decode()
