"""Layers that several backbones share: PReLU, attention within residual units, stages of them, the "E" output, the
stem-body-output form.

Sources: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", 2018; Woo et al., "CBAM: Convolutional Block Attention
Module", 2018, as Face_Pytorch builds them: no biases, bottlenecks of a sixteenth, and a 3x3 kernel for spatial
attention instead of the paper's 7x7; Deng et al., "ArcFace", 2019, section 3.1, for the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from facerec.backbones.normalisation import can_fuse, is_plain, normalise

_scripting = torch.jit.is_scripting  # type: ignore[attr-defined]


class PReLU(nn.PReLU):
    """torch's PReLU with a slope per channel, whose gradient takes a fifth of the time in training on a CPU.

    torch's own backward pass there goes through a map number by number. This one makes four vectorised passes, which
    give the same bits. Everything else, from parameters to export, is torch's.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, ...) -> the same shape."""
        if not _scripting():  # noqa: SIM102  TorchScript does not look into it where it stands alone
            if self.training and is_plain(x):
                activated: Tensor = _PReLU.apply(x, self.weight)
                return activated
        return functional.prelu(x, self.weight)


class _PReLU(torch.autograd.Function):
    """Inputs (b, c, ...) and slopes (c,) -> the PReLU of the inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return torch.prelu(x, slopes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slopes = ctx.saved_tensors
        above: Tensor = torch.ops.aten.threshold_backward(gradient, x, 0)  # the gradient where x > 0, else 0
        below = gradient - above
        by_channel = slopes.view(1, -1, *[1] * (x.ndim - 2))
        return above.addcmul_(below, by_channel), below.mul_(x).sum([0, *range(2, x.ndim)])


class FusedSequential(nn.Sequential):
    """`nn.Sequential` that computes a batch normalisation and the PReLU after it as one, in training on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """What the layers make of `x`, one after the other."""
        if not _scripting():  # noqa: SIM102  as above
            if self.training:
                return self._in_training(x)
        for layer in self:
            x = layer(x)
        return x

    def _in_training(self, x: Tensor) -> Tensor:
        layers = [*self, None]
        while (layer := layers.pop(0)) is not None:
            if can_fuse(layer, x):
                follower = layers.pop(0) if isinstance(layers[0], PReLU) else None
                x = normalise(x, layer, None if follower is None else follower.weight)
            else:
                x = layer(x)
        return x


class EmbeddingOutput(FusedSequential):
    """The "E" output of the ArcFace paper, BN-dropout-linear-BN: (b, channels, h, w) -> (b, dim).

    `area` is h * w; `frozen_scale` keeps the weight of the last normalisation at one, as arcface_torch does.
    """

    def __init__(self, channels: int, area: int, dim: int, dropout: float = 0.0, frozen_scale: bool = False) -> None:
        last = nn.BatchNorm1d(dim)
        if frozen_scale:
            last.weight.requires_grad_(False)
        super().__init__(
            nn.BatchNorm2d(channels), nn.Dropout(dropout), nn.Flatten(), nn.Linear(channels * area, dim), last
        )


class StagedNetwork(nn.Module):
    """A backbone made of `stem`, `body` and `output`."""

    stem: nn.Module
    body: nn.Module
    output: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        embeddings: Tensor = self.output(self.body(self.stem(x)))
        return embeddings


def residual_stages(
    unit: Callable[[int, int, int], nn.Module], blocks: Sequence[int], channels: Sequence[int], first_stride: int = 2
) -> nn.Sequential:
    """Stages of so many `blocks`, each unit(inputs, outputs, stride); the first of each but the first stage has stride 2."""
    stages, inputs, stride = [], channels[0], first_stride
    for outputs, count in zip(channels, blocks, strict=True):
        first = unit(inputs, outputs, stride)
        stages.append(nn.Sequential(first, *(unit(outputs, outputs, 1) for _ in range(count - 1))))
        inputs, stride = outputs, 2
    return nn.Sequential(*stages)


def initialise_he(module: nn.Module) -> None:
    """He's normal for convolutions; for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)


_REDUCTION = 16


class SqueezeExcite(nn.Module):
    """Weights each channel of (b, c, h, w) by a function of all channel means, through a bottleneck of c / 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_bottleneck(channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        weighed: Tensor = x * self.weigh(x)
        return weighed


class ChannelAttention(nn.Module):
    """Weights each channel by its mean and its maximum, which share a bottleneck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(*_bottleneck(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        weighed: Tensor = x * torch.sigmoid(self.weigh(mean) + self.weigh(peak))
        return weighed


class SpatialAttention(nn.Module):
    """Weights each position of a map by the mean and the maximum of the channels around it."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        summary = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        weighed: Tensor = x * torch.sigmoid(self.weigh(summary))
        return weighed


def _bottleneck(channels: int) -> tuple[nn.Module, ...]:
    inner = channels // _REDUCTION
    return nn.Conv2d(channels, inner, 1, bias=False), nn.ReLU(), nn.Conv2d(inner, channels, 1, bias=False)


ATTENTION: dict[str, Callable[[int], tuple[nn.Module, ...]]] = {
    "": lambda _: (),
    "se": lambda channels: (SqueezeExcite(channels),),
    "cam": lambda channels: (ChannelAttention(channels),),
    "sam": lambda _: (SpatialAttention(),),
    "cbam": lambda channels: (ChannelAttention(channels), SpatialAttention()),
}
"""Layers at the end of a residual branch of so many channels, by name; "" means none."""
