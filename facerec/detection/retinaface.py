"""RetinaFace (Deng et al. 2019, arXiv:1905.00641) with a MobileNet-0.25 or ResNet-50 backbone: network and detector.

One pass over the whole photo gives boxes and landmarks as corrections of fixed priors. As in the published system
(Pytorch_Retinaface): BGR minus (104, 117, 123), not scaled; priors of sides 16, 32 / 64, 128 / 256, 512 at strides
8 / 16 / 32, maps of ceil size; variances .1 and .2; the 5000 best candidates, suppression at IoU .4 with areas that
count one pixel more, at most 750 faces. Layers have the names of the released PyTorch weights, which load strictly.

With the MobileNet backbone, all of the network uses LeakyReLU(0.1), with ResNet-50 plain ReLU. A MobileNet network
built with plain ReLU loads the same weights and still finds almost every face, but it places the landmarks worse,
which costs 1.8 points of accuracy on LFW.
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
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from facerec.core import ParamsError, open_session, to_onnx, torch_device
from facerec.detection.boxes import suppress_overlaps
from facerec.detection.faces import Faces, batch_images, check_images, load_state, sorted_faces

Image: TypeAlias = NDArray[np.uint8]
_Run: TypeAlias = Callable[[Tensor], Sequence[Tensor]]  # as RetinaFaceNetwork.forward
_Likely: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

_SIDES = ((16, 32), (64, 128), (256, 512))
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_MEAN_BGR = (104.0, 117.0, 123.0)
_MOST_CANDIDATES, _MOST_FACES = 5000, 750
STRIDES = (8, 16, 32)
_SLOPE = 0.1
_Activation: TypeAlias = Callable[[], nn.Module]


def _leaky() -> nn.Module:
    return nn.LeakyReLU(_SLOPE)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    depthwise = [*_conv(inputs, inputs, 3, stride, groups=inputs), _leaky()]
    return nn.Sequential(*depthwise, *_conv(inputs, outputs, 1), _leaky())


class _MobileBackbone(nn.ModuleDict):
    """Three stages whose outputs have strides 8, 16 and 32 and 64, 128 and 256 channels."""

    def __init__(self) -> None:
        first = [nn.Sequential(*_conv(3, 8, stride=2), _leaky()), _separable(8, 16), _separable(16, 32, 2)]
        first += [_separable(32, 32), _separable(32, 64, 2), _separable(64, 64)]
        second = [_separable(64, 128, 2), *(_separable(128, 128) for _ in range(5))]
        third = [_separable(128, 256, 2), _separable(256, 256)]
        stages = {"stage1": first, "stage2": second, "stage3": third}
        super().__init__({name: nn.Sequential(*blocks) for name, blocks in stages.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        outputs = {}
        for name, stage in self.items():
            x = outputs[name] = stage(x)
        return outputs


class _Pyramid(nn.ModuleDict):
    """Feature pyramid: each level gets the upsampled level below it."""

    def __init__(self, inputs: int, width: int, activation: _Activation) -> None:
        def block(channels: int, kernel: int) -> nn.Sequential:
            return nn.Sequential(*_conv(channels, width, kernel), activation())

        outputs = {f"output{n}": block(inputs * 2 ** (n - 1), 1) for n in (1, 2, 3)}
        super().__init__({**outputs, **{f"merge{n}": block(width, 3) for n in (1, 2)}})

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (self[f"output{n}"](x) for n, x in enumerate(stages, 1))
        middle = self["merge2"](middle + interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self["merge1"](fine + interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


class _Context(nn.ModuleDict):
    """SSH context module: receptive fields of 3, 5 and 7 side by side."""

    def __init__(self, width: int, activation: _Activation) -> None:
        quarter = width // 4
        super().__init__(
            {
                "conv3X3": nn.Sequential(*_conv(width, width // 2)),
                "conv5X5_1": nn.Sequential(*_conv(width, quarter), activation()),
                "conv5X5_2": nn.Sequential(*_conv(quarter, quarter)),
                "conv7X7_2": nn.Sequential(*_conv(quarter, quarter), activation()),
                "conv7x7_3": nn.Sequential(*_conv(quarter, quarter)),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        shared = self["conv5X5_1"](x)
        seven = self["conv7x7_3"](self["conv7X7_2"](shared))
        return relu(torch.cat([self["conv3X3"](x), self["conv5X5_2"](shared), seven], dim=1))


class RetinaFaceNetwork(nn.ModuleDict):
    """(n, 3, h, w) -> boxes (n, p, 4), scores (n, p), landmarks (n, p, 10), for the p priors in order.

    `backbone` gives three stages, the first with `inputs` channels, each next with twice as many; `width`: channels
    of the pyramid.
    """

    def __init__(self, backbone: nn.Module, inputs: int, width: int, activation: _Activation) -> None:
        heads = {"ClassHead": 4, "BboxHead": 8, "LandmarkHead": 20}  # channels: two priors a place
        super().__init__({"body": backbone, "fpn": _Pyramid(inputs, width, activation)})
        self.update({f"ssh{n}": _Context(width, activation) for n in (1, 2, 3)})
        for name, channels in heads.items():
            levels = [nn.ModuleDict({"conv1x1": nn.Conv2d(width, channels, 1)}) for _ in STRIDES]
            self[name] = nn.ModuleList(levels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw corrections of boxes and landmarks, and the probability of a face, of every prior."""
        pyramid = self["fpn"](list(self["body"](x).values()))
        levels = [self[f"ssh{n}"](level) for n, level in enumerate(pyramid, 1)]
        scores = self._head("ClassHead", levels, 2).softmax(dim=2)[..., 1]
        return self._head("BboxHead", levels, 4), scores, self._head("LandmarkHead", levels, 10)

    def _head(self, name: str, levels: list[Tensor], values: int) -> Tensor:
        outputs = [self[name].get_submodule(f"{n}.conv1x1")(x) for n, x in enumerate(levels)]
        return torch.cat([y.permute(0, 2, 3, 1).reshape(len(y), -1, values) for y in outputs], dim=1)


