"""What all losses share: `Head`, and `CosineHead` for those on the cosines between embeddings and class centres.

A head with a margin overrides one method, `margin`, which maps the cosine between an embedding and
the centre of its own class to the value that takes its place (`target`, where the embedding matters too).
Such a head also runs without ever holding its logits (`facerec.heads.chunked`) and with its classes split over
processes (`facerec.heads.sharded`). Gradients are the true ones, by autograd.
Cosines and the loss are float32 or better even where the embeddings are fp16 or bf16, or inside autocast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from facerec.core import ParamsError

CENTRE_STD = 0.01  # of the initial class centres, as in the published code of Partial FC


class Head(nn.Module):
    """A loss: (embeddings (b, dim), int64 labels (b,)) -> scalar, and how well it tells the labels apart."""

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss, a scalar."""
        raise NotImplementedError

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """`loss` in full precision, whatever the network ran in."""
        with full_precision(embeddings) as precise:
            return self.loss(precise, labels)

    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss as `forward` gives it, and the share of the batch told right without margin; scalars."""
        return self(embeddings, labels), self.accuracy(embeddings.detach(), labels)

    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) of each embedding, without margin."""
        raise NotImplementedError

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of the batch told right, without margin; a scalar."""
        return (self.predict(embeddings) == labels).double().mean()

    def partial(self) -> list[nn.Parameter]:
        """Parameters of which this process holds a part and others the rest; the others are everywhere the same."""
        return []

    def whole_state(self) -> dict[str, Tensor]:
        """The state of all classes, under the plain head's names; a head split over processes gathers it."""
        return dict(self.state_dict())

    def load_whole_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what this process holds of a `whole_state`."""
        self.load_state_dict(dict(state))

    def whole_optimiser_state(self, optimiser: Optimizer) -> dict[str, Any]:
        """`optimiser.state_dict()`, with all classes where the head is split; complete on rank 0."""
        return optimiser.state_dict()

    def load_whole_optimiser_state(self, optimiser: Optimizer, state: Mapping[str, Any]) -> None:
        """Give `optimiser` what this process needs of a `whole_optimiser_state`."""
        optimiser.load_state_dict(dict(state))


class CosineHead(Head):
    """Cross entropy of `scale` times the cosines between embeddings (b, dim) and class centres.

    `weight` (classes, dim) holds the centres, a row a class; only their directions matter.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0) -> None:
        super().__init__()
        if classes < 2:
            raise ParamsError(f"A head needs at least 2 classes, not {classes}; train on more identities.")
        if not scale > 0:
            raise ParamsError(f"The scale of a head must be positive, not {scale}.")
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.normal_(self.weight, std=CENTRE_STD)

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (b, classes) in [-1, 1]."""
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, self.weight.dtype))
        return cosines(embeddings, self.weight)

    def margin(self, cosine: Tensor) -> Tensor:
        """What takes the place of the cosine (b, 1) to the own class; here the cosine itself."""
        return cosine

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """`margin` of the cosine (b, 1) to the own class, for heads whose margin depends on the embeddings."""
        return self.margin(cosine)

    def penalty(self, embeddings: Tensor) -> Tensor:
        """What is added to the cross entropy, a scalar; here 0."""
        return embeddings.new_zeros(())

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled cosines (b, classes), with the margin at `labels` (b,)."""
        cosine = self.cosine(embeddings)
        return self.scale * replaced(cosine, labels, self.target(own(cosine, labels), embeddings))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of the logits, plus the penalty."""
        entropy = functional.cross_entropy(self.logits(embeddings, labels), labels)
        return entropy + self.penalty(embeddings)

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) whose centre is nearest, without margin."""
        return self.cosine(embeddings).argmax(1)


@contextmanager
def full_precision(embeddings: Tensor) -> Iterator[Tensor]:
    """The embeddings in float32 or better, in a block that no autocast lowers."""
    with torch.autocast(embeddings.device.type, enabled=False):
        yield embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))


def cosines(embeddings: Tensor, centres: Tensor) -> Tensor:
    """Cosines (b, classes) in [-1, 1] of embeddings (b, dim) and centres (classes, dim)."""
    return functional.linear(functional.normalize(embeddings), functional.normalize(centres)).clamp(-1.0, 1.0)


def own(cosine: Tensor, labels: Tensor) -> Tensor:
    """The column (b, 1) of each row's own class."""
    return cosine.gather(1, labels[:, None])


def replaced(cosine: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """`cosine` (b, classes) with `values` (b, 1) at each row's own class."""
    return cosine.scatter(1, labels[:, None], values)


def angle(cosine: Tensor) -> Tensor:
    """arccos, kept so far from +-1 that its gradient, -1/sin, stays finite."""
    limit = 1.0 - torch.finfo(cosine.dtype).eps
    return cosine.clamp(-limit, limit).acos()
