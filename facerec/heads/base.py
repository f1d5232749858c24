"""The base classes of all losses: `Head`, and `CosineHead` for losses on cosines to class centres.

A margin head overrides one hook, `CosineHead.margin`, which replaces the cosine between an embedding and the centre of
its own class (or `target`, if the margin also depends on the embedding). Such a head can also be computed in chunks
of classes (`facerec.heads.chunked`) and with its classes split over processes (`facerec.heads.sharded`). Gradients
come from autograd. Cosines and losses are float32 or better, even for fp16 or bf16 embeddings or inside autocast.
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
    """A loss: (embeddings (b, dim), int64 labels (b,)) -> scalar, with the accuracy on the batch beside it."""

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss, a scalar."""
        raise NotImplementedError

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """`loss` in full precision, whatever precision the network used."""
        with full_precision(embeddings) as precise:
            return self.loss(precise, labels)

    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss as from `forward`, and the accuracy without margin; two scalars."""
        return self(embeddings, labels), self.accuracy(embeddings.detach(), labels)

    def predict(self, embeddings: Tensor) -> Tensor:
        """The predicted class (b,) of each embedding, without margin."""
        raise NotImplementedError

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of the batch classified correctly, without margin; a scalar."""
        return (self.predict(embeddings) == labels).double().mean()

    def follow(self, optimiser: Optimizer) -> None:
        """Adapt the steps of `optimiser` to the head, if it needs that; call it once."""

    def partial(self) -> list[nn.Parameter]:
        """Parameters that are split over the processes; all others are equal everywhere."""
        return []

    def saved(self, optimiser: Optimizer) -> dict[str, Any]:
        """What a checkpoint holds of the head and its optimiser, under the names of the plain head.

        "head" and "optimiser" are states, equal on all processes. "rows" is what is split over them by classes: tensors
        with a row for each class that is held here.
        """
        return {"head": dict(self.state_dict()), "optimiser": optimiser.state_dict(), "rows": {}}

    def load_saved(self, content: Mapping[str, Any], optimiser: Optimizer) -> None:
        """Load what was `saved`, by any number of processes, with the rows of the classes that are held here."""
        self.load_state_dict(content["head"])
        optimiser.load_state_dict(content["optimiser"])


