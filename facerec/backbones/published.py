"""Weights published by others, loaded into this project's networks by renaming their entries.

A layout is recognised by an entry that only it has, and the network (depth, attention, length of the embedding) by the
other entries. Fitting names are no proof: a network with another activation takes the same weights and silently loses
accuracy, so the tests compare outputs with those of the publishers' own code. The main call:

    network, dim = load_published("backbone.pth", (112, 112))

How the publishers prepare faces, all of 112x112 pixels but xiaoccer's 112x96: arcface_torch RGB, Face_Pytorch and
InsightFace_Pytorch BGR, (x - 127.5) / 127.5; xiaoccer RGB, (x - 127.5) / 128; foamliu, and so InsightFace-v3, RGB, mean
and deviation of ImageNet. InsightFace_Pytorch was trained on packs unpacked with red and blue swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.backbones.layouts import LAYOUTS, Layout, Size, Weights
from facerec.core import FormatError, read_tensors, short_reason

_PUBLISHERS = (
    "those of foamliu, xiaoccer, arcface_torch, Face_Pytorch, InsightFace_Pytorch, MultiFace and InsightFace-v3"
)

_CONTAINERS = ("state_dict", "net_state_dict", "model_state_dict", "state_dict_backbone", "backbone", "model")
"""Keys under which training scripts save the weights beside epoch and optimiser."""


def load_published(path: str | Path, size: Size) -> tuple[nn.Module, int]:
    """The network for inputs of `size` (height, width) with the weights in `path`, and the length of its embedding.

    Raises FormatError if the file holds no weights, none of `LAYOUTS`, or weights for another input size. The file
    is read with weights_only, so it cannot run code.
    """
    return fit_published(_read_weights(Path(path)), size, str(path))


def fit_published(state: Weights, size: Size, origin: str) -> tuple[nn.Module, int]:
    """Like `load_published`, from entries by their published names; `origin` names them in errors."""
    layout = next((layout for layout in LAYOUTS if layout.mark in state), None)
    if layout is None:
        raise FormatError(
            f"{origin} holds weights of no known layout (known are {_PUBLISHERS}, and this project's backbone.pt); "
            "export them to ONNX and put a preprocessing.yaml beside."
        )
    try:
        return _fit_layout(layout, state, size)
    except Exception as error:  # entries of other types and shapes fail with all kinds of errors
        raise FormatError(f"{origin} looks like {layout.name}, but does not fit it ({short_reason(error)}).") from error


def _fit_layout(layout: Layout, state: Weights, size: Size) -> tuple[nn.Module, int]:
    renamed = {layout.rename(key): value for key, value in layout.adapt(state).items()}
    dim = renamed[layout.last].shape[0]
    with torch.device("meta"):  # its weights are replaced below
        network = layout.build(renamed, dim, size)
    network.load_state_dict(renamed, assign=True)
    network = network.float().eval()
    return Normalised(network) if layout.normalised else network, dim


class Normalised(nn.Module):
    """A network whose embeddings have length one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim) of length one, of images (b, 3, h, w)."""
        return functional.normalize(self.network(x))


def _read_weights(path: Path) -> Weights:
    """The tensors in a torch file by name, without the prefix "module." of parallel training."""
    content: Any = read_tensors(path)
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise FormatError(f"{path} is a torch file without weights by name.")
    return {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
