"""RetinaFace: one look at the whole photo, boxes and landmarks as corrections of fixed priors.

Facts of the published system (Pytorch_Retinaface): BGR minus (104, 117, 123), unscaled; priors of sides
16, 32 / 64, 128 / 256, 512 at strides 8 / 16 / 32, maps of ceil size; variances .1 and .2; the 5000 best
candidates, suppression at IoU .4 with areas that count one pixel more, at most 750 faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from facerec.core import ParamsError, settings
from facerec.detection import retinaface_network
from facerec.detection.base import Faces, by_size, checked, groups, tidy
from facerec.detection.boxes import suppress
from facerec.detection.retinaface_network import RetinaFaceNetwork

Image: TypeAlias = NDArray[np.uint8]
_Likely: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

_SIDES = ((16, 32), (64, 128), (256, 512))
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_MEAN_BGR = (104.0, 117.0, 123.0)
_MOST_CANDIDATES, _MOST_FACES = 5000, 750
_BATCH_PIXELS = 4_000_000


@lru_cache(maxsize=64)
def priors(height: int, width: int) -> NDArray[np.float64]:
    """Priors (p, 3) of a photo: centre x, centre y, side in pixels, in the order of the network's outputs.

    Cached by size: making them for every photo would cost as much as the network.
    """
    levels = []
    for stride, sides in zip(retinaface_network.STRIDES, _SIDES, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), sides, indexing="ij")
        levels.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], axis=-1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float64)


class _RetinaFace:
    """Both networks; they differ in trunk and width alone.

    `weights`: path of the .pth file. `threshold`: probability a face needs (.02 for benchmark curves). `overlap`:
    IoU above which the lesser box is dropped. `max_side`: a photo with a longer side is reduced to it before the
    network sees it, which bounds memory; its faces come in pixels of the photo as it was.
    """

    name: str
    _make: Callable[[], RetinaFaceNetwork]

    def __init__(
        self,
        weights: str | Path,
        threshold: float = 0.9,
        overlap: float = 0.4,
        max_side: int = 2048,
        device: str | torch.device | None = None,
    ) -> None:
        if not (0 < threshold < 1 and 0 < overlap < 1 and max_side >= 32):
            raise ParamsError(
                f"{self.name} needs threshold and overlap between 0 and 1 and max_side of 32 or more."
            )
        self.threshold, self.overlap, self.max_side = threshold, overlap, max_side
        self.device = settings.torch_device() if device is None else torch.device(device)
        self._network = retinaface_network.fill_retinaface(Path(weights), type(self)._make()).to(self.device)

    @torch.inference_mode()
    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """The faces of each RGB uint8 image (h, w, 3), at its own resolution up to `max_side`."""
        faces: list[Faces] = []
        for group in groups(checked(images), self.device):
            small = [self._reduced(image) for image in group]
            found = self._detect(small)
            ratios = map(_ratio, group, small)
            faces += [self._faces(found[number], ratio) for number, ratio in enumerate(ratios)]
        return faces

    def _reduced(self, image: Image) -> Image:
        """The photo, resized by area where a side is longer than `max_side`."""
        height, width = image.shape[:2]
        scale = self.max_side / max(height, width)
        if scale >= 1:
            return image
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _detect(self, images: Sequence[Image]) -> dict[int, _Likely]:
        """Decoded candidates of each photo that pass the threshold, by its index."""
        found: dict[int, _Likely] = {}
        for batch in by_size(images, _BATCH_PIXELS):
            outputs = self._network(self._tensor([images[photo] for photo in batch]))
            boxes, scores, landmarks = (output.cpu().numpy() for output in outputs)
            anchors = priors(*images[batch[0]].shape[:2])
            for number, photo in enumerate(batch):
                found[photo] = _decoded(
                    anchors, boxes[number], scores[number], landmarks[number], self.threshold
                )
        return found

    def _tensor(self, images: list[Image]) -> torch.Tensor:
        bgr = torch.from_numpy(np.stack(images)).to(self.device).flip(3).float()
        return (bgr - torch.tensor(_MEAN_BGR, device=self.device)).permute(0, 3, 1, 2)

    def _faces(self, likely: _Likely, ratio: NDArray[np.float64]) -> Faces:
        """The faces of one photo: candidates thinned and brought to the photo's own pixels, `ratio` (x, y)."""
        boxes, landmarks, scores = likely
        # The published suppression counts one pixel more in width and height.
        kept = suppress(boxes + np.array([0, 0, 1, 1]), scores, self.overlap)[:_MOST_FACES]
        # Pixel centres are integers, so the photo's edge is at -1/2 at any size.
        corners = (boxes[kept].reshape(-1, 2, 2) + 0.5) * ratio - 0.5
        return tidy(corners.reshape(-1, 4), (landmarks[kept] + 0.5) * ratio - 0.5, scores[kept])


class RetinaFaceMobile(_RetinaFace):
    """RetinaFace mobilenet0.25; weights as in retinaface_mobilenet0.25.pth."""

    name = "retinaface-mnet0.25"
    _make = staticmethod(retinaface_network.mobilenet)


class RetinaFaceR50(_RetinaFace):
    """RetinaFace Resnet50; weights as in Resnet50_Final.pth."""

    name = "retinaface-r50"
    _make = staticmethod(retinaface_network.resnet50)


def _decoded(
    anchors: NDArray[np.float64],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    threshold: float,
) -> _Likely:
    """Boxes (n, 4), landmarks (n, 5, 2) and scores (n,) of the priors that pass, at most the best 5000."""
    likely = np.flatnonzero(scores > threshold)
    likely = likely[np.argsort(-scores[likely], kind="stable")[:_MOST_CANDIDATES]]
    centre, side = anchors[likely, :2], anchors[likely, 2:]
    middle = centre + boxes[likely, :2] * _CENTRE_VARIANCE * side
    half = side * np.exp(boxes[likely, 2:].astype(np.float64) * _SIZE_VARIANCE) / 2
    shifts = landmarks[likely].reshape(-1, 5, 2) * _CENTRE_VARIANCE * side[:, None]
    return (
        np.hstack([middle - half, middle + half]),
        centre[:, None] + shifts,
        scores[likely].astype(np.float64),
    )


def _ratio(image: Image, seen: Image) -> NDArray[np.float64]:
    """Size of the photo over that of the photo seen: x, y."""
    return np.array([image.shape[1] / seen.shape[1], image.shape[0] / seen.shape[0]])
