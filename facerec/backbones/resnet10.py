"""ResNet-10 for faces: few, plain convolutions, which a CPU computes at a high rate.

Sources: He et al., "Deep Residual Learning for Image Recognition", 2016, with one unit a stage; He et al., "Bag of
Tricks for Image Classification with CNNs", 2019, for the mean in the shortcut and residuals that start at zero; the
stem and the output are those of MobileFaceNet (Chen, Liu, Gao, Han, 2018). At width .5 it has 1,339,776 parameters with
128 outputs.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from facerec.backbones.layers import FusedSequential, PReLU, initialise_he
from facerec.backbones.mobilefacenet import REDUCTION, ConvNorm, scaled

_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Channels and stride of each unit."""


class PlainUnit(nn.Module):
    """Two 3x3 convolutions added to their input, then a PReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = FusedSequential(
            *ConvNorm(inputs, outputs, kernel=3, stride=stride, padding=1),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            last := nn.BatchNorm2d(outputs),
        )
        nn.init.zeros_(last.weight)  # so that the unit begins as its shortcut
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            mean = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
            self.shortcut = FusedSequential(mean, *ConvNorm(inputs, outputs, linear=True))
        self.activation = PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


class ResNet10(nn.Module):
    """(b, 3, h, w) -> (b, dim). `width` is a factor of the channels; `size` (h, w) fixes the global depthwise convolution."""

    def __init__(self, dim: int = 512, size: tuple[int, int] = (112, 112), width: float = 1.0) -> None:
        super().__init__()
        channels = [scaled(number, width) for number, _ in _STAGES]
        last, final_map = channels[-1], (math.ceil(size[0] / REDUCTION), math.ceil(size[1] / REDUCTION))
        self.stem = ConvNorm(3, channels[0], kernel=3, stride=2, padding=1)
        strides = (stride for _, stride in _STAGES)
        units = zip([channels[0], *channels[:-1]], channels, strides, strict=True)
        self.body = nn.Sequential(*(PlainUnit(*unit) for unit in units))
        self.output = nn.Sequential(
            ConvNorm(last, last),
            ConvNorm(last, last, kernel=final_map, groups=last, linear=True),
            ConvNorm(last, dim, linear=True),
        )
        self.apply(initialise_he)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        embeddings: Tensor = self.output(self.body(self.stem(x)))
        return embeddings.flatten(1)
