"""One network in several processes: the sum of its gradients, the mean of its running statistics."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, distributed, nn

from facerec.distributed.process_group import exchanging, world

BUCKET = 25 * 2**20
"""Bytes of gradients in one message: as much as pays for sending it, as little as the rest can hide."""


class GradientSum:
    """Sums gradients over the processes, bucket after bucket, while the backward pass still computes others.

    Buckets hold the parameters from last to first and are sent in this order, on all processes and in all runs, so
    equal runs add in equal order. `begin` before the backward pass that completes the gradients, `finish` after
    it; alone, both do nothing.
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
        """The gradients that come now are complete."""
        self._missing = [len(bucket) for bucket in self._buckets]
        self._next = 0

    def finish(self) -> None:
        """Wait until every gradient is the sum over all processes."""
        self._send(len(self._buckets))
        for work, flat, gradients in self._sent:
            with exchanging():
                work.wait()
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
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
                flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
                with exchanging():
                    work = distributed.all_reduce(flat, async_op=True)
                self._sent.append((work, flat, gradients))
        self._next = max(self._next, stop)


def average_buffers(module: nn.Module) -> None:
    """Give all processes the mean of their running statistics, each of which has seen its own faces only."""
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if world() == 1 or not buffers:
        return
    flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
    with exchanging():
        distributed.all_reduce(flat)
    parts = torch.split(flat / world(), [buffer.numel() for buffer in buffers])
    for buffer, part in zip(buffers, parts, strict=True):
        buffer.copy_(part.view_as(buffer))
