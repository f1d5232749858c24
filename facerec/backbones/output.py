"""The "E" output of the ArcFace paper, from the last feature map to the embedding: BN, dropout, linear, BN."""

from __future__ import annotations

from torch import nn


class EmbeddingOutput(nn.Sequential):
    """(b, channels, h, w) -> (b, dim). Source: Deng et al., "ArcFace", 2019, section 3.1.

    `frozen_scale` keeps the last normalisation's weight at one, as arcface_torch does.
    """

    def __init__(
        self,
        channels: int,
        area: int,
        dim: int,
        dropout: float = 0.0,
        frozen_scale: bool = False,
    ) -> None:
        last = nn.BatchNorm1d(dim)
        if frozen_scale:
            last.weight.requires_grad_(False)
        super().__init__(
            nn.BatchNorm2d(channels),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(channels * area, dim),
            last,
        )
