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
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from facerec.core import ParamsError, torch_device
from facerec.detection import boxes as geometry
from facerec.detection import mtcnn_networks
from facerec.detection.boxes import suppress_contained, suppress_overlaps
from facerec.detection.faces import Faces, batch_by_size, check_images, sorted_faces, split_for_device
from facerec.detection.mtcnn_networks import weights_folder

Boxes = geometry.Boxes
Image: TypeAlias = NDArray[np.uint8]
_Outputs: TypeAlias = list[NDArray[np.float64]]

Window = tuple[int, int, int, int]
"""Left, top, right, bottom: edges between pixels, so the window is right - left pixels wide."""

_WINDOW, _STRIDE = 12, 2  # of PNet, pixels
_TILE = 512  # side of the part of PNet's map made at once: bounds memory for photos of any size
_BATCH_PIXELS = 4_000_000  # of photos of equal size that PNet sees together
_CROPS = {24: 256, 48: 64}  # crops in one batch


@dataclass(frozen=True)
class _Candidates:
    """Boxes, the photo each belongs to, and how a network would move it; sorted by photo."""

    photo: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float64]
    corrections: Boxes

    def __len__(self) -> int:
        return len(self.photo)

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(self.photo[index], self.boxes[index], self.scores[index], self.corrections[index])

    def moved(self, pixel: int) -> Boxes:
        """The boxes after their corrections, which are in units of x2 - x1 + `pixel`."""
        return geometry.moved_boxes(self.boxes, self.corrections, pixel)


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
        weights = weights_folder()
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
        faces = []
        for group in split_for_device(check_images(images), self.device):
            faces += self._output(group, self._refine(group, self._propose(group)))
        return faces

    def scales(self, height: int, width: int) -> list[float]:
        """Scales of the pyramid: from min_face = 12 pixels down to where the photo is 12 pixels."""
        scales, scale = [], _WINDOW / self.min_face
        while min(height, width) * scale >= _WINDOW:
            scales.append(scale)
            scale *= self.factor
        return scales

    def _propose(self, images: Sequence[Image]) -> _Candidates:
        """Windows in which PNet sees a face, moved and squared, for all photos."""
        levels = [
            _suppressed(_joined(list(self._level(images, batch, scale))), 0.5)
            for batch in batch_by_size(images, _BATCH_PIXELS)
            for scale in self.scales(*images[batch[0]].shape[:2])
        ]
        found = _suppressed(_joined(levels), 0.7)
        return _Candidates(found.photo, geometry.squared_boxes(found.moved(pixel=0)), found.scores, found.corrections)

    def _level(self, images: Sequence[Image], batch: list[int], scale: float) -> Iterator[_Candidates]:
        """Proposals of each photo of the batch at one scale, in photo pixels, tile by tile."""
        height, width = images[batch[0]].shape[:2]
        shape = (int(height * scale + 1), int(width * scale + 1))
        for tile in _tiles(shape):
            part = [average_window(images[photo], (0, 0, width, height), shape, tile) for photo in batch]
            corrections, scores = self._run(self._pnet, np.stack(part))
            for number, photo in enumerate(batch):
                rows, columns = np.nonzero(scores[number] >= self.thresholds[0])
                corner = _STRIDE * np.stack([columns, rows], axis=1) + np.array(tile[:2])
                windows = np.hstack([corner + 1, corner + _WINDOW]).astype(np.float32)
                boxes = np.floor(windows / np.float32(scale)).astype(np.float64)
                moves = corrections[number][:, rows, columns].T
                yield _Candidates(np.full(len(rows), photo), boxes, scores[number][rows, columns], moves)

    def _refine(self, images: Sequence[Image], proposed: _Candidates) -> _Candidates:
        """RNet: candidates that still look like faces, suppressed, moved and squared."""
        corrections, scores = self._look(self._rnet, images, proposed, 24)
        seen = _Candidates(proposed.photo, proposed.boxes, scores, corrections)
        kept = _suppressed(seen[scores > self.thresholds[1]], 0.7)
        return _Candidates(kept.photo, geometry.squared_boxes(kept.moved(pixel=1)), kept.scores, kept.corrections)

    def _output(self, images: Sequence[Image], refined: _Candidates) -> list[Faces]:
        """ONet: final boxes and landmarks."""
        corrections, points, scores = self._look(self._onet, images, refined, 48)
        # ONet gives x1..x5, y1..y5 as fractions of the window.
        fractions = points.reshape(-1, 2, 5).transpose(0, 2, 1)
        sides = refined.boxes[:, 2:] - refined.boxes[:, :2] + 1
        landmarks = refined.boxes[:, None, :2] - 1 + fractions * sides[:, None, :]
        boxes = geometry.moved_boxes(refined.boxes, corrections, 1)
        faces = []
        for start, end in pairwise(np.searchsorted(refined.photo, np.arange(len(images) + 1))):
            own = start + np.flatnonzero(scores[start:end] > self.thresholds[2])
            own = own[suppress_contained(boxes[own] + _BOTH_ENDS, scores[own], 0.7)]
            faces.append(sorted_faces(boxes[own], landmarks[own], scores[own]))
        return faces

    def _look(
        self, network: mtcnn_networks.MTCNNNetwork, images: Sequence[Image], candidates: _Candidates, side: int
    ) -> _Outputs:
        """Outputs of RNet or ONet for the candidates' windows."""
        outputs = []
        for start in range(0, max(1, len(candidates)), _CROPS[side]):
            part = slice(start, start + _CROPS[side])
            windows = zip(candidates.photo[part], candidates.boxes[part], strict=True)
            crops = [average_window(images[photo], _pixels(box), (side, side)) for photo, box in windows]
            outputs.append(self._run(network, np.stack(crops or [np.zeros((side, side, 3), np.float32)])))
        return [np.concatenate(arrays)[: len(candidates)] for arrays in zip(*outputs, strict=True)]

    def _run(self, network: mtcnn_networks.MTCNNNetwork, pixels: NDArray[np.float32]) -> _Outputs:
        """Outputs of a network for pixels (n, h, w, 3)."""
        outputs = network(torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2))
        return [output.cpu().numpy().astype(np.float64) for output in outputs]


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
    """The candidates of each photo that suppression keeps, sorted by photo."""
    order = np.argsort(candidates.photo, kind="stable")
    edges = np.flatnonzero(np.diff(candidates.photo[order], prepend=-1, append=-1))
    kept = [np.zeros(0, np.int64)]
    for start, end in pairwise(edges):
        own = order[start:end]
        kept.append(own[suppress_overlaps(candidates.boxes[own], candidates.scores[own], threshold)])
    return candidates[np.concatenate(kept)]


def _joined(parts: Sequence[_Candidates]) -> _Candidates:
    nothing = _Candidates(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)))
    columns = zip(*(vars(part).values() for part in (nothing, *parts)), strict=True)
    return _Candidates(*map(np.concatenate, columns))


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