class HeadWrapper(Head):
    """Another way to compute the loss of `head`; what is `saved` is that of the plain head."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def saved(self, optimiser: Optimizer) -> dict[str, Any]:
        """The state of the plain head and the optimiser."""
        return self.head.saved(optimiser)

    def load_saved(self, content: Mapping[str, Any], optimiser: Optimizer) -> None:
        """Load the state of the plain head and the optimiser."""
        self.head.load_saved(content, optimiser)


class CosineHead(Head):
    """Cross entropy of `scale` times the cosines between embeddings (b, dim) and class centres.

    Attributes:
        weight: (classes, dim), one class centre per row; only its direction matters.
        scale: factor of the cosines.

    Raises:
        ParamsError: for fewer than two classes, or a scale that is not positive.

    >>> class MyHead(CosineHead):
    ...     def margin(self, cosine: Tensor) -> Tensor:
    ...         return cosine - 0.2
    >>> head = MyHead(dim=8, classes=3, scale=30.0)
    >>> head(torch.randn(4, 8), torch.tensor([0, 1, 2, 0])).shape
    torch.Size([])
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
        return cosines_to(embeddings, self.weight)

    def margin(self, cosine: Tensor) -> Tensor:
        """The value that replaces the cosine (b, 1) to the own class; here the cosine itself."""
        return cosine

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """Like `margin`, for heads whose margin also depends on the embeddings (b, dim)."""
        return self.margin(cosine)

    def penalty(self, embeddings: Tensor) -> Tensor:
        """A scalar that is added to the cross entropy; here 0."""
        return embeddings.new_zeros(())

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled cosines (b, classes), with the margin at `labels` (b,)."""
        cosine = self.cosine(embeddings)
        return self.scale * replace_own(cosine, labels, self.target(own_cosine(cosine, labels), embeddings))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of the logits, plus the penalty."""
        entropy = functional.cross_entropy(self.logits(embeddings, labels), labels)
        return entropy + self.penalty(embeddings)

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) with the nearest centre, without margin."""
        return self.cosine(embeddings).argmax(1)

    def saved(self, optimiser: Optimizer) -> dict[str, Any]:
        """As of every head; where classes can be split, their centres and what the optimiser keeps of them are "rows"."""
        whole = super().saved(optimiser)
        if not is_margin_head(type(self)):
            return whole
        key, weight = self._key(optimiser), whole["head"].pop("weight")
        kept = whole["optimiser"]["state"].get(key, {})
        rows = {name: value for name, value in kept.items() if has_shape(value, weight.shape)}
        others = {name: value for name, value in kept.items() if name not in rows}
        whole["optimiser"]["state"] = {**whole["optimiser"]["state"], **({key: others} if kept else {})}
        return {**whole, "rows": {"weight": weight, **rows}}

    def load_saved(self, content: Mapping[str, Any], optimiser: Optimizer) -> None:
        """Load what was `saved`; ParamsError for another number of classes."""
        if not is_margin_head(type(self)):
            super().load_saved(content, optimiser)
            return
        key, rows = self._key(optimiser), dict(content["rows"])
        weight, state = rows.pop("weight"), content["optimiser"]["state"]
        if len(weight) != len(self.weight):
            raise ParamsError(
                f"The saved head knows {len(weight)} classes, this one {len(self.weight)}; use the same data sets."
            )
        self.load_state_dict({**content["head"], "weight": weight})
        kept = {key: {**state[key], **rows}} if key in state else {}
        optimiser.load_state_dict({**content["optimiser"], "state": {**state, **kept}})

    def _key(self, optimiser: Optimizer) -> int:
        """The number of the centres in the state of the optimiser."""
        parameters = [each for group in optimiser.param_groups for each in group["params"]]
        return next(number for number, each in enumerate(parameters) if each is self.weight)


def require_margin_head(head: Head) -> CosineHead:
    """`head` itself; ParamsError unless `is_margin_head`."""
    if isinstance(head, CosineHead) and is_margin_head(type(head)):
        return head
    raise ParamsError(
        f"The head {type(head).__name__} cannot be computed in parts of its classes; take one with a margin on the "
        "own class, such as arcface, cosface, combined, normface, adaface or magface."
    )


def is_margin_head(kind: type[Head]) -> bool:
    """Whether heads of this class change nothing but the cosine to the own class, so that they can be split by classes."""
    shared = ("cosine", "logits", "loss", "predict")
    return issubclass(kind, CosineHead) and all(getattr(kind, name) is getattr(CosineHead, name) for name in shared)


def has_shape(value: Any, shape: torch.Size) -> bool:
    """Whether a value of an optimiser's state is a tensor of this shape."""
    return isinstance(value, Tensor) and value.shape == shape


@contextmanager
def full_precision(embeddings: Tensor) -> Iterator[Tensor]:
    """Yield the embeddings in float32 or better, with autocast switched off inside the block."""
    with torch.autocast(embeddings.device.type, enabled=False):
        yield embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))


def cosines_to(embeddings: Tensor, centres: Tensor) -> Tensor:
    """Cosines (b, classes) in [-1, 1] between embeddings (b, dim) and centres (classes, dim)."""
    return functional.linear(functional.normalize(embeddings), functional.normalize(centres)).clamp(-1.0, 1.0)


def own_cosine(cosine: Tensor, labels: Tensor) -> Tensor:
    """The cosine (b, 1) of each row to its own class."""
    return cosine.gather(1, labels[:, None])


def replace_own(cosine: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """`cosine` (b, classes) with `values` (b, 1) at the own class of each row."""
    return cosine.scatter(1, labels[:, None], values)


def angle_of(cosine: Tensor) -> Tensor:
    """arccos, kept away from +-1 so that its gradient -1/sin stays finite.

    By the arctangent, since torch's acos and sqrt approximate by instructions in which Intel and AMD differ.
    """
    limit = 1.0 - torch.finfo(cosine.dtype).eps
    kept = cosine.clamp(-limit, limit)
    squared = 1.0 - kept.square()
    return torch.atan2(squared * squared.rsqrt(), kept)
