"""Heads in several processes: class centres split over them, Partial FC (a sampled share of the centres), replicas.

Every process holds the centres of a contiguous range of classes. Embeddings and labels are gathered from all; each
process visits its own centres (`facerec.heads.chunked`), and two numbers per face are exchanged: the log-sum-exp of
the other classes and the own cosine. Loss and gradients equal those of one process with the global batch.

Sampling (`rate` below 1): An et al., "Partial FC: Training 10 Million Identities on a Single Machine", 2021, and
"Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by Partial FC", 2022. A step
uses the centres of all classes in the batch and random others, together the share `rate` of those a process holds.
Only these take part in the optimiser's step; momentum and weight decay do not touch the others. From the backward pass to
the step the parameter holds the sampled centres only, so its gradient takes no more memory than they do, and clipping,
gradient scaling and accumulation work unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facerec import distributed
from facerec.core import ParamsError
from facerec.heads import chunked
from facerec.heads.base import CENTRE_STD, Head, HeadWrapper, has_shape, is_margin_head

_STREAM = 4096  # consecutive classes whose initial centres come from one random stream


def classes_held(kind: type[Head], classes: int) -> int:
    """Number of classes whose centres this process holds: its share if heads of class `kind` can be split, else all.

    Raises ParamsError for fewer than 2 classes per process.
    """
    if not is_margin_head(kind):
        return classes
    if classes < 2 * distributed.world():
        raise ParamsError(f"{classes} classes cannot be split over {distributed.world()} processes; start fewer.")
    start, stop = distributed.rows_of(classes)
    return stop - start


def spread_head(head: Head, classes: int, rate: float, chunks: bool, seed: int) -> Head:
    """`head` with its `classes_held`, wrapped for the processes that have joined, a sampling `rate` and `chunks`.

    Heads that cannot be split by classes are replicated in all processes. The initial centres of the others are a
    function of `seed`, the same for any number of processes.
    """
    if not is_margin_head(type(head)):
        return head if distributed.world() == 1 else Replicated(head)
    if distributed.world() > 1 or rate < 1:
        return Sharded(head, classes, rate, seed)
    weight = head.get_parameter("weight")
    with torch.no_grad():
        weight.copy_(initial_centres(0, classes, weight.shape[1], seed))
    return chunked.Chunked(head) if chunks else head


class Sharded(chunked.Chunked):
    """The loss over all processes of a `head` that holds this process's share of the `classes`.

    Centres are redrawn N(0, .01) from `seed`, the same for any number of processes. `rate` is the share of
    centres that a step uses. Embeddings (b, dim) are this process's part of the global batch; loss and accuracy (from
    `measure`, among the centres of the step) are means over the whole batch, equal on all processes. Every process must
    call `forward` and `accuracy` at the same time.
    """

    def __init__(self, head: Head, classes: int, rate: float = 1.0, seed: int = 0) -> None:
        super().__init__(head)
        if not 0.0 < rate <= 1.0:
            raise ParamsError(f"The share of class centres a step uses must be above 0 and at most 1, not {rate}.")
        self.classes, self.rate, self.seed = classes, rate, seed
        self.start, stop = distributed.rows_of(classes)
        if stop - self.start != len(self.head.weight):
            raise ParamsError(
                f"This process holds {stop - self.start} of {classes} classes, but its head has {len(self.head.weight)}."
            )
        with torch.no_grad():
            self.head.weight.copy_(initial_centres(self.start, stop, self.head.weight.shape[1], seed))
        self.steps = 0  # with a sample, on the host: reading a GPU's number would wait for it
        self.sampled: Tensor | None = None  # rows with gradients, sorted
        self._whole: Tensor | None = None  # all centres, while the parameter holds those rows only

    def _walk(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        everyone, labels = distributed.gather(embeddings), distributed.gather(labels)
        place = labels - self.start
        place = place.where(place < len(self.centres), -1)
        weight: Tensor = self.head.weight
        if self.rate < 1.0 and self.training and torch.is_grad_enabled():
            weight, place = self._sample(place)
        unit = distributed.split_work(chunked.normalise(everyone, self.head))
        part = chunked.walk_centres(unit, weight, place, self.head.scale)
        walked = chunked.WalkResult(
            distributed.logsumexp(part.others),
            distributed.sum_parts(part.cosine),
            distributed.gather(part.nearest[None]).amax(0),
        )
        return chunked.cross_entropy(self.head, walked, everyone), walked.accuracy()

    @property
    def centres(self) -> Tensor:
        """All centres of this process, (classes held, dim), without gradients."""
        return self.head.weight.detach() if self._whole is None else self._whole

    def _sample(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """The centres (k, dim) of this step, and the position of each face's class among them, negative if elsewhere."""
        if self.head.weight.grad is None:
            self.put_back()  # what a step that was skipped has left
        whole = self.centres
        index = sample_classes(place, len(whole), self.rate, (self.seed, self.steps, distributed.rank()))
        self.steps += 1
        rows = whole[index].requires_grad_()
        rows.register_post_accumulate_grad_hook(partial(self._collect, index))  # type: ignore[no-untyped-call]
        return rows, torch.searchsorted(index, place).where(place >= 0, -1)

    def _collect(self, index: Tensor, rows: Tensor) -> None:
        """After a backward pass, make the parameter that of the sampled rows: a gradient of all would take as much memory."""
        weight, gradient, chosen = self.head.weight, rows.grad, rows.detach()
        assert gradient is not None
        if self.sampled is not None and weight.grad is not None:  # gradients accumulate
            both = torch.unique(torch.cat([self.sampled, index]))
            summed = gradient.new_zeros(len(both), gradient.shape[1])
            summed[torch.searchsorted(both, self.sampled)] = weight.grad
            summed[torch.searchsorted(both, index)] += gradient
            index, gradient, chosen = both, summed, self.centres[both]
        self._whole = self.centres
        self.sampled = index
        weight.grad = None  # before the shape changes: it must have that of its parameter
        weight.data = chosen
        weight.grad = gradient

    def put_back(self) -> None:
        """Make the parameter that of all centres again, with the sampled rows as they are now."""
        if self._whole is not None and self.sampled is not None:
            weight = self.head.weight
            self._whole[self.sampled] = weight.data
            weight.grad = None
            weight.data = self._whole
        self._whole = self.sampled = None

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (world * b,) with the nearest centre, for every face of the global batch, without margin."""
        unit = chunked.normalise(distributed.gather(embeddings), self.head)
        best, row = chunked.nearest_centre(unit, self.centres)
        bests = distributed.gather(best[None])
        classes = distributed.gather(row[None] + self.start)
        return classes.gather(0, bests.argmax(0, keepdim=True))[0]

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of the global batch nearest to the centre of the own class, equal on all processes."""
        return (self.predict(embeddings) == distributed.gather(labels)).double().mean()

    def follow(self, optimiser: Optimizer) -> None:
        """Make the steps of `optimiser` update only the sampled centres and their state; call it once.

        It works with any optimiser whose state is made of numbers and tensors shaped like the parameter.
        """
        if self.rate < 1.0:
            step = _RowsOnly(self)
            optimiser.register_step_pre_hook(step.begin)
            optimiser.register_step_post_hook(step.end)

    def saved(self, optimiser: Optimizer) -> dict[str, Any]:
        """What the plain head saves, with the centres of this process, and the number of steps that drew a sample."""
        self.put_back()  # what a step that was skipped has left
        return {**super().saved(optimiser), "sampled_steps": self.steps}

    def load_saved(self, content: Mapping[str, Any], optimiser: Optimizer) -> None:
        """Load what was `saved`, also by a plain head."""
        super().load_saved(content, optimiser)
        self.steps = content.get("sampled_steps", 0)

    def partial(self) -> list[nn.Parameter]:
        """The centres."""
        return [self.head.weight]


