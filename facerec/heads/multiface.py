"""MultiFace: the embedding cut in slices, each of which learns the identities by itself.

Source: Xu et al., "MultiFace: A Generic Training Mechanism for Boosting Face Recognition Performance", 2021.
The whole embedding is normalised before it is cut; in the published form the slices are not normalised again.
Testing uses the whole embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.core import ParamsError
from facerec.heads.arcface import ArcFace
from facerec.heads.base import CENTRE_STD, CosineHead, Head, own, replaced
from facerec.heads.cosface import CosFace
from facerec.heads.softmax import NormFace

_SHORTEST = 1e-6  # length below which a slice has no direction

INNER: dict[str, type[CosineHead]] = {"arcface": ArcFace, "cosface": CosFace, "normface": NormFace}


class MultiFace(Head):
    """Sum of the cross entropies of `slices` parts, each with centres and the margin of the `inner` head (or its own).

    `weight` (slices, classes, dim / slices). `renormalise` gives every slice length one, so that its cosines
    reach to one.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        scale: float = 64.0,
        margin: float | None = None,
        slices: int = 2,
        inner: str = "arcface",
        renormalise: bool = False,
    ) -> None:
        super().__init__()
        if slices < 1 or dim % slices:
            raise ParamsError(
                f"multiface cuts an embedding of {dim} in equal slices, which {slices} are not."
            )
        if inner not in INNER:
            raise ParamsError(f"multiface knows the inner heads {', '.join(INNER)}, not {inner!r}.")
        options = {} if inner == "normface" or margin is None else {"margin": margin}
        rules = INNER[inner](1, classes, scale, **options)
        self.scale, self.margin, self.renormalise = rules.scale, rules.margin, renormalise
        self.weight = nn.Parameter(torch.empty(slices, classes, dim // slices))
        nn.init.normal_(self.weight, std=CENTRE_STD)

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (slices, b, classes), times the length of the slice unless renormalised."""
        whole = functional.normalize(embeddings.to(self.weight.dtype))
        parts = whole.view(len(whole), len(self.weight), -1).transpose(0, 1)
        if self.renormalise:
            parts = functional.normalize(parts, dim=2, eps=_SHORTEST)
        cosine: Tensor = parts @ functional.normalize(self.weight, dim=2).transpose(1, 2)
        return cosine.clamp(-1.0, 1.0)

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(slices, b, classes), with the margin at `labels` (b,)."""
        parts = [
            replaced(cosine, labels, self.margin(own(cosine, labels))) for cosine in self.cosine(embeddings)
        ]
        return self.scale * torch.stack(parts)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Sum over the slices of the mean cross entropy."""
        parts = self.logits(embeddings, labels)
        return torch.stack([functional.cross_entropy(part, labels) for part in parts]).sum()

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) nearest by the sum of the slices' cosines."""
        return self.cosine(embeddings).sum(0).argmax(1)
