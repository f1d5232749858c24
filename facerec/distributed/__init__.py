"""Training in several processes: who takes part, and the collectives that make them compute what one process would.

torchrun starts the processes (`facerec.distributed.launching`) and tells each its rank in the environment; none of it
is a parameter of an experiment. Without torchrun all functions work in a single process, which exchanges nothing.

>>> import torch
>>> with joined(torch.device("cpu")) as place:
...     gather(torch.ones(2, 3)).shape[0] == 2 * place.world
True

All processes must call a collective at the same time. `gather`, `split_work`, `sum_parts` and `logsumexp` carry
gradients, for heads on the faces of all processes (`facerec.heads.sharded`). Every process computes the same mean loss
over the global batch; backward gives each the gradient that flows through its own faces, so the gradients of the
network are summed over the processes (`GradientSum`), not averaged. torch.distributed.nn.functional assumes a separate
loss in each process: here it would multiply gradients by their number and cost an exchange more in every backward pass.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from facerec.core import FacerecError, ParamsError

_TIMEOUT = timedelta(minutes=30)  # for the other processes; gloo's own default


class DistributedError(FacerecError):
    """The processes of a run cannot work together; the message says what to check."""


@dataclass(frozen=True)
class Place:
    """This process among all, from torchrun's environment.

    Attributes:
        rank: 0 to world - 1; rank 0 writes files.
        world: number of processes.
        local: rank within this machine, which is the index of the GPU to use.
    """

    rank: int = 0
    world: int = 1
    local: int = 0


def launched() -> Place:
    """The place that torchrun gives this process; without torchrun that of a single process.

    Raises DistributedError if the environment is incomplete or contradicts itself.
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
    """Join the process group of the run for the block; a single process does nothing.

    GPUs communicate through NCCL, CPUs through gloo; "cuda" without a number then means this process's own GPU.
    `meeting` is torch's init_method, by default torchrun's environment. Raises DistributedError if joining fails.
    """
    place = launched()
    if place.world == 1:
        yield place
        return
    if device.type == "cuda":
        _take_gpu(device, place)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(
            backend, init_method=meeting, rank=place.rank, world_size=place.world, timeout=_TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        raise DistributedError(
            f"Process {place.rank} of {place.world} did not meet the others ({error}); start all with one "
            "torchrun and see that MASTER_ADDR and MASTER_PORT can be reached."
        ) from error
    threading.Thread(target=_end_with_launcher, args=(os.getppid(),), daemon=True).start()
    try:
        yield place
    finally:
        distributed.destroy_process_group()


def _end_with_launcher(launcher: int) -> None:
    """End this process soon after torchrun was killed, which would leave its processes running."""
    while os.getppid() == launcher:
        time.sleep(1)
    os._exit(1)


def _take_gpu(device: torch.device, place: Place) -> None:
    """Make the GPU with this process's local rank the one that "cuda" means."""
    if device.index is not None:
        raise DistributedError(
            f"FACEREC_DEVICE is {device}, one GPU, but there are {place.world} processes; set it to cuda, which "
            "gives each its own."
        )
    if place.local >= torch.cuda.device_count():
        raise DistributedError(
            f"LOCAL_RANK is {place.local} but this machine has {torch.cuda.device_count()} GPUs; "
            "start no more processes than GPUs, or set FACEREC_DEVICE to cpu."
        )
    torch.cuda.set_device(place.local)


def world() -> int:
    """Number of processes that have joined; 1 without a group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Rank of this process among those that have joined; 0 without a group."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def _message_device() -> torch.device:
    """Device on which the tensors of a collective must be."""
    backend = distributed.get_backend()
    return torch.device("cuda" if backend == "nccl" else "cpu")


@contextmanager
def _communicating() -> Iterator[None]:
    """Turn errors of a collective inside the block into a DistributedError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo raises no more specific class
        raise DistributedError(
            f"Process {rank()} lost the others ({str(error).splitlines()[0][:200]}); one of them ended, see what it said."
        ) from error


def local_batch(batch: int, parts: int = 1) -> int:
    """This process's share of a global batch that passes the network in `parts`.

    Raises ParamsError unless every part can be shared evenly.
    """
    if batch % (world() * parts):
        raise ParamsError(
            f"train.batch is {batch}, which {world()} processes cannot share evenly"
            f"{f' in {parts} parts' if parts > 1 else ''}; make it a multiple of {world() * parts}."
        )
    return batch // world()


def local_rows(batch: NDArray[np.int64], parts: int = 1) -> NDArray[np.int64]:
    """This process's elements of a global batch (b,), part by part; see `local_batch`.

    It is a contiguous piece of every part, so that `gather` restores the order of a part.
    """
    return batch.reshape(parts, world(), -1)[:, rank()].reshape(-1)


def rows_of(count: int, of: int | None = None) -> tuple[int, int]:
    """First and one past the last of `count` rows held by process `of` (default: this one); shares differ by at most one."""
    place = rank() if of is None else of
    return place * count // world(), (place + 1) * count // world()


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Each flag, true if it is true on any process."""
    if world() == 1:
        return flags
    known = torch.tensor(flags, dtype=torch.int32, device=_message_device())
    with _communicating():
        distributed.all_reduce(known, distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in known.tolist())


def broadcast_text(text: str) -> str:
    """The `text` of rank 0, on all processes."""
    if world() == 1:
        return text
    texts = [text]
    with _communicating():
        distributed.broadcast_object_list(texts, 0, device=_message_device())
    return texts[0]


def broadcast_module(module: nn.Module) -> None:
    """Give every process the parameters and buffers of rank 0."""
    if world() > 1:
        for tensor in module.state_dict().values():
            with _communicating():
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
        with _communicating():
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
    with _communicating():
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
    with _communicating():
        distributed.all_reduce(greatest, distributed.ReduceOp.MAX)
    return sum_parts((part - greatest).exp()).log() + greatest


def _summed(part: Tensor) -> Tensor:
    part = part.clone(memory_format=torch.contiguous_format)
    with _communicating():
        distributed.all_reduce(part)
    return part


BUCKET = 25 * 2**20
"""Bytes of gradients per message: large enough to be efficient, small enough to overlap with the backward pass."""


class GradientSum:
    """Sums gradients over the processes, bucket by bucket, while the backward pass still computes others.

    Buckets hold the parameters from last to first and are sent in this order on all processes and in all runs, so
    that equal runs add in equal order. Call `begin` before the backward pass that completes the gradients and
    `finish` after it, which makes the gradients views of what was summed; both do nothing in a single process.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], bucket: int = BUCKET) -> None:
        self._buckets: list[list[nn.Parameter]] = []
        self._missing: list[int] = []
        self._next = 0
        self._sent: list[tuple[distributed.Work, list[nn.Parameter], list[Tensor]]] = []
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
        for work, parameters, sums in self._sent:
            with _communicating():
                work.wait()
            for parameter, summed in zip(parameters, sums, strict=True):
                parameter.grad = summed
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
            learning = [each for each in bucket if each.grad is not None]
            if learning:
                flat, sums = _room_for(learning)
                torch._foreach_copy_(sums, [each.grad for each in learning if each.grad is not None])
                with _communicating():
                    work = distributed.all_reduce(flat, async_op=True)
                self._sent.append((work, learning, sums))
        self._next = max(self._next, stop)


def average_buffers(module: nn.Module) -> None:
    """Replace the running statistics, which each process computes from its own faces, by their mean over all."""
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if world() > 1 and buffers:
        _unflatten(_summed(_flatten(buffers)) / world(), buffers)


def _room_for(parameters: list[nn.Parameter]) -> tuple[Tensor, list[Tensor]]:
    """An empty vector for gradients, and its pieces with the shapes and strides of the parameters."""
    sizes = [each.numel() for each in parameters]
    flat = parameters[0].new_empty(sum(sizes))
    pieces = zip(torch.split(flat, sizes), parameters, strict=True)
    return flat, [piece.as_strided(each.shape, each.stride()) for piece, each in pieces]


def _flatten(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _unflatten(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy consecutive pieces of `flat` into `tensors`."""
    parts = torch.split(flat, [each.numel() for each in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
