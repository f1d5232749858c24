"""Any model of the package timm as a backbone: its feature map or tokens, followed by the "E" output.

DenseNet, DPN, Inception-ResNet-v2, MobileNet, ResNet, ViT and hundreds more, by timm's own names
(`timm/densenet121`). Weights start fresh; no download is made.
"""

from __future__ import annotations

import difflib
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from facerec.backbones.layers import EmbeddingOutput
from facerec.core import ParamsError

PREFIX = "timm/"


class TimmBackbone(nn.Module):
    """(b, 3, h, w) -> (b, dim) by timm's model `name`, without its classifier and pooling."""

    def __init__(self, name: str, dim: int = 512, size: tuple[int, int] = (112, 112), dropout: float = 0.0) -> None:
        super().__init__()
        arguments, channels, area = _fitted(name, size)
        self.trunk = _trunk(name, arguments)
        self.output = EmbeddingOutput(channels, area, dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        embeddings: Tensor = self.output(_map(self.trunk, x))
        return embeddings


def _fitted(name: str, size: tuple[int, int]) -> tuple[dict[str, Any], int, int]:
    """Arguments with which timm makes `name` for images of `size`, and the channels and area of its features.

    Raises ParamsError for a name that timm does not know, with the closest names, or a model that refuses this size.
    """
    import timm  # slow to import

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ParamsError(
            f"timm has no model {name!r}; {'did you mean ' + ', '.join(close) if close else 'see its list'}."
        )
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:  # for what follows the point in a name
        raise ParamsError(f"timm has no model {name!r} ({error}).") from error
    attempts: list[dict[str, Any]] = [{}, {"img_size": size}]
    if config is not None and config.fixed_input_size:
        attempts.reverse()
    problems = []
    for arguments in attempts:
        try:
            with torch.device("meta"):  # takes no time and memory
                features = _map(_trunk(name, arguments).eval(), torch.empty(1, 3, *size))
            return arguments, features.shape[1], features.shape[2:].numel()
        except Exception as error:  # models fail with all kinds of errors
            problems.append(" ".join(str(error).split()) or type(error).__name__)
    raise ParamsError(
        f"timm's {name} makes no features of images {size[0]}x{size[1]} ({problems[0][:200]}); take another model or size."
    )


def _trunk(name: str, arguments: dict[str, Any]) -> Any:
    """A model with random weights."""
    import timm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about renamed models
        return timm.create_model(name, pretrained=False, num_classes=0, **arguments)


def _map(trunk: Any, images: Tensor) -> Tensor:
    """Features (b, c, h, w) of the images; tokens (b, n, c) become (b, c, n, 1)."""
    features = trunk.forward_features(images)
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        raise ValueError("it gives neither a map nor tokens")
    if features.ndim == 3:
        return features.transpose(1, 2).unsqueeze(3)
    last = getattr(trunk, "output_fmt", "NCHW") == "NHWC"
    return features.permute(0, 3, 1, 2) if last else features
