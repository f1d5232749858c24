"""RetinaFace: one look at the whole photo, boxes and landmarks as corrections of fixed priors.

Facts of the published system (Pytorch_Retinaface): BGR minus (104, 117, 123), unscaled; priors of sides
16, 32 / 64, 128 / 256, 512 at strides 8 / 16 / 32, maps of ceil size; variances .1 and .2; the 5000 best
candidates, suppression at IoU .4 with areas that count one pixel more, at most 750 faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facerec import devices
from facerec.detection import retinaface_network
from facerec.detection.base import Faces, checked, tidy
from facerec.detection.batching import by_size
from facerec.detection.suppression import suppress
from facerec.errors import ParamsError

_SIDES = ((16, 32), (64, 128), (256, 512))
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_MEAN_BGR = (104.0, 117.0, 123.0)
_MOST_CANDIDATES, _MOST_FACES = 5000, 750
_BATCH_PIXELS = 1_000_000


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


class RetinaFaceMobile:
    """RetinaFace mobilenet0.25.

    `weights`: path of retinaface_mobilenet0.25.pth. `threshold`: probability a face needs (.02 for benchmark
    curves). `overlap`: IoU above which the lesser box is dropped.
    """

    name = "retinaface-mnet0.25"

    def __init__(
        self,
        weights: str | Path,
        threshold: float = 0.9,
        overlap: float = 0.4,
        device: str | torch.device | None = None,
    ) -> None:
        if not (0 < threshold < 1 and 0 < overlap < 1):
            raise ParamsError("retinaface-mnet0.25 needs threshold and overlap between 0 and 1.")
        self.threshold, self.overlap = threshold, overlap
        self.device = devices.device() if device is None else torch.device(device)
        self._network = retinaface_network.load(Path(weights)).to(self.device)

    @torch.inference_mode()
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """The faces of each RGB uint8 image (h, w, 3), at its own resolution."""
        images = checked(images)
        found: dict[int, Faces] = {}
        for batch in by_size(images, _BATCH_PIXELS):
            outputs = self._network(self._tensor([images[photo] for photo in batch]))
            boxes, scores, landmarks = (output.cpu().double().numpy() for output in outputs)
            anchors = priors(*images[batch[0]].shape[:2])
            for number, photo in enumerate(batch):
                found[photo] = self._faces(anchors, boxes[number], scores[number], landmarks[number])
        return [found[photo] for photo in range(len(images))]

    def _tensor(self, images: list[NDArray[np.uint8]]) -> torch.Tensor:
        bgr = torch.from_numpy(np.stack(images)).to(self.device).flip(3).float()
        return (bgr - torch.tensor(_MEAN_BGR, device=self.device)).permute(0, 3, 1, 2).contiguous()

    def _faces(
        self,
        anchors: NDArray[np.float64],
        boxes: NDArray[np.float64],
        scores: NDArray[np.float64],
        landmarks: NDArray[np.float64],
    ) -> Faces:
        """Decode and thin the outputs of one photo."""
        likely = np.flatnonzero(scores > self.threshold)
        likely = likely[np.argsort(-scores[likely], kind="stable")[:_MOST_CANDIDATES]]
        centre, side = anchors[likely, :2], anchors[likely, 2:]
        middle = centre + boxes[likely, :2] * _CENTRE_VARIANCE * side
        half = side * np.exp(boxes[likely, 2:] * _SIZE_VARIANCE) / 2
        corners = np.hstack([middle - half, middle + half])
        # The published suppression counts one pixel more in width and height.
        kept = suppress(corners + np.array([0, 0, 1, 1]), scores[likely], self.overlap)[:_MOST_FACES]
        shifts = landmarks[likely].reshape(-1, 5, 2) * _CENTRE_VARIANCE * side[:, None]
        return tidy(corners[kept], (centre[:, None] + shifts)[kept], scores[likely][kept])
