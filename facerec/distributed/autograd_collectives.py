"""Exchanges between processes that gradients flow through, for heads on the faces of all.

The arithmetic is that of one process with the whole batch. Every process computes the same mean loss over the
global batch, of embeddings gathered by `gather`; backward gives each the share of the gradient that flows
through its own faces. Gradients of the network are therefore summed (`GradientSum`), not averaged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from facerec.distributed.process_group import exchanging, rank, world


def gather(local: Tensor) -> Tensor:
    """The tensors (b, ...) of all processes, of one shape, as one (world * b, ...) in the order of ranks.

    Backward hands this process the gradient of its own rows, taking it that all compute the same of the whole.
    """
    if world() == 1:
        return local
    gathered: Tensor = _Gather.apply(local)
    return gathered


def split_work(whole: Tensor) -> Tensor:
    """`whole`, the same on all processes, for work of which each does another part.

    Backward sums the gradients of the parts.
    """
    if world() == 1:
        return whole
    same: Tensor = _SplitWork.apply(whole)
    return same


def total(part: Tensor) -> Tensor:
    """Sum of the `part` of all processes.

    Backward hands on the gradient, taking it that all compute the same of the sum.
    """
    if world() == 1:
        return part
    summed: Tensor = _Total.apply(part)
    return summed


def logsumexp(part: Tensor) -> Tensor:
    """log of the sum of exp(part) over all processes, elementwise; not all may be -inf. Backward as in `total`."""
    if world() == 1:
        return part
    greatest = part.detach().clone()
    with exchanging():
        distributed.all_reduce(greatest, distributed.ReduceOp.MAX)
    return total((part - greatest).exp()).log() + greatest


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(world())]
        with exchanging():
            distributed.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.chunk(world())[rank()]


class _SplitWork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:
        return whole.view_as(whole)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        with exchanging():
            distributed.all_reduce(gradient)
        return gradient


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        part = part.clone(memory_format=torch.contiguous_format)
        with exchanging():
            distributed.all_reduce(part)
        return part

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
