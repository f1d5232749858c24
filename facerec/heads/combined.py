"""The combined margin: multiplicative and additive on the angle, additive on the cosine.

Source: Deng et al., "ArcFace", 2019, equation 4. (1, m, 0) is ArcFace without its continuation beyond
pi, (1, 0, m) is CosFace. The gradient is that of the formula for every m1.
"""

from __future__ import annotations

from torch import Tensor

from facerec.heads.base import CosineHead, angle


class Combined(CosineHead):
    """Logits s (cos(m1 theta + m2) - m3) at the own class."""

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2
    ) -> None:
        super().__init__(dim, classes, scale)
        self.m1, self.m2, self.m3 = m1, m2, m3

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(m1 theta + m2) - m3."""
        return (self.m1 * angle(cosine) + self.m2).cos() - self.m3
