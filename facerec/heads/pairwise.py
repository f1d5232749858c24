"""Losses that compare similarities with each other or with a threshold, instead of by softmax with a margin.

triplet, circle and uniface.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.core import ParamsError
from facerec.heads.base import CosineHead, Head, angle_of, own_cosine, replace_own


class Triplet(Head):
    """Mean over mined triplets of relu(d_ap - d_an + margin); 0 if there are none.

    `metric` is "euclidean" (squared distance of unit vectors, default margin .3) or "angular" (radians, default
    margin .35). There are no class centres; `dim` and `classes` are accepted so that all heads are called alike.
    Batches must hold several faces of each identity.

    Source: Schroff, Kalenichenko, Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering",
    2015, with the mining of InsightFace 2018 (see `mine_triplets`).
    """

    def __init__(self, dim: int, classes: int, margin: float | None = None, metric: str = "euclidean") -> None:
        super().__init__()
        if metric not in ("euclidean", "angular"):
            raise ParamsError(f"triplet measures by euclidean or angular, not {metric!r}.")
        self.metric = metric
        self.m = margin if margin is not None else {"euclidean": 0.3, "angular": 0.35}[metric]

    def distances(self, embeddings: Tensor) -> Tensor:
        """Distances (b, b) between all embeddings of the batch."""
        unit = functional.normalize(embeddings)
        cosine = (unit @ unit.T).clamp(-1.0, 1.0)
        return 2.0 - 2.0 * cosine if self.metric == "euclidean" else angle_of(cosine)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over mined triplets, a scalar."""
        distances = self.distances(embeddings)
        anchor, positive, negative = mine_triplets(distances.detach(), labels, self.m)
        if len(anchor) == 0:
            return distances.sum() * 0.0
        return functional.relu(distances[anchor, positive] - distances[anchor, negative] + self.m).mean()

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of faces whose nearest other face in the batch shows the same identity."""
        distances = self.distances(embeddings).fill_diagonal_(torch.inf)
        return (labels[distances.argmin(1)] == labels).double().mean()


def mine_triplets(distances: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (t,) of anchors, positives and negatives: each pair of one identity with a semi-hard negative.

    A negative is semi-hard if d_ap < d_an < d_ap + margin; one of them is drawn uniformly from torch's global
    random state. Pairs without such a negative are left out.
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


class Circle(CosineHead):
    """Logits s a_p (cos - 1 + m), a_p = [1 + m - cos]+, at the own class; s a_n (cos - m), a_n = [cos + m]+, elsewhere.

    Each cosine is pushed in proportion to its distance from its optimum. Source: Sun et al., "Circle Loss: A Unified
    Perspective of Pair Similarity Optimization", 2020, equations 4 to 8, in the form for class labels. a_p and a_n
    are constants for the gradient, as in equation 8.
    """

    def __init__(self, dim: int, classes: int, scale: float = 256.0, margin: float = 0.25) -> None:
        super().__init__(dim, classes, scale)
        self.m = margin

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes)."""
        cosine = self.cosine(embeddings)
        target = own_cosine(cosine, labels)
        others = (cosine.detach() + self.m).clamp_min(0.0) * (cosine - self.m)
        mine = (1.0 + self.m - target.detach()).clamp_min(0.0) * (target - 1.0 + self.m)
        return self.scale * replace_own(others, labels, mine)


class UniFace(CosineHead):
    """Mean of log(1 + e^(b - s (cos_y - m))) + balance * sum over others of log(1 + e^(s cos - b)).

    b, the parameter `bias`, is one learned threshold between all own and all other cosines. Source: Zhou et al.,
    "UniFace: Unified Cross-Entropy Loss for Deep Face Recognition", 2023, equations 7 and 11.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.4, balance: float = 1.0) -> None:
        super().__init__(dim, classes, scale)
        self.m, self.balance = margin, balance
        self.bias = nn.Parameter(torch.tensor(math.log(classes * 10.0)))

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(theta) - m."""
        return cosine - self.m

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch of both binary cross entropies, a scalar."""
        logits = self.logits(embeddings, labels) - self.bias
        others = functional.softplus(logits).scatter(1, labels[:, None], 0.0).sum(1)
        mine = functional.softplus(-own_cosine(logits, labels)[:, 0])
        return (mine + self.balance * others).mean()
