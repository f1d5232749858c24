"""ResNet-10 for faces: few, plain convolutions, which a CPU computes at a high rate.

Sources: He et al., "Deep Residual Learning for Image Recognition", 2016, with one unit a stage; He et al., "Bag of
Tricks for Image Classification with CNNs", 2019, for the mean in the shortcut and residuals that start at zero; the
stem and the output are those of MobileFaceNet (Chen, Liu, Gao, Han, 2018). At width .5 it has 1,339,776 parameters with
128 outputs.
"""

from __future__ import annotations

from torch import Tensor, nn

from facerec.backbones.layers import FusedSequential, PReLU, StagedNetwork, initialise_he, residual_stages
from facerec.backbones.mobilefacenet import ConvNorm, embedding_layers, scaled

_CHANNELS = (64, 128, 256, 512)


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


class ResNet10(StagedNetwork):
    """(b, 3, h, w) -> (b, dim). `width` is a factor of the channels; `size` (h, w) fixes the global depthwise convolution."""

    def __init__(self, dim: int = 512, size: tuple[int, int] = (112, 112), width: float = 1.0) -> None:
        super().__init__()
        channels = [scaled(number, width) for number in _CHANNELS]
        self.stem = ConvNorm(3, channels[0], kernel=3, stride=2, padding=1)
        self.body = residual_stages(PlainUnit, [1] * len(channels), channels, first_stride=1)
        self.output = nn.Sequential(*embedding_layers(channels[-1], channels[-1], dim, size), nn.Flatten())
        self.apply(initialise_he)