class Replicated(HeadWrapper):
    """The loss of `head` over the global batch, for heads that cannot be split by classes.

    Embeddings and labels are gathered; all processes compute the same from them and so update their copies of the
    head equally. Every process must call `forward` and `accuracy` at the same time.
    """

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the global batch, equal on all processes; `embeddings` (b, dim) are this process's part."""
        return self.head.loss(distributed.gather(embeddings), distributed.gather(labels))

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of the global batch classified correctly, equal on all processes."""
        return self.head.accuracy(distributed.gather(embeddings), distributed.gather(labels))


def initial_centres(start: int, stop: int, dim: int, seed: int) -> Tensor:
    """Initial centres (stop - start, dim) float32 of classes start .. stop, N(0, .01), each a function of class and `seed`."""
    parts = [
        np.random.default_rng((seed, stream)).standard_normal((_STREAM, dim), np.float32)
        for stream in range(start // _STREAM, (stop - 1) // _STREAM + 1)
    ]
    first = start - start % _STREAM
    return torch.from_numpy(CENTRE_STD * np.concatenate(parts)[start - first : stop - first])


def sample_classes(place: Tensor, count: int, rate: float, seed: tuple[int, ...]) -> Tensor:
    """Sorted indices below `count`: all that occur in `place` (negative ones do not count) and random others.

    Together the share `rate` of `count`; more if more occur in `place`, and at least one.
    """
    if place.is_cuda:  # drawn there: ten million numbers take the host longer than the step
        key = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        generator = torch.Generator(place.device).manual_seed(key)
        order = torch.rand(count + 1, device=place.device, generator=generator)
    else:
        order = torch.from_numpy(np.random.default_rng(seed).random(count + 1, np.float32))
    order[place.where(place >= 0, count)] = 2.0  # one more place, for those that do not count
    chosen = max(round(rate * count), 1)
    if chosen < len(place):  # else there are at most as many classes in `place`, and nothing has to be counted
        chosen = max(chosen, len(torch.unique(place[place >= 0])))
    return order[:count].topk(chosen).indices.sort().values


class _RowsOnly:
    """Hooks that cut the optimiser's state of the centres to the sampled rows for its step."""

    def __init__(self, sharded: Sharded) -> None:
        self.sharded = sharded
        self.state: dict[str, Any] = {}

    def begin(self, optimiser: Optimizer, *_: Any) -> None:
        weight, rows, shape = self.sharded.head.weight, self.sharded.sampled, self.sharded.centres.shape
        if rows is None or weight.grad is None:
            self.sharded.put_back()
            return
        self.state = optimiser.state.get(weight, {})
        cut = {name: value[rows] if has_shape(value, shape) else value for name, value in self.state.items()}
        if cut:
            optimiser.state[weight] = cut

    def end(self, optimiser: Optimizer, *_: Any) -> None:
        weight, rows, whole = self.sharded.head.weight, self.sharded.sampled, self.sharded.centres
        if rows is None:
            return
        for name, value in optimiser.state[weight].items():
            if has_shape(value, weight.shape):
                kept = self.state.get(name)
                kept = torch.zeros_like(whole) if kept is None else kept
                kept[rows] = value
                value = kept
            self.state[name] = value
        self.sharded.put_back()
        optimiser.state[weight], self.state = self.state, {}
