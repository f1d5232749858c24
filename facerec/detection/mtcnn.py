"""MTCNN (Zhang et al. 2016, arXiv:1604.02878): three networks, each looking closer at what the last proposed.

Facts of the published system: thresholds .6, .7, .7, pyramid factor .709, crops black outside the photo and
resized by area, suppression at IoU .5 within a scale, .7 between scales and after RNet, .7 of the smaller
box after ONet. Photos of equal size run the pyramid as one batch, crops of all photos share the batches of
RNet and ONet.

Inside, coordinates are edges: pixel k spans [k, k + 1). What comes out has pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from facerec import devices
from facerec.detection import boxes as geometry
from facerec.detection import mtcnn_networks, mtcnn_weights, suppression
from facerec.detection.base import Faces, checked, tidy
from facerec.detection.batching import by_size
from facerec.errors import ParamsError

Boxes = geometry.Boxes
Image = NDArray[np.uint8]

_WINDOW, _STRIDE = 12, 2  # of PNet, pixels
_PYRAMID_PIXELS = 200_000  # of the largest level in one batch: bounds memory, fits the CPU's cache
_CROPS = {24: 256, 48: 64}  # crops in one batch


@dataclass(frozen=True)
class _Candidates:
    """Boxes with the photo each belongs to, in the order of the photos."""

    photo: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float64]

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(self.photo[index], self.boxes[index], self.scores[index])


class MTCNN:
    """MTCNN with the weights of the `mtcnn` package.

    `min_face`: side in pixels of the smallest face looked for; time grows with 1 / min_face^2. `thresholds`:
    probability a face needs after each network. `factor`: ratio of neighbouring pyramid scales.
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
        self.device = devices.device() if device is None else torch.device(device)
        weights = mtcnn_weights.folder()
        self._pnet, self._rnet, self._onet = (
            mtcnn_networks.load(network, weights / file).to(self.device)
            for network, file in (
                (mtcnn_networks.pnet(), "pnet.lz4"),
                (mtcnn_networks.rnet(), "rnet.lz4"),
                (mtcnn_networks.onet(), "onet.lz4"),
            )
        )

    @torch.inference_mode()
    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """The faces of each RGB uint8 image (h, w, 3); a photo smaller than `min_face` has none."""
        images = checked(images)
        candidates = self._refine(images, self._propose(images))
        return self._output(images, candidates)

    def scales(self, height: int, width: int) -> list[float]:
        """Scales of the pyramid: from min_face = 12 pixels down to where the photo is 12 pixels."""
        scales, scale = [], _WINDOW / self.min_face
        while min(height, width) * scale >= _WINDOW:
            scales.append(scale)
            scale *= self.factor
        return scales

    def _propose(self, images: Sequence[Image]) -> _Candidates:
        """Windows in which PNet sees a face, squared, for all photos."""
        found: dict[int, list[_Candidates]] = {photo: [] for photo in range(len(images))}
        ratio = _WINDOW / self.min_face
        for batch in by_size(images, int(_PYRAMID_PIXELS / ratio**2)):
            height, width = images[batch[0]].shape[:2]
            for scale in self.scales(height, width):
                for level in self._level(images, batch, scale):
                    found[int(level.photo[0])].append(level)
        kept = [_suppressed(_joined(levels), 0.7) for levels in found.values() if levels]
        candidates = _joined(kept)
        return _Candidates(candidates.photo, geometry.squared(candidates.boxes), candidates.scores)

    def _level(self, images: Sequence[Image], batch: list[int], scale: float) -> Iterator[_Candidates]:
        """Proposals of each photo of the batch at one scale, in photo pixels."""
        height, width = images[batch[0]].shape[:2]
        shape = (max(_WINDOW, round(width * scale)), max(_WINDOW, round(height * scale)))
        small = np.stack([cv2.resize(images[photo], shape, interpolation=cv2.INTER_AREA) for photo in batch])
        corrections, scores = (output.cpu().numpy() for output in self._pnet(self._tensor(small)))
        ratio = np.array([width / shape[0], height / shape[1]] * 2)
        for number, photo in enumerate(batch):
            rows, columns = np.nonzero(scores[number] > self.thresholds[0])
            if len(rows) == 0:
                continue
            corner = _STRIDE * np.stack([columns, rows], axis=1)
            boxes = np.hstack([corner, corner + _WINDOW]) * ratio
            boxes = geometry.moved(boxes, corrections[number][:, rows, columns].T)
            level = _Candidates(
                np.full(len(rows), photo), boxes, scores[number][rows, columns].astype(np.float64)
            )
            yield _suppressed(level, 0.5)

    def _refine(self, images: Sequence[Image], candidates: _Candidates) -> _Candidates:
        """RNet: candidates that still look like faces, moved, thinned and squared."""
        windows = _whole_pixels(candidates.boxes)
        corrections, scores = self._look(self._rnet, images, candidates.photo, windows, 24)
        moved = _Candidates(candidates.photo, geometry.moved(windows, corrections), scores)
        moved = moved[scores > self.thresholds[1]]
        kept = _joined([_suppressed(own, 0.7) for own in _by_photo(moved)])
        return _Candidates(kept.photo, geometry.squared(kept.boxes), kept.scores)

    def _output(self, images: Sequence[Image], candidates: _Candidates) -> list[Faces]:
        """ONet: final boxes and landmarks."""
        windows = _whole_pixels(candidates.boxes)
        corrections, points, scores = self._look(self._onet, images, candidates.photo, windows, 48)
        # ONet gives x1..x5, y1..y5 as fractions of the window.
        fractions = points.reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = windows[:, None, :2] + fractions * (windows[:, 2:] - windows[:, :2])[:, None, :]
        boxes = geometry.moved(windows, corrections)
        starts = np.searchsorted(candidates.photo, np.arange(len(images) + 1))
        faces = []
        for start, end in pairwise(starts):
            own = start + np.flatnonzero(scores[start:end] > self.thresholds[2])
            own = own[suppression.suppress_contained(boxes[own], scores[own], 0.7)]
            faces.append(tidy(boxes[own] - 0.5, landmarks[own] - 0.5, scores[own]))
        return faces

    def _look(
        self,
        network: mtcnn_networks.Network,
        images: Sequence[Image],
        photo: NDArray[np.int64],
        windows: Boxes,
        side: int,
    ) -> list[NDArray[np.float64]]:
        """Outputs of RNet or ONet for the windows, in batches of fixed size."""
        outputs = []
        for start in range(0, max(1, len(windows)), _CROPS[side]):
            part = slice(start, start + _CROPS[side])
            crops = [_crop(images[p], w, side) for p, w in zip(photo[part], windows[part], strict=True)]
            stacked = np.stack(crops) if crops else np.zeros((0, side, side, 3), np.uint8)
            outputs.append([output.cpu().numpy() for output in network(self._tensor(stacked))])
        return [np.concatenate(arrays).astype(np.float64) for arrays in zip(*outputs, strict=True)]

    def _tensor(self, images: Image) -> torch.Tensor:
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        return (pixels.float() - 127.5) / 128


