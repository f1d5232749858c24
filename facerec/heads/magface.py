"""MagFace: an angular margin that grows with the length of the embedding, which becomes a measure of quality.

Source: Meng, Zhao, Huang, Zhou, "MagFace: A Universal Representation for Face Recognition and Quality
Assessment", 2021, equations 3 to 5.
"""

from __future__ import annotations

from torch import Tensor

from facerec.heads.arcface import angular
from facerec.heads.base import CosineHead

_SHORT, _LONG = 10.0, 110.0  # lengths between which the margin grows
_LOW, _HIGH = 0.45, 0.8  # the margin there, radians


class MagFace(CosineHead):
    """ArcFace with a margin of .45 at length 10 to .8 at length 110, plus `regulariser` times g(length).

    g(a) = a / 110^2 + 1 / a is least at the greatest length, so that easy faces are drawn there.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, regulariser: float = 20.0) -> None:
        super().__init__(dim, classes, scale)
        self.regulariser = regulariser

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """cos(theta + m), m by each row's length."""
        margins = _LOW + (_HIGH - _LOW) * (_length(embeddings) - _SHORT) / (_LONG - _SHORT)
        return angular(cosine, margins)

    def penalty(self, embeddings: Tensor) -> Tensor:
        """The regulariser of the lengths."""
        length = _length(embeddings)
        return self.regulariser * (length / _LONG**2 + 1.0 / length).mean()


def _length(embeddings: Tensor) -> Tensor:
    """Lengths (b, 1) within the bounds."""
    lengths: Tensor = embeddings.norm(dim=1, keepdim=True)
    return lengths.clamp(_SHORT, _LONG)
