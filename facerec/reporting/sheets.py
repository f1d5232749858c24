"""Contact sheets: many equal pictures in one, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.errors import ParamsError
from facerec.files import atomic_file

_GREY = 128


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    columns: int,
    landmarks: Sequence[NDArray[np.float32]] | None = None,
    labels: Sequence[str] | None = None,
    gap: int = 2,
) -> NDArray[np.uint8]:
    """Tile RGB images of equal size row by row on white; landmarks (k, 2) and a label may be drawn on each.

    Raises ValueError for no images, images of unequal size or fewer than one column.
    """
    if not images or columns < 1 or any(image.shape != images[0].shape for image in images):
        raise ValueError(
            "A contact sheet takes at least one image, all of one size, and at least one column."
        )
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, image in enumerate(images):
        tile = image.copy()
        for x, y in landmarks[number] if landmarks is not None else ():
            cv2.circle(
                tile, (round(float(x)), round(float(y))), max(1, width // 90), (0, 230, 60), -1, cv2.LINE_AA
            )
        if labels is not None:
            cv2.putText(
                tile,
                labels[number],
                (3, height - 5),
                cv2.FONT_HERSHEY_SIMPLEX,
                width / 500,
                (255, 255, 255),
                1,
                cv2.LINE_AA,
            )
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def thumbnail(image: NDArray[np.uint8], side: int = 112) -> NDArray[np.uint8]:
    """The whole RGB image, at its own proportions, in a grey square of `side` pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((side, side, 3), _GREY, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


def write(sheet: NDArray[np.uint8], path: str | Path, quality: int = 95) -> None:
    """Write an RGB picture as .png or .jpg of that `quality`, by its name; ParamsError for any other name."""
    check_name(path)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if Path(path).suffix == ".jpg" else []
    encoded = cv2.imencode(Path(path).suffix, sheet[..., ::-1], options)[1]
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def check_name(path: str | Path) -> None:
    """ParamsError unless a picture can be written under this name."""
    if Path(path).suffix not in (".png", ".jpg"):
        raise ParamsError(f"a sheet is written as .png or .jpg, not {Path(path).name}.")
