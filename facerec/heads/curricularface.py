"""CurricularFace: ArcFace that learns to look at hard negatives as training goes on.

Source: Huang et al., "CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition", 2020,
equations 8 and 10. A negative is hard where its cosine passes cos(theta + m) of the own class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facerec.heads.arcface import ArcFace
from facerec.heads.base import own, replaced


class CurricularFace(ArcFace):
    """ArcFace with cos (t + cos) for hard negatives; t follows the batch mean of the own cosines."""

    stage: Tensor

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5, momentum: float = 0.01
    ) -> None:
        super().__init__(dim, classes, scale, margin)
        self.momentum = momentum
        self.register_buffer("stage", torch.zeros(()))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes), hard negatives reweighted."""
        cosine = self.cosine(embeddings)
        target = own(cosine, labels)
        if self.training and torch.is_grad_enabled():
            self.stage.lerp_(target.detach().mean().to(self.stage.dtype), self.momentum)
        penalised = self.margin(target)
        eased = torch.where(cosine > penalised, cosine * (self.stage + cosine), cosine)
        return self.scale * replaced(eased, labels, penalised)
