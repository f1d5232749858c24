"""Triplet loss: a face must be nearer to its own identity than to another, by a margin.

Source: Schroff, Kalenichenko, Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering",
2015, with the mining of InsightFace 2018: for every pair of one identity in the batch, one negative drawn from
the semi-hard ones, d_ap < d_an < d_ap + margin. Batches must hold several faces an identity.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facerec.core import ParamsError
from facerec.heads.base import Head, angle


class Triplet(Head):
    """relu(d_ap - d_an + margin), its mean over the triplets mined; 0 where there is none.

    `metric` is "euclidean" (squared distance of unit vectors, margin .3) or "angular" (radians, margin .35).
    It has no class centres; `dim` and `classes` are taken for the sake of the other heads.
    """

    def __init__(
        self, dim: int, classes: int, margin: float | None = None, metric: str = "euclidean"
    ) -> None:
        super().__init__()
        if metric not in ("euclidean", "angular"):
            raise ParamsError(f"triplet measures by euclidean or angular, not {metric!r}.")
        self.metric = metric
        self.m = margin if margin is not None else {"euclidean": 0.3, "angular": 0.35}[metric]

    def distances(self, embeddings: Tensor) -> Tensor:
        """Distances (b, b) between all embeddings of the batch."""
        unit = functional.normalize(embeddings)
        cosine = (unit @ unit.T).clamp(-1.0, 1.0)
        return 2.0 - 2.0 * cosine if self.metric == "euclidean" else angle(cosine)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over mined triplets, a scalar."""
        distances = self.distances(embeddings)
        anchor, positive, negative = mine(distances.detach(), labels, self.m)
        if len(anchor) == 0:
            return distances.sum() * 0.0
        return functional.relu(distances[anchor, positive] - distances[anchor, negative] + self.m).mean()

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of faces whose nearest other face in the batch shows the same identity."""
        distances = self.distances(embeddings).fill_diagonal_(torch.inf)
        return (labels[distances.argmin(1)] == labels).double().mean()


def mine(distances: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (t,) of anchors, positives and negatives: every pair of one identity with a semi-hard negative.

    The negative is drawn from torch's global random state, evenly among those that qualify.
    """
    same = labels[:, None] == labels[None, :]
    anchor, positive = torch.nonzero(same.triu(1), as_tuple=True)
    to_positive = distances[anchor, positive][:, None]
    to_all = distances[anchor]
    hard = ~same[anchor] & (to_all > to_positive) & (to_all < to_positive + margin)
    found = hard.any(1)
    if not found.any():
        return anchor[:0], positive[:0], positive[:0]
    negative = torch.multinomial(hard[found].float(), 1)[:, 0]
    return anchor[found], positive[found], negative
