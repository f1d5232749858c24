"""The vision transformers of arcface_torch, `vit-t`, `vit-s`, `vit-b` and `vit-l`.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, and arcface_torch's variant of it: patches of 9x9
pixels, no class token, ReLU6 in the perceptrons, no bias for queries, keys and values, and an output of linear and
batch normalisation layers over all patches. Its masking of patches while training is not done here.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

TRANSFORMERS = {"t": (256, 12), "s": (512, 12), "b": (512, 24), "l": (768, 24)}
"""Width and number of units, by the letter in a network's name."""

PATCH = 9  # pixels
HEADS = 8
_EPSILON = 2e-5  # of the normalisations of the output


class SelfAttention(nn.Module):
    """Every patch of (b, patches, width) takes from the others, by `HEADS` similarities of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, patches, width) -> the same shape."""
        query, key, value = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        y: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return y


class TransformerUnit(nn.Module):
    """Attention and a perceptron with four times the width inside, each normalised before and added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), SelfAttention(width))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.ReLU6(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, patches, width) -> the same shape."""
        x = x + self.attention(x)
        y: Tensor = x + self.perceptron(x)
        return y


class FaceTransformer(nn.Module):
    """(b, 3, h, w) -> (b, dim), through `depth` units over patches of `width` numbers each.

    Rows and columns of the image that fill no patch are left out: 4 of 112.
    """

    def __init__(self, width: int, depth: int, dim: int = 512, size: tuple[int, int] = (112, 112)) -> None:
        super().__init__()
        count = (size[0] // PATCH) * (size[1] // PATCH)
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.positions = nn.Parameter(torch.zeros(1, count, width))
        self.body = nn.Sequential(*(TransformerUnit(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Sequential(
            nn.Flatten(),
            nn.Linear(count * width, width, bias=False),
            nn.BatchNorm1d(width, _EPSILON),
            nn.Linear(width, dim, bias=False),
            nn.BatchNorm1d(dim, _EPSILON),
        )
        self.apply(_initialise)
        _normal(self.positions)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim), not normalised, of images (b, 3, h, w)."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        embeddings: Tensor = self.output(self.norm(self.body(patches + self.positions)))
        return embeddings


_normal = partial(nn.init.trunc_normal_, std=0.02)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        _normal(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
