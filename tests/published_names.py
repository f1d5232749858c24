"""Names and shapes of the entries in published weights, and weights for them that anyone can make again.

The names are facts about the files that each publisher's code writes; golden/backbones.json holds what that code
itself answers with the weights of `filled`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
    200: (6, 26, 60, 6),
}
# Inputs, channels inside and outputs of MobileFaceNet's 15 bottlenecks.
BOTTLENECKS = (*[(64, 128, 64)] * 5, (64, 256, 128), *[(128, 256, 128)] * 6, (128, 512, 128), *[(128, 256, 128)] * 2)


def filled(shapes: Shapes) -> dict[str, Tensor]:
    """Weights drawn entry by entry, seeded by the entry's name, of sizes at which signals neither die nor explode."""
    return {key: torch.from_numpy(_drawn(key, shape, shapes)) for key, shape in shapes.items()}


def _drawn(key: str, shape: tuple[int, ...], shapes: Shapes) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    owner, kind = key.rpartition(".")[::2]
    if kind == "num_batches_tracked":
        return np.array(7)
    if kind == "running_var":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) > 1:
        return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
    if kind == "weight":  # of a normalisation, or slopes of a PReLU
        low, high = (0.5, 1.0) if f"{owner}.running_var" in shapes else (0.0, 0.5)
        return rng.uniform(low, high, shape).astype(np.float32)
    return rng.normal(0, 0.1, shape).astype(np.float32)


def conv(name: str, outputs: int, inputs: int, height: int = 1, width: int | None = None) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, height, width or height)}


def norm(name: str, channels: int) -> Shapes:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in vectors}, f"{name}.num_batches_tracked": ()}


def prelu(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,)}


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def foamliu(dim: int = 128) -> Shapes:
    """MobileFaceNet of foamliu."""
    shapes = conv("conv1.0", 64, 3, 3) | norm("conv1.1", 64)
    shapes |= conv("dw_conv.depthwise", 64, 1, 3) | conv("dw_conv.pointwise", 64, 64)
    shapes |= norm("dw_conv.bn1", 64) | norm("dw_conv.bn2", 64)
    for number, (inputs, hidden, outputs) in enumerate(BOTTLENECKS):
        name = f"features.{number}.conv"
        shapes |= conv(f"{name}.0.0", hidden, inputs) | norm(f"{name}.0.1", hidden)
        shapes |= conv(f"{name}.1.0", hidden, 1, 3) | norm(f"{name}.1.1", hidden)
        shapes |= conv(f"{name}.2", outputs, hidden) | norm(f"{name}.3", outputs)
    shapes |= conv("conv2.0", 512, 128) | norm("conv2.1", 512)
    shapes |= conv("gdconv.depthwise", 512, 1, 7) | norm("gdconv.bn", 512)
    return shapes | conv("conv3", dim, 512) | {"conv3.bias": (dim,)} | norm("bn", dim)


def xiaoccer(dim: int = 128, width: int = 6) -> Shapes:
    """MobileFaceNet of xiaoccer, and with a last map 7 wide of Face_Pytorch."""
    shapes = _block("conv1", 64, 3, 3) | _block("dw_conv1", 64, 1, 3)
    for number, (inputs, hidden, outputs) in enumerate(BOTTLENECKS):
        name = f"blocks.{number}.conv"
        shapes |= conv(f"{name}.0", hidden, inputs) | norm(f"{name}.1", hidden) | prelu(f"{name}.2", hidden)
        shapes |= conv(f"{name}.3", hidden, 1, 3) | norm(f"{name}.4", hidden) | prelu(f"{name}.5", hidden)
        shapes |= conv(f"{name}.6", outputs, hidden) | norm(f"{name}.7", outputs)
    shapes |= _block("conv2", 512, 128)
    shapes |= conv("linear7.conv", 512, 1, 7, width) | norm("linear7.bn", 512)
    return shapes | conv("linear1.conv", dim, 512) | norm("linear1.bn", dim)


def _block(name: str, outputs: int, inputs: int, kernel: int = 1) -> Shapes:
    return conv(f"{name}.conv", outputs, inputs, kernel) | norm(f"{name}.bn", outputs) | prelu(f"{name}.prelu", outputs)


