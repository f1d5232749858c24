"""Circle loss in its form for class labels: every cosine is pushed as hard as it is far from its optimum.

Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", 2020, equations 4 to
8. The weights of the pace are constants to the gradient, as equation 8 has it.
"""

from __future__ import annotations

from torch import Tensor

from facerec.heads.base import CosineHead, own, replaced


class Circle(CosineHead):
    """Logits s a_p (cos - 1 + m), a_p = [1 + m - cos]+, at the own class; s a_n (cos - m), a_n = [cos + m]+, elsewhere."""

    def __init__(self, dim: int, classes: int, scale: float = 256.0, margin: float = 0.25) -> None:
        super().__init__(dim, classes, scale)
        self.m = margin

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes)."""
        cosine = self.cosine(embeddings)
        target = own(cosine, labels)
        others = (cosine.detach() + self.m).clamp_min(0.0) * (cosine - self.m)
        mine = (1.0 + self.m - target.detach()).clamp_min(0.0) * (target - 1.0 + self.m)
        return self.scale * replaced(others, labels, mine)
