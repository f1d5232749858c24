"""CosFace: an additive margin on the cosine.

Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", 2018, equation 4.
"""

from __future__ import annotations

from torch import Tensor

from facerec.heads.base import CosineHead


class CosFace(CosineHead):
    """Logits s (cos(theta) - m) at the own class."""

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(dim, classes, scale)
        self.m = margin

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(theta) - m."""
        return cosine - self.m
