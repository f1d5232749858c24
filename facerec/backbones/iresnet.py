"""Improved residual networks for faces (IR): the families iresnet and ir, with or without attention, and SE-ResNet101-IR.

Source: Deng et al., "ArcFace", 2019, section 3.1 (the unit BN-conv-BN-PReLU-conv-BN). `IResNet` has the parameters of
arcface_torch and Face_Pytorch; `PlainIResNet` those of InsightFace_Pytorch and MultiFace: no normalisation between the
convolutions, and a shortcut without weights if the number of channels stays. `SharedPReLUNetwork`
is that of InsightFace-v3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from facerec.backbones.layers import (
    ATTENTION,
    EmbeddingOutput,
    FusedSequential,
    PReLU,
    StagedNetwork,
    initialise_he,
    residual_stages,
)

CHANNELS = (64, 128, 256, 512)
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
    200: (6, 26, 60, 6),
}
"""Number of units in each of the four stages, by depth."""


class IResidualUnit(nn.Module):
    """A residual unit; the second convolution has the stride, and `attention`, a key of `ATTENTION`, comes last.

    `inner_norm` puts a normalisation between the convolutions. `projected` gives weights to the shortcut of every unit
    with a stride, not only if the number of channels changes.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, attention: str, inner_norm: bool = True, projected: bool = True
    ) -> None:
        super().__init__()
        self.residual = FusedSequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(outputs)] if inner_norm else []),
            PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *ATTENTION[attention](outputs),
        )
        self.shortcut = _shortcut(inputs, outputs, stride, projected)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.residual(x) + self.shortcut(x)
        return y


def _shortcut(inputs: int, outputs: int, stride: int, projected: bool) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if not projected and inputs == outputs:
        return nn.MaxPool2d(1, stride)
    return FusedSequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class IResNet(StagedNetwork):
    """(b, 3, h, w) -> (b, dim). Every one of the four stages halves the map.

    `depth` is a key of `BLOCKS`, `attention` a key of `ATTENTION`; `dropout` applies before the linear layer of the output.
    """

    inner_norm = projected = frozen_scale = True

    def __init__(
        self, depth: int, attention: str = "", dim: int = 512, size: tuple[int, int] = (112, 112), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = FusedSequential(
            nn.Conv2d(3, CHANNELS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(CHANNELS[0]), PReLU(CHANNELS[0])
        )
        self.body = residual_stages(partial(self.unit, attention), BLOCKS[depth], CHANNELS)
        area = math.prod(math.ceil(side / 2 ** len(CHANNELS)) for side in size)
        self.output = EmbeddingOutput(CHANNELS[-1], area, dim, dropout, self.frozen_scale)
        self.apply(self._initialise)

    @classmethod
    def unit(cls, attention: str, inputs: int, outputs: int, stride: int) -> IResidualUnit:
        """A residual unit of the family."""
        return IResidualUnit(inputs, outputs, stride, attention, cls.inner_norm, cls.projected)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        """N(0, .1) for convolutions, as arcface_torch."""
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)


class PlainIResNet(IResNet):
    """The family of InsightFace_Pytorch and MultiFace."""

    inner_norm = projected = frozen_scale = False

    _initialise = staticmethod(initialise_he)


class HybridIResNet(IResNet):
    """The family of AdaFace, CVLface and early Face_Pytorch: that of `IResNet` with the shortcuts of `PlainIResNet`."""

    projected = False


class MagFaceIResNet(IResNet):
    """The family of MagFace, whose normalisations add twice as much to the variance."""

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        initialise_he(module)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps = 2e-5


_REDUCTION = 16


class LinearSqueezeExcite(nn.Module):
    """Squeeze-and-excitation of (b, c, h, w) with linear layers that have biases, and a PReLU."""

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
    """BN-conv-BN-PReLU-conv-BN, with `squeeze` SE, added to the input and activated by the same PReLU."""

    def __init__(self, squeeze: bool, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.activation = nn.PReLU()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(inputs),
            self.activation,
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *([LinearSqueezeExcite(outputs)] if squeeze else []),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


class SharedPReLUNetwork(StagedNetwork):
    """The residual networks of InsightFace-v3, (b, 3, h, w) -> (b, dim): `units` of IR-like units a stage.

    They differ from the IR families: a stem without padding but with a max-pool, units whose first convolution keeps
    the channels, an activation after the sum, one PReLU slope per unit, linear layers with bias in the
    squeeze-and-excitation. With `squeeze` and the units of ResNet-101 it is SE-LResNet101E-IR. Source: its published
    parameter count, 52,193,215, and the paper's section 3.1.
    """

    def __init__(
        self,
        units: Sequence[int],
        squeeze: bool,
        dim: int = 512,
        size: tuple[int, int] = (112, 112),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 3, bias=False), nn.BatchNorm2d(CHANNELS[0]), nn.PReLU(), nn.MaxPool2d(2)
        )
        self.body = residual_stages(partial(SharedPReLUUnit, squeeze), units, CHANNELS, first_stride=1)
        area = _last_side(size[0]) * _last_side(size[1])
        self.output = EmbeddingOutput(CHANNELS[-1], area, dim, dropout)


def _last_side(side: int) -> int:
    """Side of the last map: the stem takes off two pixels and halves, three stages halve, rounding up."""
    side = (side - 2) // 2
    for _ in range(len(CHANNELS) - 1):
        side = -(-side // 2)
    return side


_SHARED = {18: BLOCKS[18], 34: BLOCKS[34], 101: (3, 4, 23, 3), 152: BLOCKS[152]}

FAMILY: dict[str, Callable[..., nn.Module]] = {
    **{
        f"{family}{depth}-{attention}".rstrip("-"): partial(network, depth, attention)
        for family, network, depths, variants in (
            ("iresnet", IResNet, BLOCKS, ATTENTION),
            ("ir", PlainIResNet, (50, 100, 152), ("", "se")),
            ("adaface-ir", HybridIResNet, BLOCKS, ATTENTION),
            ("magface-iresnet", MagFaceIResNet, BLOCKS, ("",)),
        )
        for depth in depths
        for attention in variants
    },
    **{
        f"{squeeze}resnet{depth}-ir": partial(SharedPReLUNetwork, units, bool(squeeze))
        for depth, units in _SHARED.items()
        for squeeze in ("", "se-")
    },
}
"""Networks by name."""
