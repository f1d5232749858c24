"""The "E" output of the ArcFace paper, from the last feature map to the embedding: BN, dropout, linear, BN."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class EmbeddingOutput(nn.Sequential):
    """(b, channels, h, w) -> (b, dim). Source: Deng et al., "ArcFace", 2019, section 3.1.

    `frozen_scale` keeps the last normalisation's weight at one, as arcface_torch does.
    """

    def __init__(
        self,
        channels: int,
        area: int,
        dim: int,
        dropout: float = 0.0,
        frozen_scale: bool = False,
    ) -> None:
        last = nn.BatchNorm1d(dim)
        if frozen_scale:
            last.weight.requires_grad_(False)
        super().__init__(
            nn.BatchNorm2d(channels),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(channels * area, dim),
            last,
        )


_REDUCTION = 16


class SqueezeExcite(nn.Module):
    """Weighs each channel (b, c, h, w) by what the whole map shows, through a bottleneck of c / 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_bottleneck(channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        weighed: Tensor = x * self.weigh(x)
        return weighed


class ChannelAttention(nn.Module):
    """Weighs each channel by its mean and its maximum, which share a bottleneck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(*_bottleneck(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        weighed: Tensor = x * torch.sigmoid(self.weigh(mean) + self.weigh(peak))
        return weighed


class SpatialAttention(nn.Module):
    """Weighs each place of a map by the mean and the maximum of its channels around there."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        seen = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        weighed: Tensor = x * torch.sigmoid(self.weigh(seen))
        return weighed


def _bottleneck(channels: int) -> tuple[nn.Module, ...]:
    inner = channels // _REDUCTION
    return nn.Conv2d(channels, inner, 1, bias=False), nn.ReLU(), nn.Conv2d(inner, channels, 1, bias=False)


GATES: dict[str, Callable[[int], tuple[nn.Module, ...]]] = {
    "": lambda _: (),
    "se": lambda channels: (SqueezeExcite(channels),),
    "cam": lambda channels: (ChannelAttention(channels),),
    "sam": lambda _: (SpatialAttention(),),
    "cbam": lambda channels: (ChannelAttention(channels), SpatialAttention()),
}
"""What a branch of so many channels ends with, by name; "" is nothing."""
