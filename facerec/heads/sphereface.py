"""SphereFace: a multiplicative margin on the angle, eased in over the first steps.

Source: Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", 2017, equation 7, with the
annealing of its published code: lambda falls from 1000 to 5 as 1000 / (1 + .12 t).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facerec.heads.base import CosineHead, angle, own, replaced

_START, _FALL, _LEAST = 1000.0, 0.12, 5.0


class SphereFace(CosineHead):
    """Logits |x| cos(theta), and |x| (lambda cos(theta) + (-1)^k cos(m theta) - 2k) / (1 + lambda) at the own class.

    m is the `multiplier`, k counts the pi/m that theta has passed, which makes the margin fall all the way from 0 to pi. There is no
    scale: the length of the embedding takes its place. `steps` counts training steps, in which lambda falls.
    """

    steps: Tensor

    def __init__(self, dim: int, classes: int, multiplier: int = 4) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.m = multiplier
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @property
    def easing(self) -> Tensor:
        """lambda, the weight of the plain cosine."""
        easing: Tensor = _START / (1.0 + _FALL * self.steps)
        return easing.clamp_min(_LEAST)

    def margin(self, cosine: Tensor) -> Tensor:
        """(lambda cos(theta) + (-1)^k cos(m theta) - 2k) / (1 + lambda)."""
        theta = angle(cosine)
        k = (self.m * theta / math.pi).floor()
        psi = (1.0 - 2.0 * (k % 2)) * (self.m * theta).cos() - 2.0 * k
        eased: Tensor = (self.easing * cosine + psi) / (1.0 + self.easing)
        return eased

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes), scaled by the length of each embedding."""
        cosine = self.cosine(embeddings)
        lengths: Tensor = embeddings.norm(dim=1, keepdim=True)
        return lengths * replaced(cosine, labels, self.margin(own(cosine, labels)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy; a step of training lowers lambda for the next one."""
        result = super().loss(embeddings, labels)
        if self.training and torch.is_grad_enabled():
            self.steps += 1
        return result
