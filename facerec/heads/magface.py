"""MagFace: an angular margin that grows with the length of the embedding, which becomes a measure of quality.

Source: Meng, Zhao, Huang, Zhou, "MagFace: A Universal Representation for Face Recognition and Quality
Assessment", 2021, equations 3 to 5.
"""

from __future__ import annotations

from torch import Tensor

from facerec.heads.arcface import angular
from facerec.heads.base import CosineHead, own, replaced

_SHORT, _LONG = 10.0, 110.0  # lengths between which the margin grows
_LOW, _HIGH = 0.45, 0.8  # the margin there, radians


class MagFace(CosineHead):
    """ArcFace with a margin of .45 at length 10 to .8 at length 110, plus `regulariser` times g(length).

    g(a) = a / 110^2 + 1 / a is least at the greatest length, so that easy faces are drawn there.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, regulariser: float = 20.0) -> None:
        super().__init__(dim, classes, scale)
        self.regulariser = regulariser

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled cosines (b, classes), with the margin of each row's length at its own class."""
        cosine = self.cosine(embeddings)
        margins = _LOW + (_HIGH - _LOW) * (_length(embeddings) - _SHORT) / (_LONG - _SHORT)
        return self.scale * replaced(cosine, labels, angular(own(cosine, labels), margins))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy plus the regulariser of the lengths."""
        length = _length(embeddings)
        drawn = (length / _LONG**2 + 1.0 / length).mean()
        return super().loss(embeddings, labels) + self.regulariser * drawn


def _length(embeddings: Tensor) -> Tensor:
    """Lengths (b, 1) within the bounds."""
    lengths: Tensor = embeddings.norm(dim=1, keepdim=True)
    return lengths.clamp(_SHORT, _LONG)
