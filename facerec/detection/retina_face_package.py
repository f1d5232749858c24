"""The detector of the Python package `retina-face`, with exactly its results.

The package takes one photo at a time, resizes it to a short side of 1024 pixels, and suppresses boxes in Python in
quadratic time. By itself it would turn off all warnings of the process and download weights; here it does neither.

It names eyes from the person's point of view, so its right eye is the left one in the image; the same for the mouth.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from facerec.core import FacerecError, ParamsError, torch_device
from facerec.detection.faces import Faces, check_images, load_state, sorted_faces

_ORDER = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""The package's names of our landmarks: left eye, right eye, nose, left and right mouth corner as seen in the image."""
_BACKEND = "DEEPFACE_BACKEND_ENGINE"


class RetinaFacePackage:
    """RetinaFace of the package `retina-face`, in torch.

    Args:
        weights: path of its retinaface.pth.
        threshold: probability that a face needs.
        upscale: whether photos with a short side below 1024 pixels are enlarged to it, the package's default.
        device: where the network runs, by default the machine's.
    """

    name = "retina-face"

    def __init__(
        self,
        weights: str | Path,
        threshold: float = 0.9,
        upscale: bool = True,
        device: str | torch.device | None = None,
    ) -> None:
        if not 0 < threshold < 1:
            raise ParamsError("retina-face needs a threshold between 0 and 1.")
        self.threshold, self.upscale = threshold, upscale
        self.device = torch_device() if device is None else torch.device(device)
        self._package = _import("retinaface.RetinaFace")
        network = _import("retinaface.model.retinaface_pth_model").RetinaFace()
        load_state(network, Path(weights), "the weights of retina-face")
        self._network = _OnDevice(network.eval().requires_grad_(False), self.device)

    @torch.inference_mode()
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """The faces of each RGB uint8 image (h, w, 3); boxes are whole pixels."""
        return [self._faces(image) for image in check_images(images)]

    def _faces(self, image: NDArray[np.uint8]) -> Faces:
        found = self._package.detect_faces(
            np.ascontiguousarray(image[..., ::-1]),
            threshold=self.threshold,
            model=self._network,
            allow_upscaling=self.upscale,
        ).values()
        boxes = [face["facial_area"] for face in found]
        landmarks = [[face["landmarks"][name] for name in _ORDER] for face in found]
        return sorted_faces(
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array(landmarks, np.float64).reshape(-1, 5, 2),
            np.array([face["score"] for face in found], np.float64),
        )


class _OnDevice:
    """A network on any device that takes and returns CPU tensors, as the package expects."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self.network, self.device = network.to(device), device

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [output.cpu() for output in self.network(pixels.to(self.device))]


def _import(name: str) -> ModuleType:
    """Import a module of the package on its torch backend; warning filters and environment stay as they were."""
    before = os.environ.get(_BACKEND)
    os.environ[_BACKEND] = "pytorch"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
            backend = importlib.import_module("retinaface.commons.backend_utils")
    except ImportError as error:
        raise FacerecError(f"The detector retina-face needs the package retina-face ({error}).") from error
    finally:
        os.environ.pop(_BACKEND)
        if before is not None:
            os.environ[_BACKEND] = before
    if not backend.is_pytorch():
        raise FacerecError("The package retina-face was imported before with another backend than torch.")
    return module
