"""Embedding networks, found by name. A new family is one new file and one line in `BACKBONES`.

Every backbone maps images (b, 3, h, w), normalised as its preprocessing says, to embeddings (b, dim).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from facerec.backbones.mobilefacenet import MobileFaceNet
from facerec.registry import create

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "mobilefacenet": MobileFaceNet,
}


def build(name: str, dim: int = 512, size: tuple[int, int] = (112, 112), **options: Any) -> nn.Module:
    """The backbone `name`, freshly initialised from torch's global random state.

    `dim` is the length of the embedding, `size` the (height, width) of its input in pixels; `options`
    are the family's own. Raises ParamsError for an unknown name or option.
    """
    return create("backbone", BACKBONES, name, {"dim": dim, "size": size}, options)
