"""Sub-center ArcFace: several centres a class, of which the nearest counts, so that label noise finds its own.

Source: Deng, Guo, Liu, Gong, Zafeiriou, "Sub-center ArcFace: Boosting Face Recognition by Large-Scale Noisy
Web Faces", 2020, equation 2.
"""

from __future__ import annotations

from torch import Tensor

from facerec.heads.arcface import ArcFace
from facerec.heads.base import cosines


class SubCenterArcFace(ArcFace):
    """ArcFace on the greatest cosine to any of a class's `centres`; `weight` (classes * centres, dim)."""

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5, centres: int = 3
    ) -> None:
        super().__init__(dim, classes * centres, scale, margin)
        self.centres = centres

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (b, classes) to the nearest centre of each class."""
        each = cosines(embeddings.to(self.weight.dtype), self.weight)
        return each.view(len(embeddings), -1, self.centres).amax(2)
