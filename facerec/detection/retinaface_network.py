"""RetinaFace with a MobileNet-0.25 trunk (Deng et al. 2019, arXiv:1905.00641), layers named as in the
PyTorch weights as released by Pytorch_Retinaface, so that they load strictly.

A warning that cost others 1.8 points on LFW: the trunk, the pyramid and the context modules use
LeakyReLU(0.1). With plain ReLU the same weights load, still find almost every face, and place the landmarks
worse.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from facerec.errors import FormatError

STRIDES = (8, 16, 32)
_SLOPE = 0.1
_WIDTH = 64  # channels of the pyramid


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


def _active(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, outputs, kernel, stride), nn.LeakyReLU(_SLOPE))


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    depthwise = [*_conv(inputs, inputs, 3, stride, groups=inputs), nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*depthwise, *_conv(inputs, outputs, 1), nn.LeakyReLU(_SLOPE))


def _trunk() -> nn.ModuleDict:
    """Three stages whose outputs have strides 8, 16 and 32."""
    first = [_active(3, 8, stride=2), _separable(8, 16), _separable(16, 32, 2), _separable(32, 32)]
    first += [_separable(32, 64, 2), _separable(64, 64)]
    second = [_separable(64, 128, 2), *(_separable(128, 128) for _ in range(5))]
    third = [_separable(128, 256, 2), _separable(256, 256)]
    stages = {"stage1": first, "stage2": second, "stage3": third}
    return nn.ModuleDict({name: nn.Sequential(*blocks) for name, blocks in stages.items()})


class _Pyramid(nn.ModuleDict):
    """Feature pyramid: each level gets the upsampled level below it."""

    def __init__(self) -> None:
        outputs = {f"output{n}": _active(64 * 2 ** (n - 1), _WIDTH, 1) for n in (1, 2, 3)}
        super().__init__({**outputs, **{f"merge{n}": _active(_WIDTH, _WIDTH) for n in (1, 2)}})

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (self[f"output{n}"](x) for n, x in enumerate(stages, 1))
        middle = self["merge2"](middle + interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self["merge1"](fine + interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


class _Context(nn.ModuleDict):
    """SSH context module: receptive fields of 3, 5 and 7 side by side."""

    def __init__(self) -> None:
        quarter = _WIDTH // 4
        super().__init__(
            {
                "conv3X3": nn.Sequential(*_conv(_WIDTH, _WIDTH // 2)),
                "conv5X5_1": _active(_WIDTH, quarter),
                "conv5X5_2": nn.Sequential(*_conv(quarter, quarter)),
                "conv7X7_2": _active(quarter, quarter),
                "conv7x7_3": nn.Sequential(*_conv(quarter, quarter)),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        shared = self["conv5X5_1"](x)
        seven = self["conv7x7_3"](self["conv7X7_2"](shared))
        return relu(torch.cat([self["conv3X3"](x), self["conv5X5_2"](shared), seven], dim=1))


class RetinaFaceNetwork(nn.ModuleDict):
    """(n, 3, h, w) -> boxes (n, p, 4), scores (n, p), landmarks (n, p, 10), for the p priors in order."""

    def __init__(self) -> None:
        heads = {"ClassHead": 4, "BboxHead": 8, "LandmarkHead": 20}  # channels: two priors a place
        super().__init__({"body": _trunk(), "fpn": _Pyramid()})
        self.update({f"ssh{n}": _Context() for n in (1, 2, 3)})
        for name, channels in heads.items():
            levels = [nn.ModuleDict({"conv1x1": nn.Conv2d(_WIDTH, channels, 1)}) for _ in STRIDES]
            self[name] = nn.ModuleList(levels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw corrections of boxes and landmarks, and the probability of a face, of every prior."""
        stages = []
        for name in ("stage1", "stage2", "stage3"):
            x = self["body"].get_submodule(name)(x)
            stages.append(x)
        levels = [self[f"ssh{n}"](x) for n, x in enumerate(self["fpn"](stages), 1)]
        scores = self._head("ClassHead", levels, 2).softmax(dim=2)[..., 1]
        return self._head("BboxHead", levels, 4), scores, self._head("LandmarkHead", levels, 10)

    def _head(self, name: str, levels: list[Tensor], values: int) -> Tensor:
        outputs = [self[name].get_submodule(f"{n}.conv1x1")(x) for n, x in enumerate(levels)]
        return torch.cat([y.permute(0, 2, 3, 1).reshape(len(y), -1, values) for y in outputs], dim=1)


def load(path: Path) -> RetinaFaceNetwork:
    """The network with the weights of a .pth file; FormatError when they are not its weights."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = RetinaFaceNetwork()
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise FormatError(f"{path} does not hold RetinaFace mobilenet0.25 weights ({reason}).") from error
    return network.eval().requires_grad_(False)
