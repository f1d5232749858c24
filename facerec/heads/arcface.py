"""ArcFace: an additive margin on the angle.

Source: Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019,
equation 3; where theta + m would pass pi, its published code continues with cos(theta) - m sin(m).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facerec.heads.base import CosineHead, angle


class ArcFace(CosineHead):
    """Logits s cos(theta + m) at the own class; m in radians."""

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(dim, classes, scale)
        self.m = margin

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(theta + m), or cos(theta) - m sin(m) where theta + m > pi."""
        return angular(cosine, torch.as_tensor(self.m, dtype=cosine.dtype, device=cosine.device))


def angular(cosine: Tensor, margin: Tensor) -> Tensor:
    """cos(theta + m), or cos(theta) - m sin(m) where theta + m > pi, for a margin m that may vary by row."""
    theta = angle(cosine) + margin
    return torch.where(theta > math.pi, cosine - margin * margin.sin(), theta.cos())
