"""Embedding networks, found by name. A new family is one new file and one line in `BACKBONES`.

Every backbone maps images (b, 3, h, w), normalised as its preprocessing says, to embeddings (b, dim).

>>> import torch
>>> network = build_backbone("mobilefacenet", dim=64, size=(64, 64), width=0.5).eval()
>>> network(torch.zeros(2, 3, 64, 64)).shape
torch.Size([2, 64])

`facerec.backbones.storage` saves and loads trained networks, `facerec.backbones.published` loads weights by others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from facerec.backbones import iresnet
from facerec.backbones.mobilefacenet import LargeMobileFaceNet, MobileFaceNet, Relu6MobileFaceNet, WideMobileFaceNet
from facerec.backbones.residual_attention import VARIANTS, ResidualAttention, SummedAttention
from facerec.backbones.resnet10 import ResNet10
from facerec.backbones.timm_models import PREFIX, TimmBackbone
from facerec.backbones.transformer import TRANSFORMERS, FaceTransformer
from facerec.core import create_registered, options_of

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "mobilefacenet": MobileFaceNet,
    "mobilefacenet-relu6": Relu6MobileFaceNet,
    "mbf": WideMobileFaceNet,
    "mbf-large": LargeMobileFaceNet,
    "resnet10": ResNet10,
    "resnet50": partial(TimmBackbone, "resnet50"),
    **iresnet.FAMILY,
    **{f"attention{depth}": partial(ResidualAttention, depth) for depth in VARIANTS},
    **{f"attention{depth}-summed": partial(SummedAttention, depth) for depth in VARIANTS},
    **{f"vit-{name}": partial(FaceTransformer, width, depth) for name, (width, depth) in TRANSFORMERS.items()},
}
"""Backbones by name; besides these, timm/NAME is any model of the package timm."""


def build_backbone(name: str, dim: int = 512, size: tuple[int, int] = (112, 112), **options: Any) -> nn.Module:
    """The backbone `name`, freshly initialised from torch's global random state.

    `dim` is the length of the embedding, `size` the (height, width) of its input in pixels; `options`
    are the family's own. Raises ParamsError for an unknown name or option.
    """
    return create_registered("backbone", _makers(name), name, {"dim": dim, "size": size}, options)


def backbone_options(name: str) -> list[str]:
    """Names of the options the backbone `name` takes, such as width; none for an unknown name."""
    maker = _makers(name).get(name)
    return options_of(maker, ("dim", "size")) if maker else []


def _makers(name: str) -> dict[str, Callable[..., nn.Module]]:
    """The registry, with timm's model added if `name` is one."""
    if name.startswith(PREFIX):
        return {**BACKBONES, name: partial(TimmBackbone, name.removeprefix(PREFIX))}
    return BACKBONES
