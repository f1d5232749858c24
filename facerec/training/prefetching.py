"""Batches made ahead: while a GPU computes a step, a thread prepares the next batch on a stream of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Batch = tuple[Tensor, Tensor, float, Tensor | None]
"""Input of the network, labels, learning rate, and what a teacher says, if there is one."""

READY = 2
"""Batches that wait for the GPU, at most."""


def ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches; those of a GPU are copied and augmented on a stream of their own, by a thread."""
    if device.type != "cuda":
        yield from batches  # decoding has threads of its own, and the rest would take the same cores
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def recorded() -> Iterator[tuple[Batch, torch.cuda.Event]]:
        for batch in batches:
            yield batch, copying.record_event()

    for batch, copied in run_ahead(recorded(), READY, lambda: torch.cuda.stream(copying)):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)
        for tensor in batch:
            if isinstance(tensor, Tensor):
                tensor.record_stream(computing)  # its memory is not used again before this stream is done with it
        yield batch


@dataclass
class Pace:
    """How fast a training goes, without its first step, which loads and compiles.

    Attributes:
        steps: steps made.
        seconds: wall time that they took.
        waited: part of it in which the next batch was waited for.
        marks: of a GPU, moments on its own clock before and after each step.
    """

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] | None = None

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, of which each is a step."""
        begin: float | None = None
        asked = time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - asked
            before = None if self.marks is None else _moment()
            yield batch
            asked = time.perf_counter()
            if begin is None:
                begin = asked
            else:
                self.steps += 1
                self.seconds = asked - begin
                self.waited += waited
                if self.marks is not None and before is not None:
                    self.marks.append((before, _moment()))

    def describe(self, batch: int) -> dict[str, float]:
        """Images a second for this batch size, the share of the time that data was waited for, and a GPU's busy share.

        A GPU must have done its work, as it has when a result of the last step was read.
        """
        if not self.steps:
            return {}
        busy = [before.elapsed_time(after) / 1000 for before, after in self.marks or ()]
        return {
            "images_per_second": self.steps * batch / self.seconds,
            "waiting_for_data": self.waited / self.seconds,
            **({"gpu_busy": sum(busy) / self.seconds} if busy else {}),
        }


def _moment() -> torch.cuda.Event:
    """Now, on the clock of the current GPU: when it has done what was asked of it so far."""
    moment = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    moment.record()
    return moment


def run_ahead(
    items: Iterator[T], count: int, inside: Callable[[], AbstractContextManager[object]] = nullcontext
) -> Iterator[T]:
    """The items of an iterator that a thread runs, at most `count` ahead, in the context that `inside` makes.

    An error of the iterator is raised here, after the items before it. The thread ends with this iterator.

    >>> list(run_ahead(iter("abc"), 1))
    ['a', 'b', 'c']
    """
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(count)
    stopped = threading.Event()

    def hand_over(item: T | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                made.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            with inside():
                for item in items:
                    hand_over(item, None)
                    if stopped.is_set():
                        return
            hand_over(None, StopIteration())
        except BaseException as error:
            hand_over(None, error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
