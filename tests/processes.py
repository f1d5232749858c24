"""Several gloo processes on this machine, for tests of what they compute together."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from facerec import distributed

CPU = torch.device("cpu")
Answer = dict[str, Any]
Work = Callable[..., Answer]


def member(rank: int, world: int, folder: Path, work: Work, arguments: tuple[Any, ...]) -> None:
    """One process of a run; its answer goes into a file."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    with distributed.joined(CPU, meeting=f"file://{folder / 'meeting'}"):
        answer = work(*arguments)
    torch.save(answer, folder / f"answer.{rank}")


def together(world: int, folder: Path, work: Work, *arguments: Any) -> list[Answer]:
    """What `work(*arguments)` answers in each of `world` processes, by rank."""
    context = multiprocessing.get_context("forkserver")
    # Optimisers import the first one, in seconds.
    context.set_forkserver_preload(["torch._dynamo", "tests.processes", "facerec.training"])
    folder.mkdir(parents=True, exist_ok=True)
    processes = [context.Process(target=member, args=(rank, world, folder, work, arguments)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    stuck = [process for process in processes if process.exitcode is None]
    for process in stuck:
        process.kill()
    assert not stuck
    assert [process.exitcode for process in processes] == [0] * world
    return [torch.load(folder / f"answer.{rank}", weights_only=True) for rank in range(world)]
