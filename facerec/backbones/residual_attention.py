"""Residual attention networks: residual units whose output is weighted by the mask of an hourglass network.

Source: Wang et al., "Residual Attention Network for Image Classification", CVPR 2017, in Face_Pytorch's form for faces:
a stem that keeps the resolution, then a max-pool, and the E output. Its Attention-56 and Attention-92 have 26,419,392
and 134,559,424 parameters with 512 outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from facerec.backbones.layers import EmbeddingOutput, StagedNetwork, initialise_he

REDUCTION = 16  # image pixels per pixel of the last feature map
_STEM = 64


VARIANTS = {56: ((256, 512, 512, 512), (1, 1, 1, 0)), 92: ((256, 512, 1024, 2048), (1, 2, 3, 0))}
"""Channels of the four stages, and attention modules in them, by depth."""


def _convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> tuple[nn.Module, ...]:
    """Batch normalisation, ReLU and a convolution without bias."""
    return (
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
    )


class PreActivationUnit(nn.Module):
    """A residual unit of 1x1, 3x3 (with the stride) and 1x1, a quarter of the channels inside.

    Published networks contain a shortcut convolution in every unit, used or not. It is in their weights and parameter
    counts, so it is here too; if unused, it is not trained.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        inner = outputs // 4
        self.residual = nn.Sequential(
            *_convolution(inputs, inner), *_convolution(inner, inner, 3, stride), *_convolution(inner, outputs)
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.projected = stride != 1 or inputs != outputs
        self.shortcut.requires_grad_(self.projected)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.residual(x) + (self.shortcut(x) if self.projected else x)
        return y


class Hourglass(nn.Module):
    """Pools repeatedly, then returns to the resolution of its first pooling, with skip connections."""

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__()
        self.inner = Hourglass(channels, poolings - 1) if poolings > 1 else None
        if self.inner is None:
            self.down: nn.Module = nn.Sequential(
                PreActivationUnit(channels, channels), PreActivationUnit(channels, channels)
            )
        else:
            self.down, self.skip, self.up = (PreActivationUnit(channels, channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, channels, h / 2, w / 2), rounded up."""
        x = self.down(functional.max_pool2d(x, 3, 2, 1))
        if self.inner is not None:
            x = self.up(_resized(self.inner(x), x) + x + self.skip(x))
        return x


class Attention(nn.Module):
    """An attention module: (1 + mask) * trunk, the paper's equation 3, between two units.

    `summed` adds the mask instead of multiplying, as Face_Pytorch does in its first module.
    """

    def __init__(self, channels: int, poolings: int, summed: bool = False) -> None:
        super().__init__()
        self.first = PreActivationUnit(channels, channels)
        self.trunk = nn.Sequential(PreActivationUnit(channels, channels), PreActivationUnit(channels, channels))
        self.hourglass = Hourglass(channels, poolings)
        self.weigh = nn.Sequential(*_convolution(channels, channels), *_convolution(channels, channels), nn.Sigmoid())
        self.last = PreActivationUnit(channels, channels)
        self.summed = summed

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> the same shape."""
        x = self.first(x)
        trunk = self.trunk(x)
        mask = self.weigh(_resized(self.hourglass(x), trunk) + trunk)
        y: Tensor = self.last(1 + mask + trunk if self.summed else (1 + mask) * trunk)
        return y


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """`x` resized to the resolution of `like`, with aligned corners."""
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


class ResidualAttention(StagedNetwork):
    """(b, 3, h, w) -> (b, dim). `depth` is a key of `VARIANTS`; `dropout` applies before the linear layer."""

    summed_first = False

    def __init__(self, depth: int, dim: int = 512, size: tuple[int, int] = (112, 112), dropout: float = 0.4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, _STEM, 3, 1, 1, bias=False),
            nn.BatchNorm2d(_STEM),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        channels, modules = VARIANTS[depth]
        self.body = nn.Sequential(*self._stages(channels, modules))
        area = math.prod(math.ceil(side / REDUCTION) for side in size)
        self.output = EmbeddingOutput(channels[-1], area, dim, dropout)
        self.apply(initialise_he)

    def _stages(self, widths: Sequence[int], modules: Sequence[int]) -> list[nn.Sequential]:
        """The stages; hourglasses pool 3, 2 and 1 times in them, so that all reach the same lowest resolution."""
        stages, inputs = [], _STEM
        for number, (channels, count) in enumerate(zip(widths, modules, strict=True)):
            first = PreActivationUnit(inputs, channels, 1 if number == 0 else 2)
            summed = number == 0 and self.summed_first
            stages.append(nn.Sequential(first, *(Attention(channels, 3 - number, summed) for _ in range(count))))
            inputs = channels
        stages[-1].extend([PreActivationUnit(inputs, inputs), PreActivationUnit(inputs, inputs)])
        return stages


class SummedAttention(ResidualAttention):
    """Face_Pytorch's own: adds the mask of the first module to its trunk; the paper, and the other modules, multiply."""

    summed_first = True
