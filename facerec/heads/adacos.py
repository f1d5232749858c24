"""AdaCos: scaled cosines without a margin, whose scale follows the training.

Source: Zhang, Zhao, Qiao, Wang, Li, "AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep
Face Representations", 2019, equations 12 (fixed scale, where it begins) and 15 (adaptive).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facerec.heads.base import CosineHead, angle, own

_WIDEST = math.pi / 4


class AdaCos(CosineHead):
    """Logits s cos(theta), where every training step sets s anew from its own batch."""

    current: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.register_buffer("current", torch.tensor(math.sqrt(2.0) * math.log(max(classes - 1, 2))))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled cosines (b, classes)."""
        cosine = self.cosine(embeddings)
        if self.training and torch.is_grad_enabled():
            self._adapt(cosine.detach(), labels)
        return self.current * cosine

    def _adapt(self, cosine: Tensor, labels: Tensor) -> None:
        """s = log(B) / cos(median angle), B the batch mean of the other classes' sum of exp(s cos)."""
        target = own(cosine, labels)
        others = (self.current * cosine).scatter(1, labels[:, None], -torch.inf)
        log_b = others.logsumexp(1).logsumexp(0) - math.log(len(labels))
        middle = angle(target).median().clamp(max=_WIDEST)
        self.current.copy_((log_b / middle.cos()).clamp_min(1.0))