def insightface_mobile(dim: int = 512) -> Shapes:
    """MobileFaceNet of InsightFace_Pytorch."""
    names = ["conv_23", *(f"conv_3.model.{unit}" for unit in range(4))]
    names += ["conv_34", *(f"conv_4.model.{unit}" for unit in range(6))]
    names += ["conv_45", *(f"conv_5.model.{unit}" for unit in range(2))]
    shapes = _block("conv1", 64, 3, 3) | _block("conv2_dw", 64, 1, 3)
    for name, (inputs, hidden, outputs) in zip(names, BOTTLENECKS, strict=True):
        shapes |= _block(f"{name}.conv", hidden, inputs) | _block(f"{name}.conv_dw", hidden, 1, 3)
        shapes |= conv(f"{name}.project.conv", outputs, hidden) | norm(f"{name}.project.bn", outputs)
    shapes |= _block("conv_6_sep", 512, 128)
    shapes |= conv("conv_6_dw.conv", 512, 1, 7) | norm("conv_6_dw.bn", 512)
    return shapes | {"linear.weight": (dim, 512)} | norm("bn", dim)


def mbf(dim: int = 512, large: bool = False) -> Shapes:
    """MobileFaceNet of arcface_torch: mbf, or mbf_large with twice its units of twice the channels."""

    def block(name: str, outputs: int, inputs: int, kernel: int = 1) -> Shapes:
        return (
            conv(f"{name}.layers.0", outputs, inputs, kernel)
            | norm(f"{name}.layers.1", outputs)
            | prelu(f"{name}.layers.2", outputs)
        )

    scale, first, *counts = (4, 2, 8, 12, 4) if large else (2, 0, 4, 6, 2)
    units = [(f"layers.1.layers.{unit}", 64, 128, 64) for unit in range(first)]
    rows = ((64, 128, 64, 128), (64, 256, 128, 256), (128, 512, 128, 256))
    for run, ((inputs, hidden, outputs, inner), count) in enumerate(zip(rows, counts, strict=True)):
        units.append((f"layers.{2 * run + 2}", inputs, hidden, outputs))
        units += [(f"layers.{2 * run + 3}.layers.{unit}", outputs, inner, outputs) for unit in range(count)]
    shapes = block("layers.0", 64 * scale, 3, 3) | ({} if large else block("layers.1", 128, 2, 3))
    for name, inputs, hidden, outputs in units:
        shapes |= block(f"{name}.layers.0", hidden, scale * inputs) | block(f"{name}.layers.1", hidden, 1, 3)
        shapes |= conv(f"{name}.layers.2.layers.0", scale * outputs, hidden)
        shapes |= norm(f"{name}.layers.2.layers.1", scale * outputs)
    shapes |= block("conv_sep", 512, 128 * scale)
    shapes |= conv("features.layers.0.layers.0", 512, 1, 7) | norm("features.layers.0.layers.1", 512)
    return shapes | {"features.layers.2.weight": (dim, 512)} | norm("features.layers.3", dim)


def _units(depth: int) -> Iterator[tuple[int, int, int, int]]:
    """Stage, number in the stage, inputs and outputs of every residual unit."""
    inputs = 64
    for stage, (outputs, count) in enumerate(zip((64, 128, 256, 512), BLOCKS[depth], strict=True)):
        for unit in range(count):
            yield stage, unit, inputs, outputs
            inputs = outputs


def arcface_torch(depth: int, dim: int = 512) -> Shapes:
    """Residual networks of arcface_torch."""
    shapes = conv("conv1", 64, 3, 3) | norm("bn1", 64) | prelu("prelu", 64)
    for stage, unit, inputs, outputs in _units(depth):
        name = f"layer{stage + 1}.{unit}"
        shapes |= norm(f"{name}.bn1", inputs) | conv(f"{name}.conv1", outputs, inputs, 3)
        shapes |= norm(f"{name}.bn2", outputs) | prelu(f"{name}.prelu", outputs)
        shapes |= conv(f"{name}.conv2", outputs, outputs, 3) | norm(f"{name}.bn3", outputs)
        if unit == 0:
            shapes |= conv(f"{name}.downsample.0", outputs, inputs) | norm(f"{name}.downsample.1", outputs)
    return shapes | norm("bn2", 512) | linear("fc", dim, 512 * 49) | norm("features", dim)


