"""What all losses on class centres share: cosines to the centres, a scale, cross entropy.

A head with a margin overrides one method, `margin`, which maps the cosine between an embedding and
the centre of its own class to the value that takes its place. Gradients are the true ones, by autograd.
Cosines and the loss are float32 or better even where the embeddings are fp16 or bf16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.errors import ParamsError

CENTRE_STD = 0.01  # of the initial class centres, as in the published code of Partial FC


class CosineHead(nn.Module):
    """Cross entropy of `scale` times the cosines between embeddings (b, dim) and class centres.

    `weight` (classes, dim) holds the centres, a row a class; only their directions matter.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0) -> None:
        super().__init__()
        if classes < 2:
            raise ParamsError(f"A head needs at least 2 classes, not {classes}; train on more identities.")
        if not scale > 0:
            raise ParamsError(f"The scale of a head must be positive, not {scale}.")
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.normal_(self.weight, std=CENTRE_STD)

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (b, classes) in [-1, 1]."""
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, self.weight.dtype))
        return functional.linear(functional.normalize(embeddings), functional.normalize(self.weight)).clamp(
            -1.0, 1.0
        )

    def margin(self, cosine: Tensor) -> Tensor:
        """What takes the place of the cosine (b, 1) to the own class; here the cosine itself."""
        return cosine

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled cosines (b, classes), with the margin at `labels` (b,)."""
        cosine = self.cosine(embeddings)
        own = labels[:, None]
        return self.scale * cosine.scatter(1, own, self.margin(cosine.gather(1, own)))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy, a scalar, of embeddings (b, dim) with int64 labels (b,)."""
        return functional.cross_entropy(self.logits(embeddings, labels), labels)

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) whose centre is nearest, without margin."""
        return self.cosine(embeddings).argmax(1)


def angle(cosine: Tensor) -> Tensor:
    """arccos, kept so far from +-1 that its gradient, -1/sin, stays finite."""
    limit = 1.0 - torch.finfo(cosine.dtype).eps
    return cosine.clamp(-limit, limit).acos()
