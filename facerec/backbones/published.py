"""Weights published by others, loaded into this project's networks by renaming their entries.

A layout says how to recognise a state dict, which network it is for, and where each entry goes. That all
entries find a place is no proof: a network with another activation takes the same weights and loses points
without a word, so the tests compare outputs with the publisher's ONNX file, or accuracy on LFW.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facerec.backbones.mobilefacenet import ConvNorm, MobileFaceNet
from facerec.errors import FormatError

State = dict[str, Tensor]
Size = tuple[int, int]

_CONTAINERS = ("state_dict", "net_state_dict", "model_state_dict", "backbone", "model")
"""Keys under which training scripts keep the weights beside epoch and optimiser."""


@dataclass(frozen=True)
class Layout:
    """A published form of weights.

    Attributes:
        name: who published it.
        mark: an entry that this layout has and the others lack.
        build: (dim, input size) -> the network.
        rules: (pattern, replacement) pairs, of which the first that matches a name renames it.
        last: the entry whose first dimension is the embedding's length.
        adapt: changes of values after renaming.
    """

    name: str
    mark: str
    build: Callable[[int, Size], nn.Module]
    rules: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
    last: str
    adapt: Callable[[State], State] = lambda state: state


class FoamliuMobileFaceNet(MobileFaceNet):
    """MobileFaceNet with ReLU6 for PReLU and a stem that is separable and has plain ReLU."""

    def __init__(self, dim: int = 128, size: Size = (112, 112)) -> None:
        super().__init__(dim, size)
        for block in [module for module in self.modules() if isinstance(module, ConvNorm)]:
            if len(block) == 3:
                block[2] = nn.ReLU6()
        depthwise = ConvNorm(64, 64, kernel=3, padding=1, groups=64)
        pointwise = ConvNorm(64, 64)
        depthwise[2], pointwise[2] = nn.ReLU(), nn.ReLU()
        self.stem = nn.Sequential(self.stem[0], depthwise, pointwise)


def _fold_bias(state: State) -> State:
    """Take the last convolution's bias out of the mean of the normalisation behind it."""
    bias = state.pop("project.0.bias")
    return {**state, "project.1.running_mean": state["project.1.running_mean"] - bias}


def _third(match: re.Match[str]) -> str:
    """Place of layer k of a flat block of convolution, normalisation, activation, three times over."""
    layer = int(match[2])
    return f"body.{match[1]}.layers.{layer // 3}.{layer % 3}."


LAYOUTS = (
    Layout(
        name="MobileFaceNet of foamliu",
        mark="gdconv.depthwise.weight",
        build=FoamliuMobileFaceNet,
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
        last="project.0.weight",
        adapt=_fold_bias,
    ),
    Layout(
        name="MobileFaceNet of xiaoccer",
        mark="linear7.conv.weight",
        build=MobileFaceNet,
        rules=(
            (r"^conv1\.", "stem.0."),
            (r"^dw_conv1\.", "stem.1."),
            (r"^blocks\.(\d+)\.conv\.(\d+)\.", _third),
            (r"^conv2\.", "expand."),
            (r"^linear7\.", "pool."),
            (r"^linear1\.", "project."),
        ),
        last="project.0.weight",
    ),
)


def load(path: str | Path, size: Size) -> tuple[nn.Module, int]:
    """The network for inputs of `size` (height, width) that the weights in `path` belong to, and its dim.

    Raises FormatError when the file is no weights, none of `LAYOUTS`, or fits another input size. Nothing in
    the file is run: it is read with weights_only.
    """
    state = _state(Path(path))
    layout = next((layout for layout in LAYOUTS if layout.mark in state), None)
    if layout is None:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise FormatError(
            f"{path} holds weights of no known layout (known: {known}, and this project's backbone.pt); "
            "export them to ONNX and put a preprocessing.yaml beside."
        )
    try:
        renamed = layout.adapt({_rename(key, layout): value for key, value in state.items()})
        dim = int(renamed[layout.last].shape[0])
        network = layout.build(dim, size)
        network.load_state_dict(renamed)
    except (KeyError, RuntimeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise FormatError(f"{path} looks like {layout.name}, but does not fit it ({problem}).") from error
    return network.eval(), dim


_PARTS = {".conv.": ".0.", ".bn.": ".1.", ".prelu.": ".2."}
"""Members of our ConvNorm by the names others give them."""


def _rename(key: str, layout: Layout) -> str:
    for pattern, replacement in layout.rules:
        key, hits = re.subn(pattern, replacement, key)
        if hits:
            break
    for name, place in _PARTS.items():
        key = key.replace(name, place)
    return key


def _state(path: Path) -> State:
    """The tensors in a torch file by name, without the "module." that parallel training puts before them."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"{path} cannot be read as weights ({reason[:200]}).") from error
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise FormatError(f"{path} is a torch file without weights by name.")
    return {
        str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)
    }
