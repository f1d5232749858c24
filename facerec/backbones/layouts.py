"""Layouts of published weights: how to recognise them, and how their entries are named in this project's networks.

MobileFaceNets of foamliu, xiaoccer, Face_Pytorch, InsightFace_Pytorch and arcface_torch; residual networks of
arcface_torch, Face_Pytorch, InsightFace_Pytorch, MultiFace and InsightFace-v3; attention networks of Face_Pytorch.
Depth and attention of a residual network are found by counting the units of each stage and comparing the weights of one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from facerec.backbones.iresnet import BLOCKS, CHANNELS, IResNet, PlainIResNet, SEResNet101IR
from facerec.backbones.layers import ATTENTION
from facerec.backbones.mobilefacenet import ConvNorm, MobileFaceNet, WideMobileFaceNet
from facerec.backbones.residual_attention import ResidualAttention

Weights = dict[str, Tensor]
Size = tuple[int, int]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern in the name of an entry, and its replacement."""

_PROJECT, _FIRST_UNIT = "project.0.weight", "body.0.0."


@dataclass(frozen=True)
class Layout:
    """A published form of weights.

    Attributes:
        name: who published it.
        mark: an entry that only this layout has.
        rules: replacements, applied in turn to the name of every entry.
        build: (renamed entries, dim, input size) -> the network they belong to; ValueError if there is none.
        adapt: changes entries before they are renamed.
        last: the renamed entry whose first dimension is the length of the embedding.
        normalised: whether the published network divides its embedding by its norm.
    """

    name: str
    mark: str
    rules: tuple[Rule, ...]
    build: Callable[[Weights, int, Size], nn.Module]
    adapt: Callable[[Weights], Weights] = dict
    last: str = "output.3.weight"
    normalised: bool = False

    def rename(self, key: str) -> str:
        """The name of the entry `key` in this project's network."""
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


