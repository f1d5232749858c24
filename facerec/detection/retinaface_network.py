"""RetinaFace (Deng et al. 2019, arXiv:1905.00641) with a MobileNet-0.25 or ResNet-50 trunk, layers named as in the
PyTorch weights as released by Pytorch_Retinaface, so that they load strictly.

A warning that cost others 1.8 points on LFW: with the MobileNet trunk, the trunk, the pyramid and the context
modules use LeakyReLU(0.1). With plain ReLU the same weights load, still find almost every face, and place the
landmarks worse. With the ResNet trunk all are plain ReLU.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu
from torchvision.models._utils import IntermediateLayerGetter

from facerec.core import FormatError

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


class _MobileTrunk(nn.ModuleDict):
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

    `trunk` gives three stages, the first with `inputs` channels, each next with twice as many; `width`: channels
    of the pyramid.
    """

    def __init__(self, trunk: nn.Module, inputs: int, width: int, activation: _Activation) -> None:
        heads = {"ClassHead": 4, "BboxHead": 8, "LandmarkHead": 20}  # channels: two priors a place
        super().__init__({"body": trunk, "fpn": _Pyramid(inputs, width, activation)})
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


def mobilenet() -> RetinaFaceNetwork:
    """The network of mobilenet0.25: 426,608 parameters."""
    return RetinaFaceNetwork(_MobileTrunk(), 64, 64, _leaky)


def resnet50() -> RetinaFaceNetwork:
    """The network of Resnet50: torchvision's ResNet-50 up to its last stage, 27.3 million parameters."""
    trunk = torchvision.models.resnet50(weights=None)
    stages = {f"layer{n}": f"layer{n}" for n in (2, 3, 4)}
    return RetinaFaceNetwork(IntermediateLayerGetter(trunk, stages), 512, 256, nn.ReLU)


def fill_retinaface(path: Path, network: RetinaFaceNetwork) -> RetinaFaceNetwork:
    """Fill `network` with the weights of a .pth file; FormatError when they are not its weights."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise FormatError(
            f"{path} does not hold RetinaFace weights of this network ({reason}); see detect.detector and weights."
        ) from error
    network.to(memory_format=torch.channels_last)  # a tenth faster on a CPU
    return network.eval().requires_grad_(False)
