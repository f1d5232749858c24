"""Improved residual networks for faces (IR), with or without squeeze-and-excitation, in both published families.

Source: Deng et al., "ArcFace", 2019, section 3.1 (the unit BN-conv-BN-PReLU-conv-BN); Hu, Shen, Sun,
"Squeeze-and-Excitation Networks", 2018. `IResNet` counts its parameters as arcface_torch and Face_Pytorch do;
`PlainIResNet` as InsightFace_Pytorch and MultiFace do: no normalisation between the convolutions, and a
shortcut without weights wherever the channels stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from facerec.backbones.output import EmbeddingOutput

CHANNELS = (64, 128, 256, 512)
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    200: (6, 26, 60, 6),
}
"""Units a stage by depth."""

_REDUCTION = 16


class SqueezeExcite(nn.Module):
    """Weighs each channel (b, c, h, w) by what the whole map shows, through a bottleneck of c / 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // _REDUCTION, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // _REDUCTION, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        weighed: Tensor = x * self.weigh(x)
        return weighed


class Unit(nn.Module):
    """A residual unit; the second convolution has the stride. `plain` is the family of `PlainIResNet`."""

    def __init__(self, inputs: int, outputs: int, stride: int, se: bool, plain: bool) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            *([] if plain else [nn.BatchNorm2d(outputs)]),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *([SqueezeExcite(outputs)] if se else []),
        )
        self.shortcut = _shortcut(inputs, outputs, stride, plain)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.residual(x) + self.shortcut(x)
        return y


def _shortcut(inputs: int, outputs: int, stride: int, plain: bool) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if plain and inputs == outputs:
        return nn.MaxPool2d(1, stride)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class IResNet(nn.Module):
    """(b, 3, h, w) -> (b, dim). Every one of the four stages halves the map.

    `depth` is a key of `BLOCKS`, `dropout` stands before the linear layer of the output.
    """

    plain = False

    def __init__(
        self,
        depth: int,
        dim: int = 512,
        size: tuple[int, int] = (112, 112),
        se: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(CHANNELS[0]), nn.PReLU(CHANNELS[0])
        )
        self.body = nn.Sequential(*self._stages(BLOCKS[depth], se))
        area = math.prod(math.ceil(side / 2 ** len(CHANNELS)) for side in size)
        self.output = EmbeddingOutput(CHANNELS[-1], area, dim, dropout, frozen_scale=not self.plain)
        self.apply(self._initialise)

    def _stages(self, blocks: Sequence[int], se: bool) -> list[nn.Sequential]:
        stages, inputs = [], CHANNELS[0]
        for channels, count in zip(CHANNELS, blocks, strict=True):
            first = Unit(inputs, channels, 2, se, self.plain)
            others = [Unit(channels, channels, 1, se, self.plain) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *others))
            inputs = channels
        return stages

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        """N(0, .1) for convolutions, as arcface_torch."""
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        embeddings: Tensor = self.output(self.body(self.stem(x)))
        return embeddings


class PlainIResNet(IResNet):
    """The family of InsightFace_Pytorch and MultiFace."""

    plain = True

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        """He's normal for convolutions."""
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)


FAMILY: dict[str, Callable[..., nn.Module]] = {
    **{f"iresnet{depth}": partial(IResNet, depth) for depth in BLOCKS},
    **{f"iresnet{depth}-se": partial(IResNet, depth, se=True) for depth in BLOCKS},
    **{f"ir{depth}": partial(PlainIResNet, depth) for depth in (50, 100)},
    **{f"ir{depth}-se": partial(PlainIResNet, depth, se=True) for depth in (50, 100)},
}
