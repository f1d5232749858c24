"""MobileFaceNet: a small, fast face embedding network.

Source: Chen, Liu, Gao, Han, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on
Mobile Devices", 2018, table 1. At width 1 it has 1,003,136 parameters with 128 outputs, 1,200,512 with 512.
`WideMobileFaceNet` and `LargeMobileFaceNet` are what arcface_torch calls mbf and mbf_large: 2,059,520 and 6,314,880
parameters with 512 outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from facerec.backbones.layers import FusedSequential, PReLU


class Stage(NamedTuple):
    """A row of the paper's table: `repeats` inverted residuals, the first one with `stride`."""

    expansion: float
    channels: int
    repeats: int
    stride: int


STEM = 64
STAGES = (Stage(2, 64, 5, 2), Stage(4, 128, 1, 2), Stage(2, 128, 6, 1), Stage(4, 128, 1, 2), Stage(2, 128, 2, 1))
LAST = 512
_ROUNDING = 1e-9  # of a share such as .1, three times which is a little more or less than .3
REDUCTION = 16  # image pixels per pixel of the last feature map


class ConvNorm(FusedSequential):
    """Convolution without bias, batch normalisation and, unless `linear`, a PReLU per channel."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([] if linear else [PReLU(outputs)]))


class Bottleneck(nn.Module):
    """Inverted residual: 1x1 expand, 3x3 per channel, 1x1 project; added to its input if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: float, stride: int) -> None:
        super().__init__()
        hidden = int(inputs * expansion)
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            ConvNorm(inputs, hidden),
            ConvNorm(hidden, hidden, kernel=3, stride=stride, padding=1, groups=hidden),
            ConvNorm(hidden, outputs, linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def _bottlenecks(inputs: int, stages: Sequence[Stage], width: float) -> Iterator[Bottleneck]:
    for stage in stages:
        outputs = scaled(stage.channels, width)
        for block in range(stage.repeats):
            yield Bottleneck(inputs, outputs, stage.expansion, stage.stride if block == 0 else 1)
            inputs = outputs


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8."""
    return max(8, round(channels * width / 8) * 8)


def embedding_layers(inputs: int, last: int, dim: int, size: tuple[int, int]) -> tuple[ConvNorm, ConvNorm, ConvNorm]:
    """The end of a network for images of `size`: `last` channels, a global depthwise convolution, a linear layer."""
    final_map = (math.ceil(size[0] / REDUCTION), math.ceil(size[1] / REDUCTION))
    pool = ConvNorm(last, last, kernel=final_map, groups=last, linear=True)
    return ConvNorm(inputs, last), pool, ConvNorm(last, dim, linear=True)


class MobileFaceNet(nn.Module):
    """(b, 3, h, w) -> (b, dim). `size` (h, w) fixes the last, global depthwise convolution.

    `width` is a factor of the channels, `depth` the share of the blocks with a shortcut that are kept: see `shorten`.
    """

    first = STEM
    stages: Sequence[Stage] = STAGES
    stem_group = 1
    """Channels per group of the second convolution of the stem; 0 for a stem of one convolution."""

    def __init__(
        self, dim: int = 512, size: tuple[int, int] = (112, 112), width: float = 1.0, depth: float = 1.0
    ) -> None:
        super().__init__()
        stem, inner, last = (scaled(channels, width) for channels in (self.first, self.stages[-1].channels, LAST))
        self.stem = nn.Sequential(ConvNorm(3, stem, kernel=3, stride=2, padding=1))
        if self.stem_group:
            self.stem.append(ConvNorm(stem, stem, kernel=3, padding=1, groups=stem // self.stem_group))
        self.body = nn.Sequential(*_bottlenecks(stem, self.stages, width))
        self.expand, self.pool, self.project = embedding_layers(inner, last, dim, size)
        self.shorten(depth)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        features: Tensor = self.project(self.pool(self.expand(self.body(self.stem(x)))))
        return features.flatten(1)

    def shorten(self, depth: float) -> None:
        """Take out blocks that are added to their input, so that a share `depth` is left in every row of them.

        Those that are left lie evenly spaced. What they have learnt is of use without the others, since each only
        corrects what it is given: Sanh et al., "DistilBERT", 2019, section 3, start a student in this way.
        """
        kept, place = [], 0
        for block in self.body:
            place = place + 1 if block.residual else 0
            if not place or int(place * depth + _ROUNDING) > int((place - 1) * depth + _ROUNDING):
                kept.append(block)
        self.body = nn.Sequential(*kept)


class Relu6MobileFaceNet(MobileFaceNet):
    """foamliu's MobileFaceNet, with ReLU6 instead of PReLU, and a separable stem with ReLU."""

    def __init__(self, dim: int = 128, size: tuple[int, int] = (112, 112), depth: float = 1.0) -> None:
        super().__init__(dim, size, depth=depth)
        for block in [module for module in self.modules() if isinstance(module, ConvNorm)]:
            if len(block) == 3:
                block[2] = nn.ReLU6()
        depthwise = ConvNorm(64, 64, kernel=3, padding=1, groups=64)
        pointwise = ConvNorm(64, 64)
        depthwise[2], pointwise[2] = nn.ReLU(), nn.ReLU()
        self.stem = nn.Sequential(self.stem[0], depthwise, pointwise)


class WideMobileFaceNet(MobileFaceNet):
    """mbf of arcface_torch: twice the channels between the bottlenecks, but no more inside them."""

    first = 2 * STEM
    stages = tuple(Stage(s.expansion // 2, 2 * s.channels, s.repeats, s.stride) for s in STAGES)
    stem_group = 2


class LargeMobileFaceNet(MobileFaceNet):
    """mbf_large of arcface_torch: twice the bottlenecks of mbf, of twice its channels, with as few inside them."""

    first = 4 * STEM
    stages = (
        Stage(0.5, 256, 2, 1),
        Stage(0.5, 256, 9, 2),
        Stage(1, 512, 1, 2),
        Stage(0.5, 512, 12, 1),
        Stage(1, 512, 1, 2),
        Stage(0.5, 512, 4, 1),
    )
    stem_group = 0


def _initialise(module: nn.Module) -> None:
    """N(0, sqrt(2 / (kernel area * outputs))) for convolutions, as in the published code."""
    if isinstance(module, nn.Conv2d):
        area = module.kernel_size[0] * module.kernel_size[1]
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / (area * module.out_channels)))