def retinaface_mobilenet() -> RetinaFaceNetwork:
    """The network of mobilenet0.25: 426,608 parameters."""
    return RetinaFaceNetwork(_MobileBackbone(), 64, 64, _leaky)


def retinaface_resnet50() -> RetinaFaceNetwork:
    """The network of Resnet50: torchvision's ResNet-50 up to its last stage, 27.3 million parameters."""
    import torchvision  # only here, as it takes as long to import as torch
    from torchvision.models._utils import IntermediateLayerGetter

    backbone = torchvision.models.resnet50(weights=None)
    stages = {f"layer{n}": f"layer{n}" for n in (2, 3, 4)}
    return RetinaFaceNetwork(IntermediateLayerGetter(backbone, stages), 512, 256, nn.ReLU)


def load_retinaface_weights(path: Path, network: RetinaFaceNetwork) -> RetinaFaceNetwork:
    """Load the weights of a .pth file into `network`; FormatError when they belong to another network."""
    load_state(network, path, "RetinaFace weights of this network")
    network.to(memory_format=torch.channels_last)  # a tenth faster on a CPU
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=64)
def priors(height: int, width: int) -> NDArray[np.float64]:
    """Priors (p, 3) of a photo: centre x, centre y, side in pixels, in the order of the network's outputs.

    Cached by size: making them for every photo would cost as much as the network.
    """
    levels = []
    for stride, sides in zip(STRIDES, _SIDES, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), sides, indexing="ij")
        levels.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], axis=-1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float64)


