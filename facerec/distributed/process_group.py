"""The process group: rank and number of processes from torchrun's environment, joining, shares of batches and rows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

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


def message_device() -> torch.device:
    """Device on which the tensors of a collective must be."""
    backend = distributed.get_backend()
    return torch.device("cuda" if backend == "nccl" else "cpu")


@contextmanager
def communicating() -> Iterator[None]:
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
