"""Layouts of the MobileFaceNets that foamliu, xiaoccer, Face_Pytorch, InsightFace_Pytorch and arcface_torch publish."""

from __future__ import annotations

import re

from torch import nn

from facerec.backbones.mobilefacenet import ConvNorm, MobileFaceNet, WideMobileFaceNet
from facerec.backbones.published.layout import Layout, Rule, Size, Weights, counted

_LAST = "project.0.weight"
_MEMBERS: tuple[Rule, ...] = ((r"\.conv\.", ".0."), (r"\.bn\.", ".1."), (r"\.prelu\.", ".2."))
"""Members of our ConvNorm, by their names elsewhere."""


class FoamliuMobileFaceNet(MobileFaceNet):
    """MobileFaceNet with ReLU6 instead of PReLU, and a separable stem with ReLU."""

    def __init__(self, dim: int = 128, size: Size = (112, 112)) -> None:
        super().__init__(dim, size)
        for block in [module for module in self.modules() if isinstance(module, ConvNorm)]:
            if len(block) == 3:
                block[2] = nn.ReLU6()
        depthwise = ConvNorm(64, 64, kernel=3, padding=1, groups=64)
        pointwise = ConvNorm(64, 64)
        depthwise[2], pointwise[2] = nn.ReLU(), nn.ReLU()
        self.stem = nn.Sequential(self.stem[0], depthwise, pointwise)


def _foamliu(_: Weights, dim: int, size: Size) -> nn.Module:
    return FoamliuMobileFaceNet(dim, size)


def _plain(_: Weights, dim: int, size: Size) -> nn.Module:
    return MobileFaceNet(dim, size)


def _wide(_: Weights, dim: int, size: Size) -> nn.Module:
    return WideMobileFaceNet(dim, size)


def _fold_bias(state: Weights) -> Weights:
    """Subtract the last convolution's bias from the mean of the normalisation that follows."""
    folded = dict(state)
    folded["bn.running_mean"] = folded["bn.running_mean"] - folded.pop("conv3.bias")
    return folded


def _as_convolution(state: Weights) -> Weights:
    """Linear layers as 1x1 convolutions."""
    return {key: value[:, :, None, None] if value.ndim == 2 else value for key, value in state.items()}


def _third(match: re.Match[str]) -> str:
    """New name of layer k in a flat block of three times convolution, normalisation, activation."""
    layer = int(match[2])
    return f"body.{match[1]}.layers.{layer // 3}.{layer % 3}."


LAYOUTS = (
    Layout(
        name="MobileFaceNet of foamliu",
        mark="gdconv.depthwise.weight",
        rules=(
            (r"^conv1\.", "stem.0."),
            (r"^dw_conv\.depthwise\.", "stem.1.0."),
            (r"^dw_conv\.bn1\.", "stem.1.1."),
            (r"^dw_conv\.pointwise\.", "stem.2.0."),
            (r"^dw_conv\.bn2\.", "stem.2.1."),
            (r"^features\.(\d+)\.conv\.([01])\.([01])\.", r"body.\1.layers.\2.\3."),
            (r"^features\.(\d+)\.conv\.2\.", r"body.\1.layers.2.0."),
            (r"^features\.(\d+)\.conv\.3\.", r"body.\1.layers.2.1."),
            (r"^conv2\.", "expand."),
            (r"^gdconv\.depthwise\.", "pool.0."),
            (r"^gdconv\.bn\.", "pool.1."),
            (r"^conv3\.", "project.0."),
            (r"^bn\.", "project.1."),
        ),
        last=_LAST,
        build=_foamliu,
        adapt=_fold_bias,
    ),
    Layout(
        name="MobileFaceNet of xiaoccer or Face_Pytorch",  # 112x96 there, 112x112 here
        mark="linear7.conv.weight",
        rules=(
            (r"^conv1\.", "stem.0."),
            (r"^dw_conv1\.", "stem.1."),
            (r"^blocks\.(\d+)\.conv\.(\d+)\.", _third),
            (r"^conv2\.", "expand."),
            (r"^linear7\.", "pool."),
            (r"^linear1\.", "project."),
            *_MEMBERS,
        ),
        last=_LAST,
        build=_plain,
    ),
    Layout(
        name="MobileFaceNet of InsightFace_Pytorch or MultiFace",
        mark="conv_6_dw.conv.weight",
        rules=(
            (r"^conv1\.", "stem.0."),
            (r"^conv2_dw\.", "stem.1."),
            (r"^conv_23\.", "body.0."),
            counted(r"conv_3\.model\.", 1),
            (r"^conv_34\.", "body.5."),
            counted(r"conv_4\.model\.", 6),
            (r"^conv_45\.", "body.12."),
            counted(r"conv_5\.model\.", 13),
            (r"^(body\.\d+)\.conv\.", r"\1.layers.0."),
            (r"^(body\.\d+)\.conv_dw\.", r"\1.layers.1."),
            (r"^(body\.\d+)\.project\.", r"\1.layers.2."),
            (r"^conv_6_sep\.", "expand."),
            (r"^conv_6_dw\.", "pool."),
            (r"^linear\.", "project.0."),
            (r"^bn\.", "project.1."),
            *_MEMBERS,
        ),
        last=_LAST,
        build=_plain,
        adapt=_as_convolution,
        normalised=True,
    ),
    Layout(
        name="MobileFaceNet (mbf) of arcface_torch",
        mark="conv_sep.layers.0.weight",
        rules=(
            (r"^layers\.([01])\.layers\.", r"stem.\1."),
            (r"^layers\.2\.", "body.0."),
            counted(r"layers\.3\.layers\.", 1),
            (r"^layers\.4\.", "body.5."),
            counted(r"layers\.5\.layers\.", 6),
            (r"^layers\.6\.", "body.12."),
            counted(r"layers\.7\.layers\.", 13),
            (r"^(body\.\d+\.layers\.\d)\.layers\.", r"\1."),
            (r"^conv_sep\.layers\.", "expand."),
            (r"^features\.layers\.0\.layers\.", "pool."),
            (r"^features\.layers\.2\.", "project.0."),
            (r"^features\.layers\.3\.", "project.1."),
        ),
        last=_LAST,
        build=_wide,
        adapt=_as_convolution,
    ),
)
