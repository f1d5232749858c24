"""Training in several processes: who is there, and the few exchanges that make them equal to one process.

`torchrun --nproc-per-node N` starts the processes and says in the environment how many there are; nothing of it
is a parameter of an experiment. Without torchrun, and in every function here, one process is simply a world of
one, which exchanges nothing.

The arithmetic is that of one process with the whole batch. Every process computes the same mean loss over the
global batch, of embeddings gathered by `gather`; backward gives each the share of the gradient that flows
through its own faces. Gradients of the network are therefore summed (`sum_gradients`), not averaged. A head
that every process holds whole needs no exchange: `head(gather(embeddings), gather(labels))` has the same
gradient everywhere. For a head whose classes are split see `facerec.heads.sharded`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from facerec.errors import FacerecError, ParamsError

_PATIENCE = timedelta(
    minutes=30
)  # a process waits so long for the others, as in NCCL's own default and gloo's


class DistributedError(FacerecError):
    """The processes of a run cannot work together; the message says what to look at."""


@dataclass(frozen=True)
class Place:
    """Which process this is, by torchrun's environment."""

    rank: int = 0
    """0 to world - 1; rank 0 writes files."""
    world: int = 1
    """Number of processes."""
    local: int = 0
    """Rank within this machine, which is the index of the GPU to use."""


def launched() -> Place:
    """The place torchrun gives this process, or that of a process alone.

    Raises DistributedError when the environment is incomplete or contradicts itself.
    """
    if "WORLD_SIZE" not in os.environ and "RANK" not in os.environ:
        return Place()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    values = [os.environ.get(name, "") for name in names]
    for name, value in zip(names, values, strict=True):
        if not (value.isascii() and value.isdigit()):
            raise DistributedError(
                f"{name} is {value!r} in the environment, not a number; start several processes with torchrun."
            )
    place = Place(*map(int, values))
    if not place.rank < place.world or not place.local <= place.rank:
        raise DistributedError(
            f"RANK {place.rank}, LOCAL_RANK {place.local} and WORLD_SIZE {place.world} in the environment "
            "contradict each other; start several processes with torchrun."
        )
    return place


@contextmanager
def joined(device: torch.device, meeting: str = "env://") -> Iterator[Place]:
    """Meet the other processes of the run, and part from them at the end; alone, do nothing.

    GPUs talk through NCCL, CPUs through gloo; "cuda" without a number then means this process's own GPU. `meeting`
    is where they meet, torchrun's environment unless told. Raises DistributedError when they do not.
    """
    place = launched()
    if place.world == 1:
        yield place
        return
    if device.type == "cuda":
        _take_gpu(place)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(
            backend, init_method=meeting, rank=place.rank, world_size=place.world, timeout=_PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise DistributedError(
            f"Process {place.rank} of {place.world} did not meet the others ({error}); start all with one "
            "torchrun and see that MASTER_ADDR and MASTER_PORT can be reached."
        ) from error
    try:
        yield place
    finally:
        distributed.destroy_process_group()


def _take_gpu(place: Place) -> None:
    """Make the GPU with this process's local rank the one that "cuda" means."""
    if place.local >= torch.cuda.device_count():
        raise DistributedError(
            f"LOCAL_RANK is {place.local} but this machine has {torch.cuda.device_count()} GPUs; "
            "start no more processes than GPUs, or set FACEREC_DEVICE to cpu."
        )
    torch.cuda.set_device(place.local)


def world() -> int:
    """How many processes have joined; 1 alone."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process among those that have joined; 0 alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def local_batch(batch: int) -> int:
    """This process's share of a global batch; rank r takes faces r * share to (r + 1) * share of it.

    Raises ParamsError unless the batch divides evenly.
    """
    if batch % world():
        raise ParamsError(
            f"train.batch is {batch}, which {world()} processes cannot share evenly; "
            f"make it a multiple of {world()}."
        )
    return batch // world()


def rows(count: int) -> tuple[int, int]:
    """First and one past the last of `count` rows that this process holds; all hold equally many, or one more."""
    return rank() * count // world(), (rank() + 1) * count // world()


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
    distributed.all_reduce(greatest, distributed.ReduceOp.MAX)
    return total((part - greatest).exp()).log() + greatest


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its sum over the processes, all in one message."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def broadcast(module: nn.Module) -> None:
    """Give every process the parameters and buffers of rank 0."""
    if world() > 1:
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)


def gather_rows(local: Tensor, count: int) -> Tensor | None:
    """On rank 0 the whole (count, ...) of which each process holds its `rows`, on the CPU; elsewhere None.

    All processes must call it. One part at a time travels.
    """
    if world() == 1:
        return local.detach().cpu()
    parts = []
    for sender in range(world()):
        size = (sender + 1) * count // world() - sender * count // world()
        part = local.detach().contiguous() if sender == rank() else local.new_empty(size, *local.shape[1:])
        distributed.broadcast(part, sender)
        if rank() == 0:
            parts.append(part.cpu())
    return torch.cat(parts) if parts else None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(world())]
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
        distributed.all_reduce(gradient)
        return gradient


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        part = part.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(part)
        return part

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
