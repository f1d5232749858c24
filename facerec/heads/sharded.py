"""Class centres split over processes, and Partial FC: a sampled share of them in every step.

Every process holds the centres of a contiguous range of classes. Embeddings and labels are gathered from all; each
process walks its own centres (`facerec.heads.chunked`), and two numbers a face travel: the log-sum-exp of the other
classes and the own cosine. Loss and gradients are those of one process with the global batch.

Sampling below 1: An et al., "Partial FC: Training 10 Million Identities on a Single Machine", 2021, and "Killing
Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by Partial FC", 2022. A step
uses all centres whose classes are in the batch and random others, together the rate of those a process holds. Only
these take part in the optimiser's step; momentum and weight decay leave the others as they are. Because the
parameter and its gradient keep the shape of all centres of the process (`follow` shows the optimiser the sampled
rows during its step), clipping, gradient scaling and accumulation need not know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facerec import distributed
from facerec.core import ParamsError
from facerec.heads import chunked
from facerec.heads.base import CENTRE_STD, CosineHead, Head, full_precision

_CHUNK = 4096  # classes that share a stream of random numbers when centres are drawn


class Sharded(Head):
    """The loss of `head`, which holds this process's `distributed.rows` of the `classes`, over all processes.

    Centres are drawn N(0, .01) anew from `seed`, the same for any number of processes. `rate` is the share of
    centres a step uses. Every process must call `forward`, `accuracy` and `whole_state` at the same time.
    """

    steps: Tensor

    def __init__(self, head: Head, classes: int, rate: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        if not 0.0 < rate <= 1.0:
            raise ParamsError(
                f"The share of class centres a step uses must be above 0 and at most 1, not {rate}."
            )
        self.head: CosineHead = chunked.own_class_head(head)
        self.classes, self.rate, self.seed = classes, rate, seed
        self.start, stop = distributed.rows_of(classes)
        if stop - self.start != len(self.head.weight):
            raise ParamsError(
                f"This process holds {stop - self.start} of {classes} classes, but its head has {len(self.head.weight)}."
            )
        with torch.no_grad():
            self.head.weight.copy_(initial(self.start, stop, self.head.weight.shape[1], seed))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.sampled: Tensor | None = None  # rows that have gradients, in order

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the global batch, the same on all processes; `embeddings` (b, dim) are this process's part."""
        return self._walk(embeddings, labels)[0]

    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy by one walk, the latter among the centres of the step; the same on all processes."""
        with full_precision(embeddings) as precise:
            return self._walk(precise, labels)

    def _walk(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        everyone, labels = distributed.gather(embeddings), distributed.gather(labels)
        place = labels - self.start
        place = place.where(place < len(self.head.weight), -1)
        index = None
        if self.rate < 1.0 and self.training and torch.is_grad_enabled():
            index, place = self._sample(place)
        unit = distributed.split_work(chunked.unit(everyone, self.head))
        part = chunked.walk(unit, self.head.weight, place, self.head.scale, index)
        walked = chunked.Walked(
            distributed.logsumexp(part.others),
            distributed.total(part.cosine),
            distributed.gather(part.nearest[None]).amax(0),
        )
        return chunked.entropy(self.head, walked, everyone), walked.right()

    def _sample(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Sorted rows (k,) of this step, and each face's place among them, negative where its class is elsewhere."""
        index = sample(
            place, len(self.head.weight), self.rate, (self.seed, int(self.steps), distributed.rank())
        )
        self.steps += 1
        if self.sampled is None or self.head.weight.grad is None:
            self.sampled = index
        else:  # gradients accumulate
            self.sampled = torch.unique(torch.cat([self.sampled, index]))
        return index, torch.searchsorted(index, place).where(place >= 0, -1)

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (world * b,) with the nearest centre for every face of the global batch, without margin."""
        unit = chunked.unit(distributed.gather(embeddings), self.head)
        best, row = chunked.nearest(unit, self.head.weight)
        bests = distributed.gather(best[None])
        classes = distributed.gather(row[None] + self.start)
        return classes.gather(0, bests.argmax(0, keepdim=True))[0]

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of the global batch nearest to the centre of the own class; the same on all processes."""
        return (self.predict(embeddings) == distributed.gather(labels)).double().mean()

    def follow(self, optimiser: Optimizer) -> None:
        """Make steps of `optimiser` update only sampled centres, and only their momentum; call it once.

        It works with every optimiser whose state is a number, or a tensor shaped like the parameter.
        """
        if self.rate < 1.0:
            step = _RowsOnly(self)
            optimiser.register_step_pre_hook(step.begin)
            optimiser.register_step_post_hook(step.end)

    def whole_state(self) -> dict[str, Tensor]:
        """On rank 0 the plain head's state with all classes, {} elsewhere; where it samples, with `sampling`, the steps."""
        weight = distributed.gather_rows(self.head.weight, self.classes)
        if weight is None:
            return {}
        sampling = {"sampling": self.steps.cpu()} if self.rate < 1.0 else {}
        return {**self.head.state_dict(), "weight": weight, **sampling}

    def load_whole_state(self, state: Mapping[str, Tensor]) -> None:
        """Take this process's part of a `whole_state`, of any number of processes, or of a plain head's state."""
        own = {name: value for name, value in state.items() if name != "sampling"}
        own["weight"] = self._own_rows(own["weight"])
        self.head.load_state_dict(own)
        self.steps.copy_(state.get("sampling", torch.zeros(())))

    def partial(self) -> list[nn.Parameter]:
        """The centres."""
        return [self.head.weight]

    def whole_optimiser_state(self, optimiser: Optimizer) -> dict[str, Any]:
        """`optimiser.state_dict()` with what belongs to the centres gathered from all processes on rank 0."""
        state = optimiser.state_dict()
        key = _number(optimiser, self.head.weight)
        shape = self.head.weight.shape
        centres = {
            name: distributed.gather_rows(value, self.classes) if _shaped(value, shape) else value
            for name, value in state["state"].get(key, {}).items()
        }
        return {**state, "state": {**state["state"], **({key: centres} if centres else {})}}

    def load_whole_optimiser_state(self, optimiser: Optimizer, state: Mapping[str, Any]) -> None:
        """Give `optimiser` this process's part of a `whole_optimiser_state` of any number of processes."""
        key = _number(optimiser, self.head.weight)
        shape = torch.Size((self.classes, self.head.weight.shape[1]))
        centres = {
            name: self._own_rows(value) if _shaped(value, shape) else value
            for name, value in state["state"].get(key, {}).items()
        }
        optimiser.load_state_dict(
            {**state, "state": {**state["state"], **({key: centres} if centres else {})}}
        )

    def _own_rows(self, whole: Tensor) -> Tensor:
        """This process's rows of a tensor with a row for each class; ParamsError where their number is another."""
        if len(whole) != self.classes:
            raise ParamsError(
                f"The saved head knows {len(whole)} classes, this one {self.classes}; use the same data sets."
            )
        return whole[slice(*distributed.rows_of(self.classes))].clone()


