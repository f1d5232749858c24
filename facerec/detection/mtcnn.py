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
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from facerec.core import ParamsError, torch_device
from facerec.detection import mtcnn_networks
from facerec.detection.boxes import Boxes, moved_boxes, squared_boxes, suppress_contained, suppress_overlaps
from facerec.detection.faces import Faces, batch_images, check_images, sorted_faces

Image: TypeAlias = NDArray[np.uint8]
Sums: TypeAlias = NDArray[np.int32]

Window = tuple[int, int, int, int]
"""Left, top, right, bottom: edges between pixels, so the window is right - left pixels wide."""

_WINDOW, _STRIDE = 12, 2  # of PNet, pixels
_TILE = 512  # side of the part of PNet's map made at once: bounds memory for photos of any size
_CROPS = {24: 256, 48: 64}  # crops in one batch
_SUMMED = 4 << 20  # pixels of a photo whose sums are kept


_Candidates: TypeAlias = NDArray[np.float64]
"""(n, 9): boxes, the corrections (4) that a network gives for them, scores."""


class _Photo(NamedTuple):
    image: Image
    sums: Sums | None


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
            photos = [_Photo(images[number], photo_sums(images[number])) for number in batch]
            found |= zip(batch, self._output(photos, self._refine(photos, self._propose(photos))), strict=True)
        return [found[number] for number in range(len(images))]

    def scales(self, height: int, width: int) -> list[float]:
        """Scales of the pyramid: from min_face = 12 pixels down to where the photo is 12 pixels."""
        scales, scale = [], _WINDOW / self.min_face
        while min(height, width) * scale >= _WINDOW:
            scales.append(scale)
            scale *= self.factor
        return scales

    def _propose(self, photos: Sequence[_Photo]) -> list[Boxes]:
        """The squares of each photo in which PNet sees a face; the photos have one size."""
        found = [[_NOTHING] for _ in photos]
        for scale in self.scales(*photos[0].image.shape[:2]):
            for levels, level in zip(found, self._level(photos, scale), strict=True):
                levels.append(_suppressed(level, 0.5))
        return [_squared(_suppressed(np.concatenate(levels), 0.7), pixel=0) for levels in found]

    def _level(self, photos: Sequence[_Photo], scale: float) -> list[_Candidates]:
        """Proposals of each photo at one scale, in photo pixels, made tile by tile."""
        height, width = photos[0].image.shape[:2]
        shape = (int(height * scale + 1), int(width * scale + 1))
        found = [[_NOTHING] for _ in photos]
        for tile in _tiles(shape):
            part = [average_window(image, (0, 0, width, height), shape, tile, sums) for image, sums in photos]
            for tiles, moves, scores in zip(found, *self._run(self._pnet, np.stack(part)), strict=True):
                rows, columns = np.nonzero(scores >= self.thresholds[0])
                corner = _STRIDE * np.stack([columns, rows], axis=1) + np.array(tile[:2])
                windows = np.hstack([corner + 1, corner + _WINDOW]).astype(np.float32)
                boxes = np.floor(windows / np.float32(scale))
                tiles.append(np.column_stack([boxes, moves[:, rows, columns].T, scores[rows, columns]]))
        return [np.concatenate(tiles) for tiles in found]

    def _refine(self, photos: Sequence[_Photo], proposed: Sequence[Boxes]) -> list[Boxes]:
        """RNet: squares that still look like faces, suppressed and moved."""
        refined = []
        for boxes, corrections, scores in self._look(self._rnet, photos, proposed, 24):
            seen = np.column_stack([boxes, corrections, scores])[scores > self.thresholds[1]]
            refined.append(_squared(_suppressed(seen, 0.7), pixel=1))
        return refined

    def _output(self, photos: Sequence[_Photo], refined: Sequence[Boxes]) -> Iterator[Faces]:
        """ONet: final boxes and landmarks of each photo."""
        for boxes, corrections, points, scores in self._look(self._onet, photos, refined, 48):
            # ONet gives x1..x5, y1..y5 as fractions of the window.
            fractions = points.reshape(-1, 2, 5).transpose(0, 2, 1)
            sides = boxes[:, 2:] - boxes[:, :2] + 1
            landmarks = boxes[:, None, :2] - 1 + fractions * sides[:, None, :]
            moved = moved_boxes(boxes, corrections, 1)
            kept = np.flatnonzero(scores > self.thresholds[2])
            kept = kept[suppress_contained(moved[kept] + _BOTH_ENDS, scores[kept], 0.7)]
            yield sorted_faces(moved[kept], landmarks[kept], scores[kept])

    def _look(
        self, network: mtcnn_networks.MTCNNNetwork, photos: Sequence[_Photo], boxes: Sequence[Boxes], side: int
    ) -> Iterator[tuple[NDArray[np.float64], ...]]:
        """The boxes of each photo, and the outputs of RNet or ONet for these windows."""
        windows = [(photo, box) for photo, each in zip(photos, boxes, strict=True) for box in each]
        outputs = []
        for start in range(0, max(1, len(windows)), _CROPS[side]):
            part = windows[start : start + _CROPS[side]]
            crops = [average_window(image, _pixels(box), (side, side), None, sums) for (image, sums), box in part]
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


def photo_sums(image: Image) -> Sums | None:
    """Sums (h + 1, w + 1, 3) of the pixels above and left of each; None for a large photo, to save memory."""
    return np.asarray(cv2.integral(image), np.int32) if image.shape[0] * image.shape[1] <= _SUMMED else None


def average_window(
    image: Image, window: Window, shape: tuple[int, int], part: Window | None = None, sums: Sums | None = None
) -> NDArray[np.float32]:
    """The window of an RGB image (h, w, 3), black outside it, averaged to `shape` (rows, columns).

    `part` of the result is made, by default all of it: (rows, columns, 3), (mean - 127.5) / 128. `sums` are those of
    `photo_sums`, if they are there already. Sums are whole numbers, so the way to them does not change the result.
    """
    left, top, right, bottom = (0, 0, shape[1], shape[0]) if part is None else part
    rows, (y1, y2) = _spans(window[1], window[3], shape[0], top, bottom, image.shape[0])
    columns, (x1, x2) = _spans(window[0], window[2], shape[1], left, right, image.shape[1])
    first, last = x1[0], x2[-1]
    if sums is None:
        if (y2[-1] - y1[0]) * (last - first) > _SUMMED and bottom - top > 1:
            middle = (top + bottom) // 2
            halves = ((left, top, right, middle), (left, middle, right, bottom))
            return np.concatenate([average_window(image, window, shape, half) for half in halves])
        sums = cv2.integral(np.ascontiguousarray(image[y1[0] : y2[-1], first:last]))
        y1, y2, x1, x2, first, last = y1 - y1[0], y2 - y1[0], x1 - first, x2 - first, 0, last - first
    lines = sums[y2, first : last + 1] - sums[y1, first : last + 1]
    cells = lines[:, x2 - first] - lines[:, x1 - first]
    means: NDArray[np.float64] = cells / (rows[:, None] * columns)[..., None]
    means -= 127.5
    means /= 128
    return means.astype(np.float32)


def _spans(
    low: int, high: int, count: int, first: int, last: int, side: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """How many of the pixels from `low` to `high` each of the outputs `first` to `last` of `count` averages (n,).

    Also where these pixels start (n,) and end (n,), within a photo of `side` pixels.
    """
    edges = np.arange(first, last + 1) * (high - low)
    start, end = low + edges[:-1] // count, low - (-edges[1:] // count)
    return end - start, (np.minimum(np.maximum(start, 0), side), np.minimum(np.maximum(end, 0), side))
