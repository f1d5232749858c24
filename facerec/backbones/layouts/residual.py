"""Layouts of residual networks: arcface_torch, AdaFace, MagFace, Face_Pytorch, InsightFace_Pytorch and InsightFace-v3.

Depth and attention of a network are found by counting the units of each stage and comparing the weights of one.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import torch

from facerec.backbones.iresnet import BLOCKS, CHANNELS, FAMILY, IResidualUnit
from facerec.backbones.layers import ATTENTION
from facerec.backbones.layouts.layout import Layout, Weights, below, members, renamed

_FIRST_UNIT = "body.0.0."


def _activated_twice(state: Weights) -> Weights:
    """Add the PReLU of each unit under its second name, the activation after the sum."""
    again = {key.replace(".prelu.", ".activation."): value for key, value in state.items() if ".prelu." in key}
    return {**state, **again}


def _units(state: Weights) -> tuple[int, ...]:
    """Number of units in each stage."""
    places = {tuple(key.split(".")[1:3]) for key in state if key.startswith("body.")}
    units = Counter(stage for stage, _ in places)
    return tuple(units[str(stage)] for stage in range(len(CHANNELS)))


def _depth(state: Weights) -> int:
    counts = _units(state)
    for depth, blocks in BLOCKS.items():
        if blocks == counts:
            return depth
    raise ValueError(f"{counts} units a stage are of no known depth")


def _attention(state: Weights, inner_norm: bool) -> str:
    weights = {
        key.removeprefix(_FIRST_UNIT)
        for key in state
        if key.startswith(_FIRST_UNIT) and key.endswith(("weight", "bias"))
    }
    for attention in ATTENTION:
        unit = IResidualUnit(CHANNELS[0], CHANNELS[0], 2, attention, inner_norm)
        shortcut = {name for name, _ in unit.named_parameters() if name.startswith("shortcut")}
        if weights - shortcut == {name for name, _ in unit.named_parameters()} - shortcut:
            return attention
    raise ValueError("units of this kind are unknown")


def _name(family: str, state: Weights, inner_norm: bool = True) -> str:
    """The name of a network of the family, which is followed by its depth and attention."""
    return f"{family}{_depth(state)}-{_attention(state, inner_norm)}".rstrip("-")


def _shared_name(state: Weights) -> str:
    counts = _units(state)
    for name, make in FAMILY.items():
        if isinstance(make, partial) and make.args == (counts, any(".weigh." in key for key in state)):
            return name
    raise ValueError(f"{counts} units a stage are of no known depth")


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


def _scaled_by_one(state: Weights) -> Weights:
    """With the scale and shift that the last normalisation of AdaFace's networks has not: ones and zeros."""
    mean = state["output_layer.4.running_mean"]
    last = {"output_layer.4.weight": torch.ones_like(mean), "output_layer.4.bias": torch.zeros_like(mean)}
    return _staged(state) | last


_STAGES = renamed({f"^layer{stage + 1}": f"body.{stage}" for stage in range(len(CHANNELS))})
_UNITS = (
    *_STAGES,
    *members("stem", "conv1 bn1 prelu"),
    *members(".residual", "bn1 conv1 bn2 prelu conv2 bn3"),
    *renamed({r"\.downsample": ".shortcut"}),
    *members("output", "bn2 - - fc features"),
)
_BRANCHES = (
    *_STAGES,
    *renamed(
        {"^input_layer": "stem", r"\.res_layer": ".residual", r"\.shortcut_layer": ".shortcut", r"\.se_block": ".6"}
    ),
    *members(".weigh", "- fc1 - fc2"),
    *renamed({r"\.shared_mlp": ".weigh", r"\.conv": ".weigh", "^output_layer": "output"}),
)


RESIDUAL = (
    Layout(
        name="the residual networks of InsightFace-v3",
        mark="layer1.0.bn0.weight",
        rules=(
            *_STAGES,
            *members("stem", "conv1 bn1 prelu"),
            *members(".residual", "bn0 conv1 bn1 prelu conv2 bn2"),
            *members(".residual.6.weigh", "- - se.fc.0 se.fc.1 se.fc.2"),
            *renamed({r"\.downsample": ".shortcut"}),
            *members("output", "bn2 - - fc bn3"),
        ),
        network=_shared_name,
        adapt=_activated_twice,
    ),
    Layout(
        name="the residual networks of arcface_torch",
        mark="layer1.0.bn3.weight",
        rules=_UNITS,
        network=partial(_name, "iresnet"),
    ),
    Layout(
        name="the residual networks of MagFace",
        mark="features.module.layer1.0.bn3.weight",
        rules=_UNITS,
        network=partial(_name, "magface-iresnet"),
        adapt=partial(below, "features.module."),
    ),
    Layout(
        name="the residual networks of Face_Pytorch",
        mark="layer1.0.res_layer.5.weight",
        rules=_BRANCHES,
        network=partial(_name, "iresnet"),
    ),
    Layout(
        name="the residual networks of AdaFace (normalised) or CVLface (not)",
        mark="body.0.res_layer.2.running_mean",
        rules=_BRANCHES,
        network=partial(_name, "adaface-ir"),
        adapt=_scaled_by_one,
        lacks="output_layer.4.weight",
        ambiguous=True,
    ),
    Layout(
        name="the first residual networks of Face_Pytorch",
        mark="body.0.res_layer.2.running_mean",
        rules=_BRANCHES,
        network=partial(_name, "adaface-ir"),
        adapt=_staged,
    ),
    Layout(
        name="the residual networks of InsightFace_Pytorch and MultiFace (normalised) or face.evoLVe (not)",
        mark="body.0.res_layer.4.running_mean",
        rules=_BRANCHES,
        network=partial(_name, "ir", inner_norm=False),
        adapt=_staged,
        ambiguous=True,
    ),
)
"""In the order in which they are tried."""
