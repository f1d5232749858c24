"""What the sheets of faces, photos and pairs are made of: rows of captioned tiles below a title."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec import images
from facerec.errors import ImageError
from facerec.reporting.sheets import contact_sheet

TILE = 112
"""Side in pixels of a face on a sheet."""
WIDTH = 12 * (TILE + 2) - 2
"""Of every sheet: twelve faces and the gaps between them."""
CAPTION = 14
"""Height in pixels of the caption of a tile."""
_TITLE = 24  # of that of a band
_SEED = 1  # random tiles are the same in every run
_INK, _PAPER, _GREY = (40, 40, 40), 255, 120

Image = NDArray[np.uint8]


def band(title: str, tiles: Sequence[Image], columns: int) -> Image:
    """A title and its tiles, all of one shape, in rows of `columns` below it; `WIDTH` pixels wide."""
    if not tiles:
        return strip(f"{title}: none")
    blank = np.full_like(tiles[0], _PAPER)
    rows = contact_sheet([*tiles, *[blank] * (-len(tiles) % columns)], columns)
    margin = np.full((len(rows), WIDTH - rows.shape[1], 3), _PAPER, np.uint8)
    return np.concatenate([strip(title), np.concatenate([rows, margin], axis=1)])


def strip(title: str) -> Image:
    """A white strip with a title; what the font lacks becomes "?"."""
    picture = np.full((_TITLE, WIDTH, 3), _PAPER, np.uint8)
    _write(picture, title, (4, 17), 0.5)
    return picture


def captioned(image: Image, caption: str) -> Image:
    """The image above a white strip with its caption."""
    below = np.full((CAPTION, image.shape[1], 3), _PAPER, np.uint8)
    _write(below, caption, (2, 11), 0.36)
    return np.concatenate([image, below])


def decoded(data: bytes | memoryview) -> Image:
    """The picture, or a grey square where the bytes are none."""
    try:
        return images.decode(data)
    except ImageError:
        return np.full((TILE, TILE, 3), _GREY, np.uint8)


def at_random(rows: Sequence[int] | NDArray[np.int64], count: int) -> list[int]:
    """`count` of the rows (all, where there are fewer), in their order; always the same ones."""
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return [int(rows[place]) for place in np.sort(chosen)]


def _write(picture: Image, text: str, place: tuple[int, int], scale: float) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
