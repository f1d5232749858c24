"""Weights published by others, loaded into this project's networks by renaming their entries.

A layout is recognised by an entry that only it has, and the network (depth, attention, length of the embedding) by the
other entries. Fitting names are no proof: a network with another activation takes the same weights and silently loses
accuracy, so the tests compare outputs with those of the publishers' own code. The main call:

    stored = load_published("backbone.pth", Preprocessing())

The network is without the L2 normalisation in which some end; `Preprocessing.normalised` adds it, and has to be said
where the same entries were published for networks that end in it and for others.

How the publishers prepare faces, all of 112x112 pixels but xiaoccer's 112x96: arcface_torch RGB, Face_Pytorch and
InsightFace_Pytorch BGR, (x - 127.5) / 127.5; xiaoccer RGB, (x - 127.5) / 128; foamliu, and so InsightFace-v3, RGB, mean
and deviation of ImageNet. InsightFace_Pytorch was trained on packs unpacked with red and blue swapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from facerec.backbones.layouts import LAYOUTS, Layout, Weights, below
from facerec.backbones.storage import StoredBackbone, empty_backbone
from facerec.core import FormatError, read_tensors, short_reason
from facerec.store.model_metadata import Preprocessing

_PUBLISHERS = (
    "those of foamliu, xiaoccer, arcface_torch, AdaFace, CVLface, MagFace, Face_Pytorch, face.evoLVe, "
    "InsightFace_Pytorch, MultiFace and InsightFace-v3"
)

_CONTAINERS = ("state_dict", "net_state_dict", "model_state_dict", "state_dict_backbone", "backbone", "model")
"""Keys under which training scripts save the weights beside epoch and optimiser."""

_PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.", "net.")
"""What parallel training, torch.compile and the modules around a network put before the names of its entries."""


def load_published(path: str | Path, preprocessing: Preprocessing) -> StoredBackbone:
    """The network with the weights in `path`, for faces prepared by `preprocessing`, on the CPU, in eval mode.

    The file is read with weights_only, so it cannot run code. Raises FormatError if it holds no weights, none of
    `LAYOUTS`, weights for another input size, or weights of which `preprocessing.normalised` has to say more.
    """
    return fit_published(_read_weights(Path(path)), preprocessing, str(path))


def fit_published(state: Weights, preprocessing: Preprocessing, origin: str) -> StoredBackbone:
    """Like `load_published`, from entries by their published names; `origin` names them in errors."""
    found = next(((layout, view) for view in _views(state) for layout in LAYOUTS if layout.fits(view)), None)
    if found is None:
        raise FormatError(
            f"{origin} holds weights of no known layout (known are {_PUBLISHERS}, and this project's backbone.pt); "
            "export them to ONNX and put a preprocessing.yaml beside."
        )
    layout, entries = found
    if layout.ambiguous and preprocessing.normalised is None:
        raise FormatError(
            f"{origin} looks like {layout.name}, and its weights do not tell whether its embeddings are divided by "
            "their norms; put `normalised: true` or `normalised: false` into its preprocessing.yaml."
        )
    try:
        return _fit_layout(layout, entries, preprocessing)
    except Exception as error:  # entries of other types and shapes fail with all kinds of errors
        raise FormatError(f"{origin} looks like {layout.name}, but does not fit it ({short_reason(error)}).") from error


def _views(state: Weights, nested: int = 4) -> Iterator[Weights]:
    """The entries, and those below up to `nested` prefixes, without them."""
    yield state
    for prefix in _PREFIXES if nested else ():
        if inner := below(prefix, state):
            yield from _views(inner, nested - 1)


def _fit_layout(layout: Layout, state: Weights, preprocessing: Preprocessing) -> StoredBackbone:
    renamed = {layout.rename(key): value for key, value in layout.adapt(state).items()}
    dim = renamed[layout.last].shape[0]
    name = layout.network if isinstance(layout.network, str) else layout.network(renamed)
    stored = empty_backbone(name, dim, {}, preprocessing)
    stored.network.load_state_dict(renamed, assign=True)
    stored.network.float().eval()
    return replace(stored, trained_on=None)


def _read_weights(path: Path) -> Weights:
    """The tensors in a torch file or a .safetensors by name."""
    content: Any = read_tensors(path)
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise FormatError(f"{path} is a torch file without weights by name.")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
