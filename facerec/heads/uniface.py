"""UniFace: one learned threshold that every own cosine must pass and every other must not.

Source: Zhou et al., "UniFace: Unified Cross-Entropy Loss for Deep Face Recognition", 2023, equations 7 and 11.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.heads.base import CosineHead, own


class UniFace(CosineHead):
    """Mean of log(1 + e^(b - s (cos_y - m))) + balance * sum over others of log(1 + e^(s cos - b))."""

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.4, balance: float = 1.0
    ) -> None:
        super().__init__(dim, classes, scale)
        self.m, self.balance = margin, balance
        self.bias = nn.Parameter(torch.tensor(math.log(classes * 10.0)))

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(theta) - m."""
        return cosine - self.m

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch of both kinds of binary cross entropy, a scalar."""
        logits = self.logits(embeddings, labels) - self.bias
        others = functional.softplus(logits).scatter(1, labels[:, None], 0.0).sum(1)
        mine = functional.softplus(-own(logits, labels)[:, 0])
        return (mine + self.balance * others).mean()
