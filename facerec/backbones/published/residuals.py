"""Layouts of the residual networks of arcface_torch, Face_Pytorch, InsightFace_Pytorch, MultiFace and InsightFace-v3.

Depth and attention are found by counting the units of each stage and comparing the weights of a unit.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from torch import nn

from facerec.backbones.iresnet import (
    BLOCKS,
    CHANNELS,
    IResidualUnit,
    IResNet,
    IResNetStyle,
    PlainIResNet,
    SEResNet101IR,
)
from facerec.backbones.layers import ATTENTION
from facerec.backbones.published.layout import Layout, Rule, Size, Weights
from facerec.backbones.residual_attention import ResidualAttention

_LAST = "output.3.weight"
_FIRST_UNIT = "body.0.0."


class HybridIResNet(IResNet):
    """The network of early Face_Pytorch: normalised like `IResNet`, with the shortcuts of `PlainIResNet`."""

    style = IResNetStyle(projected=False)


def _build(network: type[IResNet], state: Weights, dim: int, size: Size) -> nn.Module:
    return network(_depth(state), _attention(state, network.style), dim, size)


def _depth(state: Weights) -> int:
    places = {tuple(key.split(".")[1:3]) for key in state if key.startswith("body.")}
    units = Counter(stage for stage, _ in places)
    counts = tuple(units[str(stage)] for stage in range(len(CHANNELS)))
    for depth, blocks in BLOCKS.items():
        if blocks == counts:
            return depth
    raise ValueError(f"{counts} units a stage are of no known depth")


def _attention(state: Weights, style: IResNetStyle) -> str:
    weights = {
        key.removeprefix(_FIRST_UNIT)
        for key in state
        if key.startswith(_FIRST_UNIT) and key.endswith(("weight", "bias"))
    }
    for attention in ATTENTION:
        unit = IResidualUnit(CHANNELS[0], CHANNELS[0], 2, attention, style)
        if weights == {name for name, _ in unit.named_parameters()}:
            return attention
    raise ValueError("units of this kind are unknown")


def _staged(state: Weights) -> Weights:
    """Rename consecutively numbered units, body.N., by stage: layerS.U. Stages differ in their channels."""
    places: list[str] = []
    units = Counter[int]()
    while (kernel := state.get(f"body.{len(places)}.res_layer.1.weight")) is not None:
        if kernel.shape[0] not in CHANNELS:
            raise ValueError(f"units of {kernel.shape[0]} channels are unknown")
        stage = CHANNELS.index(kernel.shape[0])
        places.append(f"layer{stage + 1}.{units[stage]}")
        units[stage] += 1
    return {_placed(key, places): value for key, value in state.items()}


def _placed(key: str, places: list[str]) -> str:
    if not key.startswith("body."):
        return key
    _, number, rest = key.split(".", 2)
    return f"{places[int(number)]}.{rest}"


def _build_v3(_: Weights, dim: int, size: Size) -> nn.Module:
    return SEResNet101IR(dim, size)


def _activated_twice(state: Weights) -> Weights:
    """Add the PReLU of each unit under its second name, the activation after the sum."""
    again = {key.replace(".prelu.", ".activation."): value for key, value in state.items() if ".prelu." in key}
    return {**state, **again}


_STAGES: tuple[Rule, ...] = tuple((rf"^layer{stage + 1}\.", f"body.{stage}.") for stage in range(len(CHANNELS)))
_BRANCHES: tuple[Rule, ...] = (
    *_STAGES,
    (r"^input_layer\.", "stem."),
    (r"\.res_layer\.", ".residual."),
    (r"\.shortcut_layer\.", ".shortcut."),
    (r"\.fc1\.", ".weigh.1."),
    (r"\.fc2\.", ".weigh.3."),
    (r"\.shared_mlp\.", ".weigh."),
    (r"\.conv\.", ".weigh."),
    (r"^output_layer\.", "output."),
)

LAYOUTS = (
    Layout(
        name="SE-LResNet101E-IR of InsightFace-v3",
        mark="layer1.0.se.fc.0.weight",
        rules=(
            *_STAGES,
            (r"^conv1\.", "stem.0."),
            (r"^bn1\.", "stem.1."),
            (r"^prelu\.", "stem.2."),
            (r"\.bn0\.", ".residual.0."),
            (r"\.conv1\.", ".residual.1."),
            (r"\.bn1\.", ".residual.2."),
            (r"\.prelu\.", ".residual.3."),
            (r"\.conv2\.", ".residual.4."),
            (r"\.bn2\.", ".residual.5."),
            (r"\.se\.fc\.0\.", ".residual.6.weigh.2."),
            (r"\.se\.fc\.1\.", ".residual.6.weigh.3."),
            (r"\.se\.fc\.2\.", ".residual.6.weigh.4."),
            (r"\.downsample\.", ".shortcut."),
            (r"^bn2\.", "output.0."),
            (r"^fc\.", "output.3."),
            (r"^bn3\.", "output.4."),
        ),
        last=_LAST,
        build=_build_v3,
        adapt=_activated_twice,
    ),
    Layout(
        name="the residual networks of arcface_torch",
        mark="layer1.0.bn3.weight",
        rules=(
            *_STAGES,
            (r"^conv1\.", "stem.0."),
            (r"^bn1\.", "stem.1."),
            (r"^prelu\.", "stem.2."),
            (r"\.bn1\.", ".residual.0."),
            (r"\.conv1\.", ".residual.1."),
            (r"\.bn2\.", ".residual.2."),
            (r"\.prelu\.", ".residual.3."),
            (r"\.conv2\.", ".residual.4."),
            (r"\.bn3\.", ".residual.5."),
            (r"\.downsample\.", ".shortcut."),
            (r"^bn2\.", "output.0."),
            (r"^fc\.", "output.3."),
            (r"^features\.", "output.4."),
        ),
        last=_LAST,
        build=partial(_build, IResNet),
    ),
    Layout(
        name="the residual networks of Face_Pytorch",
        mark="layer1.0.res_layer.5.weight",
        rules=_BRANCHES,
        last=_LAST,
        build=partial(_build, IResNet),
    ),
    Layout(
        name="the first residual networks of Face_Pytorch",
        mark="body.0.res_layer.2.running_mean",
        rules=_BRANCHES,
        last=_LAST,
        build=partial(_build, HybridIResNet),
        adapt=_staged,
    ),
    Layout(
        name="the residual networks of InsightFace_Pytorch or MultiFace",
        mark="body.0.res_layer.4.running_mean",
        rules=_BRANCHES,
        last=_LAST,
        build=partial(_build, PlainIResNet),
        adapt=_staged,
        normalised=True,
    ),
)


class SummedAttention(ResidualAttention):
    """Adds the mask of the first module to its trunk; the paper, and the other modules, multiply."""

    summed_first = True


def _build_attention(state: Weights, dim: int, size: Size) -> nn.Module:
    deep = any(key.startswith("body.1.2.") for key in state)
    return SummedAttention(92 if deep else 56, dim, size)


_PARTS = {
    0: {
        "share_residual_block": "first",
        "mask_block1": "hourglass.down",
        "skip_connect1": "hourglass.skip",
        "mask_block2": "hourglass.inner.down",
        "skip_connect2": "hourglass.inner.skip",
        "mask_block3": "hourglass.inner.inner.down",
        "mask_block4": "hourglass.inner.up",
        "mask_block5": "hourglass.up",
        "mask_block6": "weigh",
        "last_block": "last",
    },
    1: {
        "first_residual_blocks": "first",
        "softmax1_blocks": "hourglass.down",
        "skip1_connection_residual_block": "hourglass.skip",
        "softmax2_blocks": "hourglass.inner.down",
        "softmax3_blocks": "hourglass.up",
        "softmax4_blocks": "weigh",
        "last_blocks": "last",
    },
    2: {
        "first_residual_blocks": "first",
        "softmax1_blocks": "hourglass.down",
        "softmax2_blocks": "weigh",
        "last_blocks": "last",
    },
}
"""Parts of an attention module by stage, theirs and ours."""

ATTENTION_LAYOUTS = (
    Layout(
        name="the attention networks of Face_Pytorch",
        mark="attention_module1.share_residual_block.shortcut.weight",
        rules=(
            (r"^conv1\.", "stem."),
            (r"^residual_block([56])\.", lambda match: f"body.3.{int(match[1]) - 4}."),
            (r"^residual_block([1-4])\.", lambda match: f"body.{int(match[1]) - 1}.0."),
            (r"^attention_module(\d)_(\d)\.", lambda match: f"body.{int(match[1]) - 1}.{match[2]}."),
            (r"^attention_module(\d)\.", lambda match: f"body.{int(match[1]) - 1}.1."),
            *(
                (rf"^(body\.{stage}\.\d+)\.{theirs}\.", rf"\1.{ours}.")
                for stage, parts in _PARTS.items()
                for theirs, ours in parts.items()
            ),
            (r"\.trunk_branches\.", ".trunk."),
            (r"\.res_bottleneck\.", ".residual."),
            (r"^output_layer\.", "output."),
        ),
        last="output.3.weight",
        build=_build_attention,
    ),
)
