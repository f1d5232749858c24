"""Windows of a photo as MTCNN's networks want them: averaged to a small size, scaled to about -1..1.

Output pixel i of n averages the pixels floor(i * size / n) up to ceil((i + 1) * size / n), each in whole,
which is "area" interpolation in torch (adaptive average pooling). OpenCV's INTER_AREA weighs the pixels at
the ends by their share instead, and moves the landmarks of MTCNN by most of a pixel.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Window = tuple[int, int, int, int]
"""Left, top, right, bottom: edges between pixels, so the window is right - left pixels wide."""


def averaged(
    image: NDArray[np.uint8], window: Window, shape: tuple[int, int], part: Window | None = None
) -> NDArray[np.float32]:
    """The window of an RGB image (h, w, 3), black outside it, averaged to `shape` (rows, columns).

    `part` of the result is made, by default all of it: (rows, columns, 3), (mean - 127.5) / 128.
    """
    left, top, right, bottom = (0, 0, shape[1], shape[0]) if part is None else part
    out = np.empty((bottom - top, right - left, 3), np.float32)
    _average(image, window, shape, (left, top), out)
    return out


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _average(image: Any, window: Any, shape: Any, start: Any, out: Any) -> None:
    """Fill `out` row by row: sum the rows of the photo that an output row spans, then the columns of the sums."""
    left, top = window[0], window[1]
    width, height = window[2] - left, window[3] - top
    sums = np.empty(3 * image.shape[1], np.int32)
    for row in range(out.shape[0]):
        y1 = top + (row + start[1]) * height // shape[0]
        y2 = top - (-(row + start[1] + 1) * height // shape[0])
        first = max(0, left + start[0] * width // shape[1])
        last = min(image.shape[1], left - (-(start[0] + out.shape[1]) * width // shape[1]))
        sums[3 * first : 3 * last] = 0
        for y in range(max(y1, 0), min(y2, image.shape[0])):
            line = image[y].reshape(-1)
            for k in range(3 * first, 3 * last):
                sums[k] += line[k]
        for column in range(out.shape[1]):
            x1 = left + (column + start[0]) * width // shape[1]
            x2 = left - (-(column + start[0] + 1) * width // shape[1])
            red = green = blue = 0
            for x in range(max(x1, first), min(x2, last)):
                red += sums[3 * x]
                green += sums[3 * x + 1]
                blue += sums[3 * x + 2]
            pixels = (y2 - y1) * (x2 - x1)
            out[row, column, 0] = (red / pixels - 127.5) / 128
            out[row, column, 1] = (green / pixels - 127.5) / 128
            out[row, column, 2] = (blue / pixels - 127.5) / 128