def _whole_pixels(boxes: Boxes) -> Boxes:
    """Boxes with edges between pixels, at least a pixel wide and high."""
    corner = boxes[:, :2].round()
    return np.hstack([corner, np.maximum(boxes[:, 2:].round(), corner + 1)])


def _crop(image: Image, window: Boxes, side: int) -> Image:
    """A window of whole pixels, black outside the photo, resized to `side`."""
    x1, y1, x2, y2 = (int(value) for value in window)
    height, width = image.shape[:2]
    inside = image[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        canvas = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
        top, left = max(0, -y1), max(0, -x1)
        canvas[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        inside = canvas
    return np.asarray(cv2.resize(inside, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _suppressed(candidates: _Candidates, threshold: float) -> _Candidates:
    return candidates[suppression.suppress(candidates.boxes, candidates.scores, threshold)]


def _by_photo(candidates: _Candidates) -> Iterator[_Candidates]:
    """Candidates (in the order of the photos) photo by photo."""
    edges = np.flatnonzero(np.diff(candidates.photo, prepend=-1, append=-1))
    for start, end in pairwise(edges):
        yield candidates[np.arange(start, end)]


def _joined(parts: Sequence[_Candidates]) -> _Candidates:
    if not parts:
        return _Candidates(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
    return _Candidates(
        np.concatenate([part.photo for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