def _renamed(names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Rules from patterns and replacements, both without the dot that ends them."""
    return tuple((rf"{theirs}\.", f"{ours}.") for theirs, ours in names.items())


def _members(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Rules for the members of our sequence `ours`: their names, in its order, "-" for one without weights.

    The names are matched at the beginning of an entry, or anywhere in it if `ours` is empty or begins with a dot.
    """
    start = "^" if ours[:1].isalpha() else r"\."
    places = enumerate(theirs.split())
    return _renamed({f"{start}{re.escape(name)}": f"{ours}.{place}" for place, name in places if name != "-"})


def _counted(prefix: str, first: int) -> Rule:
    """The rule that renames `prefix`N. to body.M. with M = N + `first`."""
    return rf"^{prefix}(\d+)\.", lambda match: f"body.{int(match[1]) + first}."


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


def _activated_twice(state: Weights) -> Weights:
    """Add the PReLU of each unit under its second name, the activation after the sum."""
    again = {key.replace(".prelu.", ".activation."): value for key, value in state.items() if ".prelu." in key}
    return {**state, **again}


class SummedAttention(ResidualAttention):
    """Adds the mask of the first module to its trunk; the paper, and the other modules, multiply."""

    summed_first = True


def _build_attention(state: Weights, dim: int, size: Size) -> nn.Module:
    deep = any(key.startswith("body.1.2.") for key in state)
    return SummedAttention(92 if deep else 56, dim, size)


class HybridIResNet(IResNet):
    """The network of early Face_Pytorch: normalised like `IResNet`, with the shortcuts of `PlainIResNet`."""

    projected = False


def _build(network: type[IResNet], state: Weights, dim: int, size: Size) -> nn.Module:
    return network(_depth(state), _attention(state, network), dim, size)


def _depth(state: Weights) -> int:
    places = {tuple(key.split(".")[1:3]) for key in state if key.startswith("body.")}
    units = Counter(stage for stage, _ in places)
    counts = tuple(units[str(stage)] for stage in range(len(CHANNELS)))
    for depth, blocks in BLOCKS.items():
        if blocks == counts:
            return depth
    raise ValueError(f"{counts} units a stage are of no known depth")


def _attention(state: Weights, network: type[IResNet]) -> str:
    weights = {
        key.removeprefix(_FIRST_UNIT)
        for key in state
        if key.startswith(_FIRST_UNIT) and key.endswith(("weight", "bias"))
    }
    for attention in ATTENTION:
        unit = network.unit(attention, CHANNELS[0], CHANNELS[0], 2)
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


_CONV_NORM = _members("", "conv bn prelu")  # by their names elsewhere
_STAGES = _renamed({f"^layer{stage + 1}": f"body.{stage}" for stage in range(len(CHANNELS))})
_BRANCHES = (
    *_STAGES,
    *_renamed({"^input_layer": "stem", r"\.res_layer": ".residual", r"\.shortcut_layer": ".shortcut"}),
    *_members(".weigh", "- fc1 - fc2"),
    *_renamed({r"\.shared_mlp": ".weigh", r"\.conv": ".weigh", "^output_layer": "output"}),
)

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


LAYOUTS = (
    Layout(
        name="MobileFaceNet of foamliu",
        mark="gdconv.depthwise.weight",
        rules=(
            *_members("stem", "conv1"),
            *_members("stem.1", "dw_conv.depthwise dw_conv.bn1"),
            *_members("stem.2", "dw_conv.pointwise dw_conv.bn2"),
            (r"^features\.(\d+)\.conv\.([01])\.([01])\.", r"body.\1.layers.\2.\3."),
            (r"^features\.(\d+)\.conv\.2\.", r"body.\1.layers.2.0."),
            (r"^features\.(\d+)\.conv\.3\.", r"body.\1.layers.2.1."),
            *_renamed({"^conv2": "expand"}),
            *_members("pool", "gdconv.depthwise gdconv.bn"),
            *_members("project", "conv3 bn"),
        ),
        build=lambda _, dim, size: FoamliuMobileFaceNet(dim, size),
        adapt=_fold_bias,
        last=_PROJECT,
    ),
    Layout(
        name="MobileFaceNet of xiaoccer or Face_Pytorch",  # 112x96 there, 112x112 here
        mark="linear7.conv.weight",
        rules=(
            *_members("stem", "conv1 dw_conv1"),
            (r"^blocks\.(\d+)\.conv\.(\d+)\.", _third),
            *_renamed({"^conv2": "expand", "^linear7": "pool", "^linear1": "project"}),
            *_CONV_NORM,
        ),
        build=lambda _, dim, size: MobileFaceNet(dim, size),
        last=_PROJECT,
    ),
    Layout(
        name="MobileFaceNet of InsightFace_Pytorch or MultiFace",
        mark="conv_6_dw.conv.weight",
        rules=(
            *_members("stem", "conv1 conv2_dw"),
            *_renamed({"^conv_23": "body.0", "^conv_34": "body.5", "^conv_45": "body.12"}),
            _counted(r"conv_3\.model\.", 1),
            _counted(r"conv_4\.model\.", 6),
            _counted(r"conv_5\.model\.", 13),
            *(
                (rf"^(body\.\d+)\.{name}\.", rf"\1.layers.{place}.")
                for place, name in enumerate(("conv", "conv_dw", "project"))
            ),
            *_renamed({"^conv_6_sep": "expand", "^conv_6_dw": "pool"}),
            *_members("project", "linear bn"),
            *_CONV_NORM,
        ),
        build=lambda _, dim, size: MobileFaceNet(dim, size),
        adapt=_as_convolution,
        last=_PROJECT,
        normalised=True,
    ),
    Layout(
        name="MobileFaceNet (mbf) of arcface_torch",
        mark="conv_sep.layers.0.weight",
        rules=(
            (r"^layers\.([01])\.layers\.", r"stem.\1."),
            *_renamed({r"^layers\.2": "body.0", r"^layers\.4": "body.5", r"^layers\.6": "body.12"}),
            _counted(r"layers\.3\.layers\.", 1),
            _counted(r"layers\.5\.layers\.", 6),
            _counted(r"layers\.7\.layers\.", 13),
            (r"^(body\.\d+\.layers\.\d)\.layers\.", r"\1."),
            *_renamed({r"^conv_sep\.layers": "expand", r"^features\.layers\.0\.layers": "pool"}),
            *_members("project", "features.layers.2 features.layers.3"),
        ),
        build=lambda _, dim, size: WideMobileFaceNet(dim, size),
        adapt=_as_convolution,
        last=_PROJECT,
    ),
    Layout(
        name="SE-LResNet101E-IR of InsightFace-v3",
        mark="layer1.0.se.fc.0.weight",
        rules=(
            *_STAGES,
            *_members("stem", "conv1 bn1 prelu"),
            *_members(".residual", "bn0 conv1 bn1 prelu conv2 bn2"),
            *_members(".residual.6.weigh", "- - se.fc.0 se.fc.1 se.fc.2"),
            *_renamed({r"\.downsample": ".shortcut"}),
            *_members("output", "bn2 - - fc bn3"),
        ),
        build=lambda _, dim, size: SEResNet101IR(dim, size),
        adapt=_activated_twice,
    ),
    Layout(
        name="the residual networks of arcface_torch",
        mark="layer1.0.bn3.weight",
        rules=(
            *_STAGES,
            *_members("stem", "conv1 bn1 prelu"),
            *_members(".residual", "bn1 conv1 bn2 prelu conv2 bn3"),
            *_renamed({r"\.downsample": ".shortcut"}),
            *_members("output", "bn2 - - fc features"),
        ),
        build=partial(_build, IResNet),
    ),
    Layout(
        name="the residual networks of Face_Pytorch",
        mark="layer1.0.res_layer.5.weight",
        rules=_BRANCHES,
        build=partial(_build, IResNet),
    ),
    Layout(
        name="the first residual networks of Face_Pytorch",
        mark="body.0.res_layer.2.running_mean",
        rules=_BRANCHES,
        build=partial(_build, HybridIResNet),
        adapt=_staged,
    ),
    Layout(
        name="the residual networks of InsightFace_Pytorch or MultiFace",
        mark="body.0.res_layer.4.running_mean",
        rules=_BRANCHES,
        build=partial(_build, PlainIResNet),
        adapt=_staged,
        normalised=True,
    ),
    Layout(
        name="the attention networks of Face_Pytorch",
        mark="attention_module1.share_residual_block.shortcut.weight",
        rules=(
            *_renamed({"^conv1": "stem"}),
            (r"^residual_block([56])\.", lambda match: f"body.3.{int(match[1]) - 4}."),
            (r"^residual_block([1-4])\.", lambda match: f"body.{int(match[1]) - 1}.0."),
            (r"^attention_module(\d)_(\d)\.", lambda match: f"body.{int(match[1]) - 1}.{match[2]}."),
            (r"^attention_module(\d)\.", lambda match: f"body.{int(match[1]) - 1}.1."),
            *(
                (rf"^(body\.{stage}\.\d+)\.{theirs}\.", rf"\1.{ours}.")
                for stage, parts in _PARTS.items()
                for theirs, ours in parts.items()
            ),
            *_renamed({r"\.trunk_branches": ".trunk", r"\.res_bottleneck": ".residual", "^output_layer": "output"}),
        ),
        build=_build_attention,
    ),
)