def insightface_v3(units: tuple[int, ...] = (3, 4, 23, 3), squeeze: bool = True, dim: int = 512) -> Shapes:
    """Residual networks of InsightFace-v3, SE-LResNet101E-IR by default."""
    shapes = conv("conv1", 64, 3, 3) | norm("bn1", 64) | prelu("prelu", 1)
    inputs = 64
    for stage, (outputs, count) in enumerate(zip((64, 128, 256, 512), units, strict=True)):
        for unit in range(count):
            name = f"layer{stage + 1}.{unit}"
            shapes |= norm(f"{name}.bn0", inputs) | conv(f"{name}.conv1", inputs, inputs, 3)
            shapes |= norm(f"{name}.bn1", inputs) | prelu(f"{name}.prelu", 1)
            shapes |= conv(f"{name}.conv2", outputs, inputs, 3) | norm(f"{name}.bn2", outputs)
            if squeeze:
                shapes |= linear(f"{name}.se.fc.0", outputs // 16, outputs) | prelu(f"{name}.se.fc.1", 1)
                shapes |= linear(f"{name}.se.fc.2", outputs, outputs // 16)
            if unit == 0 and stage > 0:
                shapes |= conv(f"{name}.downsample.0", outputs, inputs)
                shapes |= norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return shapes | norm("bn2", 512) | linear("fc", dim, 512 * 49) | norm("bn3", dim)


def magface(depth: int, dim: int = 512) -> Shapes:
    """Residual networks of MagFace, saved with its head from parallel training."""
    inner = {f"features.module.{key}": shape for key, shape in arcface_torch(depth, dim).items()}
    return inner | {"fc.weight": (dim, 9)}


def adaface(depth: int, gate: str = "", dim: int = 512) -> Shapes:
    """Residual networks of AdaFace and CVLface, saved with the head by their trainers."""
    inner = counted(depth, gate, inner_norm=True, dim=dim)
    for part in ("weight", "bias"):
        del inner[f"output_layer.4.{part}"]
    renamed = {f"model.{key.replace('.res_layer.6.', '.res_layer.se_block.')}": value for key, value in inner.items()}
    return renamed | {"head.kernel": (dim, 9)}


def transformer(width: int = 256, depth: int = 12, dim: int = 512, patches: int = 144) -> Shapes:
    """Vision transformers of arcface_torch."""
    shapes = conv("patch_embed.proj", width, 3, 9) | {"patch_embed.proj.bias": (width,)}
    shapes |= {"pos_embed": (1, patches, width), "mask_token": (1, 1, width)}
    for unit in range(depth):
        name = f"blocks.{unit}"
        shapes |= _layer_norm(f"{name}.norm1", width) | {f"{name}.attn.qkv.weight": (3 * width, width)}
        shapes |= linear(f"{name}.attn.proj", width, width) | _layer_norm(f"{name}.norm2", width)
        shapes |= linear(f"{name}.mlp.fc1", 4 * width, width) | linear(f"{name}.mlp.fc2", width, 4 * width)
    shapes |= _layer_norm("norm", width) | {"feature.0.weight": (width, width * patches)} | norm("feature.1", width)
    return shapes | {"feature.2.weight": (dim, width)} | norm("feature.3", dim)


def _layer_norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def face_pytorch(depth: int, gate: str = "", dim: int = 512) -> Shapes:
    """Residual networks of Face_Pytorch."""
    shapes = _stem()
    for stage, unit, inputs, outputs in _units(depth):
        name = f"layer{stage + 1}.{unit}"
        shapes |= _branch(name, inputs, outputs, gate, inner_norm=True)
        if unit == 0:
            shapes |= _shortcut(name, inputs, outputs)
    return shapes | _output(dim)


def counted(depth: int, gate: str = "", inner_norm: bool = False, dim: int = 512) -> Shapes:
    """Residual networks of InsightFace_Pytorch; with `inner_norm`, the first of Face_Pytorch."""
    shapes = _stem()
    for number, (_, _, inputs, outputs) in enumerate(_units(depth)):
        name = f"body.{number}"
        shapes |= _branch(name, inputs, outputs, gate, inner_norm)
        if inputs != outputs:
            shapes |= _shortcut(name, inputs, outputs)
    return shapes | _output(dim)


def _stem() -> Shapes:
    return conv("input_layer.0", 64, 3, 3) | norm("input_layer.1", 64) | prelu("input_layer.2", 64)


def _branch(unit: str, inputs: int, outputs: int, gate: str, inner_norm: bool) -> Shapes:
    name = f"{unit}.res_layer"
    shapes = norm(f"{name}.0", inputs) | conv(f"{name}.1", outputs, inputs, 3)
    shapes |= norm(f"{name}.2", outputs) if inner_norm else {}
    last = 3 if inner_norm else 2
    shapes |= prelu(f"{name}.{last}", outputs)
    shapes |= conv(f"{name}.{last + 1}", outputs, outputs, 3) | norm(f"{name}.{last + 2}", outputs)
    place, inner = last + 3, outputs // 16
    if gate == "se":
        shapes |= conv(f"{name}.{place}.fc1", inner, outputs) | conv(f"{name}.{place}.fc2", outputs, inner)
    if gate in ("cam", "cbam"):
        shapes |= conv(f"{name}.{place}.shared_mlp.0", inner, outputs)
        shapes |= conv(f"{name}.{place}.shared_mlp.2", outputs, inner)
        place += 1
    if gate in ("sam", "cbam"):
        shapes |= conv(f"{name}.{place}.conv", 1, 2, 3)
    return shapes


def _shortcut(unit: str, inputs: int, outputs: int) -> Shapes:
    return conv(f"{unit}.shortcut_layer.0", outputs, inputs) | norm(f"{unit}.shortcut_layer.1", outputs)


def _output(dim: int, channels: int = 512) -> Shapes:
    return norm("output_layer.0", channels) | linear("output_layer.3", dim, channels * 49) | norm("output_layer.4", dim)


def attention(depth: int, dim: int = 512) -> Shapes:
    """Attention networks of Face_Pytorch."""
    channels = (256, 512, 512, 512) if depth == 56 else (256, 512, 1024, 2048)
    modules = (1, 1, 1) if depth == 56 else (1, 2, 3)
    shapes = conv("conv1.0", 64, 3, 3) | norm("conv1.1", 64)
    inputs = 64
    for stage, outputs in enumerate(channels):
        shapes |= _residual(f"residual_block{stage + 1}", inputs, outputs)
        for number in range(modules[stage] if stage < 3 else 0):
            name = f"attention_module{stage + 1}" + (f"_{number + 1}" if number else "")
            shapes |= _module(name, stage, outputs)
        inputs = outputs
    for number in (5, 6):
        shapes |= _residual(f"residual_block{number}", inputs, inputs)
    return shapes | _output(dim, inputs)


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    inner = outputs // 4
    branch = f"{name}.res_bottleneck"
    shapes = norm(f"{branch}.0", inputs) | conv(f"{branch}.2", inner, inputs)
    shapes |= norm(f"{branch}.3", inner) | conv(f"{branch}.5", inner, inner, 3)
    shapes |= norm(f"{branch}.6", inner) | conv(f"{branch}.8", outputs, inner)
    return shapes | conv(f"{name}.shortcut", outputs, inputs)


_ATTENTION_PARTS = (
    (
        "share_residual_block trunk_branches.0 trunk_branches.1 mask_block1 skip_connect1 mask_block2 skip_connect2 "
        "mask_block3.0 mask_block3.1 mask_block4 mask_block5 last_block",
        "mask_block6",
    ),
    (
        "first_residual_blocks trunk_branches.0 trunk_branches.1 softmax1_blocks skip1_connection_residual_block "
        "softmax2_blocks.0 softmax2_blocks.1 softmax3_blocks last_blocks",
        "softmax4_blocks",
    ),
    (
        "first_residual_blocks trunk_branches.0 trunk_branches.1 softmax1_blocks.0 softmax1_blocks.1 last_blocks",
        "softmax2_blocks",
    ),
)


def _module(name: str, stage: int, channels: int) -> Shapes:
    units, mask = _ATTENTION_PARTS[stage]
    shapes: Shapes = {}
    for unit in units.split():
        shapes |= _residual(f"{name}.{unit}", channels, channels)
    for first in (0, 3):
        shapes |= norm(f"{name}.{mask}.{first}", channels)
        shapes |= conv(f"{name}.{mask}.{first + 2}", channels, channels)
    return shapes
