"""Any model of the package timm as a backbone: its feature map or tokens behind the "E" output.

DenseNet, DPN, Inception-ResNet-v2, MobileNet, ResNet, ViT and hundreds more, by timm's own names
(`timm/densenet121`). Weights start fresh; no download is made.
"""

from __future__ import annotations

import difflib
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from facerec.backbones.output import EmbeddingOutput
from facerec.errors import ParamsError

PREFIX = "timm/"


class Foreign(nn.Module):
    """(b, 3, h, w) -> (b, dim) by timm's model `name`, without its classifier and pooling."""

    def __init__(
        self, name: str, dim: int = 512, size: tuple[int, int] = (112, 112), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.trunk = _trunk(name, size)
        with torch.device("meta"):  # costs neither time nor memory
            features = _trunk(name, size).eval().forward_features(torch.empty(1, 3, *size))
        channels, area = _grid(features, name, size).shape[1:3]
        self.output = EmbeddingOutput(channels, area, dim, dropout)
        self._asked = name, size

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        embeddings: Tensor = self.output(_grid(self.trunk.forward_features(x), *self._asked))
        return embeddings


def _trunk(name: str, size: tuple[int, int]) -> Any:
    """A fresh model for images of `size`; ParamsError with the closest names where timm has no such model."""
    import timm  # slow to import, and only these backbones need it

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ParamsError(
            f"timm has no model {name!r}; {'did you mean ' + ', '.join(close) if close else 'see its list'}."
        )
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    fixed: dict[str, Any] = {"img_size": size} if config is not None and config.fixed_input_size else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on names that timm has renamed
        return timm.create_model(name, pretrained=False, num_classes=0, **fixed)


def _grid(features: Tensor, name: str, size: tuple[int, int]) -> Tensor:
    """Feature maps (b, c, h, w) or tokens (b, n, c) as (b, c, places, 1)."""
    if features.ndim == 4:
        return features.flatten(2).unsqueeze(3)
    if features.ndim == 3:
        return features.transpose(1, 2).unsqueeze(3)
    raise ParamsError(
        f"timm's {name} gives {tuple(features.shape)} for {size}, neither a map nor tokens; take another."
    )
