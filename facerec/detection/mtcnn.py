"""MTCNN (Zhang et al. 2016, arXiv:1604.02878): three networks, each looking closer at the candidates of the last.

As in the published system: thresholds .6, .7, .7, pyramid factor .709, resizing by area, black outside the
photo; boxes are suppressed before they are moved, at IoU .5 within a scale, .7 between scales and after RNet,
but after they are moved at .7 of the smaller box after ONet. docs/detection.md compares it with others.

Boxes follow the published system too: pixels are counted from 1 and both ends belong to the box, so it is
x2 - x1 + 1 pixels wide. Landmarks count pixels from 0.

Windows of a photo are averaged to the input size of a network: output pixel i of n averages the pixels
floor(i * size / n) up to ceil((i + 1) * size / n), each in whole, which is "area" interpolation in torch (adaptive
average pooling). OpenCV's INTER_AREA weighs the pixels at the ends by their share instead, and moves the landmarks
of MTCNN by most of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from facerec.core import ParamsError, torch_device
from facerec.detection import mtcnn_networks
from facerec.detection.boxes import Boxes, moved_boxes, squared_boxes, suppress_contained, suppress_overlaps
from facerec.detection.faces import Faces, batch_images, check_images, sorted_faces

Image: TypeAlias = NDArray[np.uint8]

Window = tuple[int, int, int, int]
"""Left, top, right, bottom: edges between pixels, so the window is right - left pixels wide."""

_WINDOW, _STRIDE = 12, 2  # of PNet, pixels
_TILE = 512  # side of the part of PNet's map made at once: bounds memory for photos of any size
_CROPS = {24: 256, 48: 64}  # crops in one batch


_Candidates: TypeAlias = NDArray[np.float64]
"""(n, 9): boxes, the corrections (4) that a network gives for them, scores."""


class MTCNN:
    """MTCNN with the weights of the `mtcnn` package.

    Args:
        min_face: side in pixels of the smallest face looked for; time grows with 1 / min_face^2.
        thresholds: probability that a face needs after each of the three networks.
        factor: ratio of neighbouring scales of the pyramid.
        device: where the networks run, by default the machine's.
    """

    name = "mtcnn"

    def __init__(
        self,
        min_face: float = 20,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
        device: str | torch.device | None = None,
    ) -> None:
        if not (min_face >= _WINDOW and 0 < factor < 1 and len(thresholds) == 3):
            raise ParamsError("mtcnn needs min_face >= 12, 0 < factor < 1 and three thresholds.")
        self.min_face, self.factor, self.thresholds = min_face, factor, tuple(thresholds)
        self.device = torch_device() if device is None else torch.device(device)
        weights = mtcnn_networks.weights_folder()
        self._pnet, self._rnet, self._onet = (
            mtcnn_networks.load_mtcnn_weights(network, weights / file).to(self.device)
            for network, file in (
                (mtcnn_networks.pnet(), "pnet.lz4"),
                (mtcnn_networks.rnet(), "rnet.lz4"),
                (mtcnn_networks.onet(), "onet.lz4"),
            )
        )

    @torch.inference_mode()
    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """The faces of each RGB uint8 image (h, w, 3); a photo smaller than `min_face` has none."""
        images, found = check_images(images), dict[int, Faces]()
        for batch in batch_images(images, self.device):
            photos = [images[number] for number in batch]
            found |= zip(batch, self._output(photos, self._refine(photos, self._propose(photos))), strict=True)
        return [found[number] for number in range(len(images))]

    def scales(self, height: int, width: int) -> list[float]:
        """Scales of the pyramid: from min_face = 12 pixels down to where the photo is 12 pixels."""
        scales, scale = [], _WINDOW / self.min_face
        while min(height, width) * scale >= _WINDOW:
            scales.append(scale)
            scale *= self.factor
        return scales

    def _propose(self, images: Sequence[Image]) -> list[Boxes]:
        """The squares of each photo in which PNet sees a face; the photos have one size."""
        found = [[_NOTHING] for _ in images]
        for scale in self.scales(*images[0].shape[:2]):
            for levels, level in zip(found, self._level(images, scale), strict=True):
                levels.append(_suppressed(level, 0.5))
        return [_squared(_suppressed(np.concatenate(levels), 0.7), pixel=0) for levels in found]

    def _level(self, images: Sequence[Image], scale: float) -> list[_Candidates]:
        """Proposals of each photo at one scale, in photo pixels, made tile by tile."""
        height, width = images[0].shape[:2]
        shape = (int(height * scale + 1), int(width * scale + 1))
        found = [[_NOTHING] for _ in images]
        for tile in _tiles(shape):
            part = [average_window(image, (0, 0, width, height), shape, tile) for image in images]
            for tiles, moves, scores in zip(found, *self._run(self._pnet, np.stack(part)), strict=True):
                rows, columns = np.nonzero(scores >= self.thresholds[0])
                corner = _STRIDE * np.stack([columns, rows], axis=1) + np.array(tile[:2])
                windows = np.hstack([corner + 1, corner + _WINDOW]).astype(np.float32)
                boxes = np.floor(windows / np.float32(scale))
                tiles.append(np.column_stack([boxes, moves[:, rows, columns].T, scores[rows, columns]]))
        return [np.concatenate(tiles) for tiles in found]

    def _refine(self, images: Sequence[Image], proposed: Sequence[Boxes]) -> list[Boxes]:
        """RNet: squares that still look like faces, suppressed and moved."""
        refined = []
        for boxes, corrections, scores in self._look(self._rnet, images, proposed, 24):
            seen = np.column_stack([boxes, corrections, scores])[scores > self.thresholds[1]]
            refined.append(_squared(_suppressed(seen, 0.7), pixel=1))
        return refined

    def _output(self, images: Sequence[Image], refined: Sequence[Boxes]) -> Iterator[Faces]:
        """ONet: final boxes and landmarks of each photo."""
        for boxes, corrections, points, scores in self._look(self._onet, images, refined, 48):
            # ONet gives x1..x5, y1..y5 as fractions of the window.
            fractions = points.reshape(-1, 2, 5).transpose(0, 2, 1)
            sides = boxes[:, 2:] - boxes[:, :2] + 1
            landmarks = boxes[:, None, :2] - 1 + fractions * sides[:, None, :]
            moved = moved_boxes(boxes, corrections, 1)
            kept = np.flatnonzero(scores > self.thresholds[2])
            kept = kept[suppress_contained(moved[kept] + _BOTH_ENDS, scores[kept], 0.7)]
            yield sorted_faces(moved[kept], landmarks[kept], scores[kept])

    def _look(
        self, network: mtcnn_networks.MTCNNNetwork, images: Sequence[Image], boxes: Sequence[Boxes], side: int
    ) -> Iterator[tuple[NDArray[np.float64], ...]]:
        """The boxes of each photo, and the outputs of RNet or ONet for these windows."""
        windows = [(image, box) for image, each in zip(images, boxes, strict=True) for box in each]
        outputs = []
        for start in range(0, max(1, len(windows)), _CROPS[side]):
            part = windows[start : start + _CROPS[side]]
            crops = [average_window(image, _pixels(box), (side, side)) for image, box in part]
            outputs.append(self._run(network, np.stack(crops or [np.zeros((side, side, 3), np.float32)])))
        ends = np.cumsum([len(each) for each in boxes])
        found = [np.split(np.concatenate(arrays), ends)[:-1] for arrays in zip(*outputs, strict=True)]
        return zip(boxes, *found, strict=True)

    def _run(self, network: mtcnn_networks.MTCNNNetwork, pixels: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """Outputs of a network for pixels (n, h, w, 3)."""
        outputs = network(torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2))
        return [output.cpu().numpy().astype(np.float64) for output in outputs]


_NOTHING = np.zeros((0, 9))
_BOTH_ENDS = np.array([0, 0, 1, 1])
"""Added to a box of the published system this gives its edges, since the last pixel belongs to the box."""


def _tiles(shape: tuple[int, int]) -> Iterator[Window]:
    """Parts of a pyramid level (rows, columns); their maps, side by side, make up the map of the whole level."""
    step, margin = _STRIDE * _TILE, _WINDOW - _STRIDE
    for top in range(0, shape[0] - margin, step):
        for left in range(0, shape[1] - margin, step):
            yield left, top, min(left + step + margin, shape[1]), min(top + step + margin, shape[0])


def _pixels(box: Boxes) -> Window:
    """Edges of a box in whole pixels, at least one wide and high."""
    left, top = int(box[0]) - 1, int(box[1]) - 1
    return left, top, max(int(box[2]), left + 1), max(int(box[3]), top + 1)


def _suppressed(candidates: _Candidates, threshold: float) -> _Candidates:
    return candidates[suppress_overlaps(candidates[:, :4], candidates[:, 8], threshold)]


def _squared(candidates: _Candidates, pixel: int) -> Boxes:
    """Squares around the candidates, moved by their corrections, which are in units of x2 - x1 + `pixel`."""
    return squared_boxes(moved_boxes(candidates[:, :4], candidates[:, 4:8], pixel))


def average_window(
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
