"""Plain softmax: cross entropy of a linear layer, neither embeddings nor centres normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.heads.base import CosineHead


class Softmax(CosineHead):
    """Logits W x + b."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.bias = nn.Parameter(torch.zeros(classes))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """W x + b, (b, classes); `labels` change nothing."""
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, self.weight.dtype))
        return functional.linear(embeddings, self.weight, self.bias)

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) with the largest logit."""
        return self.logits(embeddings, embeddings).argmax(1)


class NormFace(CosineHead):
    """Logits s cos(theta)."""
