"""Collectives: what the processes of a training exchange. All processes must call each function at the same time.

`gather`, `split_work`, `sum_parts` and `logsumexp` carry gradients, for heads on the faces of all processes. Every
process computes the same mean loss over the global batch; backward gives each the gradient that flows through its own
faces, so the gradients of the network are summed over the processes (`GradientSum`), not averaged.

torch.distributed.nn.functional assumes a separate loss in each process and sums the gradients of all of them: here
that would multiply gradients by the number of processes and cost an exchange more in every backward pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, distributed, nn

from facerec.distributed.process_group import communicating, message_device, rank, rows_of, world


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Each flag, true if it is true on any process."""
    if world() == 1:
        return flags
    known = torch.tensor(flags, dtype=torch.int32, device=message_device())
    with communicating():
        distributed.all_reduce(known, distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in known.tolist())


def broadcast_text(text: str) -> str:
    """The `text` of rank 0, on all processes."""
    if world() == 1:
        return text
    texts = [text]
    with communicating():
        distributed.broadcast_object_list(texts, 0, device=message_device())
    return texts[0]


def broadcast_module(module: nn.Module) -> None:
    """Give every process the parameters and buffers of rank 0."""
    if world() > 1:
        for tensor in module.state_dict().values():
            with communicating():
                distributed.broadcast(tensor, 0)


def gather_rows(local: Tensor, count: int) -> Tensor | None:
    """On rank 0 the whole (count, ...) of which each process holds its `rows_of`, on the CPU; None elsewhere.

    The parts are sent one at a time.
    """
    if world() == 1:
        return local.detach().cpu()
    parts = []
    for sender in range(world()):
        start, stop = rows_of(count, sender)
        part = local.detach().contiguous() if sender == rank() else local.new_empty(stop - start, *local.shape[1:])
        with communicating():
            distributed.broadcast(part, sender)
        if rank() == 0:
            parts.append(part.cpu())
    return torch.cat(parts) if parts else None


def gather(local: Tensor) -> Tensor:
    """The tensors (b, ...) of all processes, equal in shape, as one (world * b, ...) in the order of ranks.

    The gradient of `local` is that of its own rows, as all processes compute the same from the whole.
    """
    if world() == 1:
        return local
    parts = [torch.empty_like(local) for _ in range(world())]
    with communicating():
        distributed.all_gather(parts, local.detach().contiguous())
    parts[rank()] = local
    return torch.cat(parts)


def split_work(whole: Tensor) -> Tensor:
    """`whole`, equal on all processes, for work that is divided between them; backward sums the gradients."""
    shared = whole.view_as(whole)
    if world() > 1 and shared.requires_grad:
        shared.register_hook(_summed)  # type: ignore[no-untyped-call]
    return shared


def sum_parts(part: Tensor) -> Tensor:
    """The sum of the `part` of all processes; its gradient passes on, as all compute the same from the sum."""
    if world() == 1:
        return part
    summed = _summed(part.detach())
    return summed + (part - part.detach()) if part.requires_grad else summed


def logsumexp(part: Tensor) -> Tensor:
    """log of the sum of exp(part) over all processes, elementwise; not all may be -inf. Gradient as in `sum_parts`."""
    if world() == 1:
        return part
    greatest = part.detach().clone()
    with communicating():
        distributed.all_reduce(greatest, distributed.ReduceOp.MAX)
    return sum_parts((part - greatest).exp()).log() + greatest


def _summed(part: Tensor) -> Tensor:
    part = part.clone(memory_format=torch.contiguous_format)
    with communicating():
        distributed.all_reduce(part)
    return part


BUCKET = 25 * 2**20
"""Bytes of gradients per message: large enough to be efficient, small enough to overlap with the backward pass."""


class GradientSum:
    """Sums gradients over the processes, bucket by bucket, while the backward pass still computes others.

    Buckets hold the parameters from last to first and are sent in this order on all processes and in all runs, so
    that equal runs add in equal order. Call `begin` before the backward pass that completes the gradients and
    `finish` after it; both do nothing in a single process.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], bucket: int = BUCKET) -> None:
        self._buckets: list[list[nn.Parameter]] = []
        self._missing: list[int] = []
        self._next = 0
        self._sent: list[tuple[distributed.Work, Tensor, list[Tensor]]] = []
        if world() == 1:
            return
        room = 0
        for parameter in reversed([each for each in parameters if each.requires_grad]):
            size = parameter.numel() * parameter.element_size()
            if size > room or not self._buckets:
                self._buckets.append([])
                room = bucket
            self._buckets[-1].append(parameter)
            room -= size
            arrived = partial(self._arrived, len(self._buckets) - 1)
            parameter.register_post_accumulate_grad_hook(arrived)  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """The next backward pass completes the gradients."""
        self._missing = [len(bucket) for bucket in self._buckets]
        self._next = 0

    def finish(self) -> None:
        """Wait until every gradient is the sum over all processes."""
        self._send(len(self._buckets))
        for work, flat, gradients in self._sent:
            with communicating():
                work.wait()
            _unflatten(flat, gradients)
        self._sent, self._missing = [], []

    def _arrived(self, number: int, parameter: nn.Parameter) -> None:
        if self._missing:
            self._missing[number] -= 1
            ready = self._next
            while ready < len(self._buckets) and not self._missing[ready]:
                ready += 1
            self._send(ready)

    def _send(self, stop: int) -> None:
        """Send the buckets that come next, up to number `stop`."""
        for bucket in self._buckets[self._next : stop]:
            gradients = [each.grad for each in bucket if each.grad is not None]
            if gradients:
                flat = _flatten(gradients)
                with communicating():
                    work = distributed.all_reduce(flat, async_op=True)
                self._sent.append((work, flat, gradients))
        self._next = max(self._next, stop)


def average_buffers(module: nn.Module) -> None:
    """Replace the running statistics, which each process computes from its own faces, by their mean over all."""
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if world() > 1 and buffers:
        _unflatten(_summed(_flatten(buffers)) / world(), buffers)


def _flatten(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _unflatten(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy consecutive pieces of `flat` into `tensors`."""
    parts = torch.split(flat, [each.numel() for each in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
