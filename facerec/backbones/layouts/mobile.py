"""Layouts of MobileFaceNets: foamliu, xiaoccer, Face_Pytorch, InsightFace_Pytorch, MultiFace and arcface_torch."""

from __future__ import annotations

import re

from facerec.backbones.layouts.layout import CONV_NORM, Layout, Rule, Weights, counted, members, renamed

_PROJECT = "project.0.weight"


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


def _mbf_rules(stem: tuple[Rule, ...], *counts: int) -> tuple[Rule, ...]:
    """Names in mbf networks of arcface_torch: after the `stem`, four runs of so many units, each but the first led by
    one of stride 2."""
    first, rules = 0, [*stem]
    for run, count in enumerate(counts):
        if run:
            rules += renamed({rf"^layers\.{2 * run}": f"body.{first}"})
            first += 1
        rules.append(counted(rf"layers\.{2 * run + 1}\.layers\.", first))
        first += count
    return (
        *rules,
        (r"^(body\.\d+\.layers\.\d)\.layers\.", r"\1."),
        *renamed({r"^conv_sep\.layers": "expand", r"^features\.layers\.0\.layers": "pool"}),
        *members("project", "features.layers.2 features.layers.3"),
    )


MOBILE = (
    Layout(
        name="MobileFaceNet of foamliu",
        mark="gdconv.depthwise.weight",
        rules=(
            *members("stem", "conv1"),
            *members("stem.1", "dw_conv.depthwise dw_conv.bn1"),
            *members("stem.2", "dw_conv.pointwise dw_conv.bn2"),
            (r"^features\.(\d+)\.conv\.([01])\.([01])\.", r"body.\1.layers.\2.\3."),
            (r"^features\.(\d+)\.conv\.2\.", r"body.\1.layers.2.0."),
            (r"^features\.(\d+)\.conv\.3\.", r"body.\1.layers.2.1."),
            *renamed({"^conv2": "expand"}),
            *members("pool", "gdconv.depthwise gdconv.bn"),
            *members("project", "conv3 bn"),
        ),
        network="mobilefacenet-relu6",
        adapt=_fold_bias,
        last=_PROJECT,
    ),
    Layout(
        name="MobileFaceNet of xiaoccer or Face_Pytorch",  # 112x96 there, 112x112 here
        mark="linear7.conv.weight",
        rules=(
            *members("stem", "conv1 dw_conv1"),
            (r"^blocks\.(\d+)\.conv\.(\d+)\.", _third),
            *renamed({"^conv2": "expand", "^linear7": "pool", "^linear1": "project"}),
            *CONV_NORM,
        ),
        network="mobilefacenet",
        last=_PROJECT,
    ),
    Layout(
        name="MobileFaceNet of InsightFace_Pytorch (normalised) or MultiFace (its softmax network is not)",
        mark="conv_6_dw.conv.weight",
        rules=(
            *members("stem", "conv1 conv2_dw"),
            *renamed({"^conv_23": "body.0", "^conv_34": "body.5", "^conv_45": "body.12"}),
            counted(r"conv_3\.model\.", 1),
            counted(r"conv_4\.model\.", 6),
            counted(r"conv_5\.model\.", 13),
            *(
                (rf"^(body\.\d+)\.{name}\.", rf"\1.layers.{place}.")
                for place, name in enumerate(("conv", "conv_dw", "project"))
            ),
            *renamed({"^conv_6_sep": "expand", "^conv_6_dw": "pool"}),
            *members("project", "linear bn"),
            *CONV_NORM,
        ),
        network="mobilefacenet",
        adapt=_as_convolution,
        last=_PROJECT,
        ambiguous=True,
    ),
    Layout(
        name="MobileFaceNet (mbf_large) of arcface_torch",
        mark="layers.1.layers.1.layers.0.layers.0.weight",
        rules=_mbf_rules(renamed({r"^layers\.0\.layers": "stem.0"}), 2, 8, 12, 4),
        network="mbf-large",
        adapt=_as_convolution,
        last=_PROJECT,
    ),
    Layout(
        name="MobileFaceNet (mbf) of arcface_torch",
        mark="conv_sep.layers.0.weight",
        rules=_mbf_rules(((r"^layers\.([01])\.layers\.", r"stem.\1."),), 0, 4, 6, 2),
        network="mbf",
        adapt=_as_convolution,
        last=_PROJECT,
    ),
)
"""In the order in which they are tried."""
