"""AdaFace: a margin by image quality, of which the length of the embedding is the sign.

Source: Kim, Jain, Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", 2022, equations 13 to 15.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facerec.heads.base import CosineHead, angle

_SHORTEST, _LONGEST, _EPSILON = 0.001, 100.0, 1e-3


class AdaFace(CosineHead):
    """Logits s (cos(theta - m z) - m (1 + z)) at the own class; z is the norm's place among norms, in [-1, 1].

    `concentration` is the paper's h. Mean and deviation of the norms follow the batches with `momentum`; no
    gradient passes through z.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.4,
        concentration: float = 0.333,
        momentum: float = 0.01,
    ) -> None:
        super().__init__(dim, classes, scale)
        self.m, self.concentration, self.momentum = margin, concentration, momentum
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """cos(theta - m z) - m (1 + z), with the quality z of each row."""
        z = self._quality(embeddings.detach())
        bounded = (angle(cosine) - self.m * z).clamp(_EPSILON, torch.pi - _EPSILON)
        return bounded.cos() - self.m * (1.0 + z)

    def _quality(self, embeddings: Tensor) -> Tensor:
        """z (b, 1): how far each norm lies from the mean, in units of deviation / h, within [-1, 1]."""
        norms = embeddings.norm(dim=1, keepdim=True).clamp(_SHORTEST, _LONGEST)
        if self.training and torch.is_grad_enabled() and len(norms) > 1:
            self.mean.lerp_(norms.mean().to(self.mean.dtype), self.momentum)
            self.deviation.lerp_(norms.std().to(self.deviation.dtype), self.momentum)
        z: Tensor = (norms - self.mean) / (self.deviation + _EPSILON) * self.concentration
        return z.clamp(-1.0, 1.0)