def initial(start: int, stop: int, dim: int, seed: int) -> Tensor:
    """Centres (stop - start, dim) float32 of classes, N(0, .01), each a function of the class and `seed`."""
    parts = [
        np.random.default_rng((seed, chunk)).standard_normal((_CHUNK, dim), np.float32)
        for chunk in range(start // _CHUNK, (stop - 1) // _CHUNK + 1)
    ]
    first = start - start % _CHUNK
    return torch.from_numpy(CENTRE_STD * np.concatenate(parts)[start - first : stop - first])


def sample(place: Tensor, count: int, rate: float, seed: tuple[int, ...]) -> Tensor:
    """Sorted rows of `count`: all that occur in `place` (negative ones are none) and random others.

    Together a share `rate`, or as many as occur where these are more, and at least one.
    """
    order = torch.from_numpy(np.random.default_rng(seed).random(count, np.float32)).to(place.device)
    positive = torch.unique(place[place >= 0])
    order[positive] = 2.0
    chosen = max(len(positive), round(rate * count), 1)
    return order.topk(chosen).indices.sort().values


class _RowsOnly:
    """Around a step of the optimiser: the centres, their gradient and state, cut to the sampled rows."""

    def __init__(self, sharded: Sharded) -> None:
        self.sharded = sharded
        self.whole: Tensor | None = None
        self.state: dict[str, Any] = {}

    def begin(self, optimiser: Optimizer, *_: Any) -> None:
        weight, rows = self.sharded.head.weight, self.sharded.sampled
        if rows is None or weight.grad is None:
            return
        self.whole, self.state = weight.data, optimiser.state.get(weight, {})
        gradient = weight.grad[rows]
        weight.grad = None  # before the shape changes: it must have that of its parameter
        weight.data = self.whole[rows]
        weight.grad = gradient
        shape = self.whole.shape
        cut = {name: value[rows] if _shaped(value, shape) else value for name, value in self.state.items()}
        if cut:
            optimiser.state[weight] = cut

    def end(self, optimiser: Optimizer, *_: Any) -> None:
        weight, rows = self.sharded.head.weight, self.sharded.sampled
        if self.whole is None or rows is None:
            return
        for name, value in optimiser.state[weight].items():
            if _shaped(value, weight.shape):
                kept = self.state.get(name)
                kept = torch.zeros_like(self.whole) if kept is None else kept
                kept[rows] = value
                value = kept
            self.state[name] = value
        self.whole[rows] = weight.data
        weight.grad = None
        weight.data = self.whole
        optimiser.state[weight] = self.state
        self.whole, self.state, self.sharded.sampled = None, {}, None


def _shaped(value: Any, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape == shape


def _number(optimiser: Optimizer, parameter: Tensor) -> int:
    """The key of `parameter` in the optimiser's state_dict: its place among all parameters."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return next(number for number, each in enumerate(parameters) if each is parameter)
