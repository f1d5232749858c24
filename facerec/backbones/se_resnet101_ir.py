"""SE-LResNet101E-IR as InsightFace-v3 builds it: ResNet-101's numbers of units, of two convolutions each.

It differs from the IR family: a stem without padding and with a max-pool, units whose first convolution keeps
the channels, an activation after the sum, one slope of PReLU a unit, linear layers with bias in the
squeeze-and-excitation. Source: its published parameter count, 52,193,215, and the paper's section 3.1.
"""

from __future__ import annotations

from torch import Tensor, nn

from facerec.backbones.iresnet import CHANNELS
from facerec.backbones.output import EmbeddingOutput

BLOCKS = (3, 4, 23, 3)
_REDUCTION = 16


class LinearSqueezeExcite(nn.Module):
    """Weighs each channel of (b, c, h, w) through linear layers with bias and a PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // _REDUCTION
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, inner),
            nn.PReLU(),
            nn.Linear(inner, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        weighed: Tensor = x * self.weigh(x)[:, :, None, None]
        return weighed


class SharedPReLUUnit(nn.Module):
    """BN-conv-BN-PReLU-conv-BN-SE, added to the input and activated by the same PReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.activation = nn.PReLU()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(inputs),
            self.activation,
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            LinearSqueezeExcite(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


class SEResNet101IR(nn.Module):
    """(b, 3, h, w) -> (b, dim)."""

    def __init__(self, dim: int = 512, size: tuple[int, int] = (112, 112), dropout: float = 0.5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 3, bias=False), nn.BatchNorm2d(CHANNELS[0]), nn.PReLU(), nn.MaxPool2d(2)
        )
        stages, inputs = [], CHANNELS[0]
        for number, (channels, count) in enumerate(zip(CHANNELS, BLOCKS, strict=True)):
            first = SharedPReLUUnit(inputs, channels, 1 if number == 0 else 2)
            stages.append(
                nn.Sequential(first, *(SharedPReLUUnit(channels, channels, 1) for _ in range(count - 1)))
            )
            inputs = channels
        self.body = nn.Sequential(*stages)
        area = _last(size[0]) * _last(size[1])
        self.output = EmbeddingOutput(CHANNELS[-1], area, dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        embeddings: Tensor = self.output(self.body(self.stem(x)))
        return embeddings


def _last(side: int) -> int:
    """Side of the last map: the stem takes two pixels and halves, three stages halve, rounding up."""
    side = (side - 2) // 2
    for _ in range(len(CHANNELS) - 1):
        side = -(-side // 2)
    return side