class _RetinaFace:
    """The detector for both networks, which differ in backbone and width alone.

    Args:
        weights: path of the .pth file.
        threshold: probability that a face needs (.02 for benchmark curves).
        overlap: IoU above which the box with the lower score is dropped.
        max_side: photos with a longer side are reduced to it, which bounds memory; faces are returned in pixels of
            the photo as given.
        device: where the network runs, by default the machine's.
        engine: "torch", or "onnxruntime", which is two to three times as fast and always runs on the CPU. It rounds
            otherwise, in a way that depends on the processor: boxes and landmarks move by about .01 pixel.
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
        engine: str = "torch",
    ) -> None:
        if engine not in _ENGINES:
            raise ParamsError(f"{self.name} has no engine {engine!r}; choose {' or '.join(_ENGINES)}.")
        if not (0 < threshold < 1 and 0 < overlap < 1 and max_side >= 32):
            raise ParamsError(f"{self.name} needs threshold and overlap between 0 and 1 and max_side of 32 or more.")
        self.threshold, self.overlap, self.max_side = threshold, overlap, max_side
        chosen = "cpu" if engine == "onnxruntime" else device
        self.device = torch_device() if chosen is None else torch.device(chosen)
        network = load_retinaface_weights(Path(weights), type(self)._make()).to(self.device)
        self._network = _ENGINES[engine](network)

    @torch.inference_mode()
    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """The faces of each RGB uint8 image (h, w, 3), at its own resolution up to `max_side`."""
        small = [self._reduced(image) for image in check_images(images)]
        faces: dict[int, Faces] = {}
        for batch in batch_images(small, self.device):
            outputs = (output.cpu().numpy() for output in self._network(self._tensor([small[n] for n in batch])))
            anchors = priors(*small[batch[0]].shape[:2])
            for number, boxes, scores, landmarks in zip(batch, *outputs, strict=True):
                ratio = np.divide(images[number].shape[1::-1], small[number].shape[1::-1])
                likely = _decoded(anchors, boxes, scores, landmarks, self.threshold)
                faces[number] = self._faces(likely, ratio)
        return [faces[number] for number in range(len(images))]

    def _reduced(self, image: Image) -> Image:
        """The photo, resized by area where a side is longer than `max_side`."""
        height, width = image.shape[:2]
        scale = self.max_side / max(height, width)
        if scale >= 1:
            return image
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _tensor(self, images: list[Image]) -> torch.Tensor:
        bgr = torch.from_numpy(np.stack(images)).to(self.device).flip(3).float()
        return (bgr - torch.tensor(_MEAN_BGR, device=self.device)).permute(0, 3, 1, 2)

    def _faces(self, likely: _Likely, ratio: NDArray[np.float64]) -> Faces:
        """The faces of one photo: overlaps suppressed, then enlarged by `ratio` (x, y) to the photo's own pixels."""
        boxes, landmarks, scores = likely
        # The published suppression counts one pixel more in width and height.
        kept = suppress_overlaps(boxes + np.array([0, 0, 1, 1]), scores, self.overlap)[:_MOST_FACES]
        # Pixel centres are integers, so the photo's edge is at -1/2 at any size.
        corners = (boxes[kept].reshape(-1, 2, 2) + 0.5) * ratio - 0.5
        return sorted_faces(corners.reshape(-1, 4), (landmarks[kept] + 0.5) * ratio - 0.5, scores[kept])


class RetinaFaceMobile(_RetinaFace):
    """RetinaFace mobilenet0.25; weights as in retinaface_mobilenet0.25.pth."""

    name = "retinaface-mnet0.25"
    _make = staticmethod(retinaface_mobilenet)


class RetinaFaceR50(_RetinaFace):
    """RetinaFace Resnet50; weights as in Resnet50_Final.pth."""

    name = "retinaface-r50"
    _make = staticmethod(retinaface_resnet50)


def _by_onnxruntime(network: RetinaFaceNetwork) -> _Run:
    encoded = to_onnx(network, torch.zeros(1, 3, 64, 96), ("boxes", "scores", "landmarks"), free=(2, 3))
    session = open_session(encoded, "the network", many_sizes=True)

    def run(images: Tensor) -> list[Tensor]:
        outputs = session.run(None, {"images": np.ascontiguousarray(images.numpy())})
        return [torch.from_numpy(output) for output in outputs]

    return run


_ENGINES: dict[str, Callable[[RetinaFaceNetwork], _Run]] = {
    "torch": lambda network: network,
    "onnxruntime": _by_onnxruntime,
}


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
    return (np.hstack([middle - half, middle + half]), centre[:, None] + shifts, scores[likely].astype(np.float64))
