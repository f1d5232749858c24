"""Which process this is, by torchrun's environment, and how it meets and leaves the others."""

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

_PATIENCE = timedelta(minutes=30)  # a process waits so long for the others; gloo's own default


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
        _take_gpu(device, place)
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
    threading.Thread(target=_end_with_launcher, args=(os.getppid(),), daemon=True).start()
    try:
        yield place
    finally:
        distributed.destroy_process_group()


def _end_with_launcher(launcher: int) -> None:
    """End this process soon after torchrun was killed, which leaves its processes behind."""
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
    """How many processes have joined; 1 alone."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process among those that have joined; 0 alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own_device() -> torch.device:
    """Where tensors of messages must lie."""
    backend = distributed.get_backend()
    return torch.device("cuda" if backend == "nccl" else "cpu")


@contextmanager
def exchanging() -> Iterator[None]:
    """Around an exchange: what breaks in it is told in a sentence."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo has no class of its own for these
        raise DistributedError(
            f"Process {rank()} lost the others ({str(error).splitlines()[0][:200]}); one of them ended, see what it said."
        ) from error


def local_batch(batch: int, parts: int = 1) -> int:
    """This process's share of a global batch that goes through the network in so many parts.

    Raises ParamsError unless every part divides evenly.
    """
    if batch % (world() * parts):
        raise ParamsError(
            f"train.batch is {batch}, which {world()} processes cannot share evenly"
            f"{f' in {parts} parts' if parts > 1 else ''}; make it a multiple of {world() * parts}."
        )
    return batch // world()


def local_rows(batch: NDArray[np.int64], parts: int = 1) -> NDArray[np.int64]:
    """This process's elements of a global batch (b,), part after part; see `local_batch`.

    Of every part it is a contiguous piece, so that `gather` of a part is that part in its own order.
    """
    return batch.reshape(parts, world(), -1)[:, rank()].reshape(-1)


def rows_of(count: int, of: int | None = None) -> tuple[int, int]:
    """First and one past the last of `count` rows that process `of` (this one) holds: equally many, or one more."""
    place = rank() if of is None else of
    return place * count // world(), (place + 1) * count // world()
