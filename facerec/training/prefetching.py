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
Batch = tuple[Tensor, Tensor, float]
"""Input of the network, labels, learning rate."""

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

    for (images, labels, lr), copied in run_ahead(recorded(), READY, lambda: torch.cuda.stream(copying)):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)
        for tensor in (images, labels):
            tensor.record_stream(computing)  # its memory is not used again before this stream is done with it
        yield images, labels, lr


@dataclass
class Pace:
    """How fast a training goes, without its first step, which loads and compiles.

    Attributes:
        steps: steps made.
        seconds: wall time that they took.
        waited: part of it in which the next batch was waited for.
    """

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, of which each is a step."""
        begin: float | None = None
        asked = time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - asked
            yield batch
            asked = time.perf_counter()
            if begin is None:
                begin = asked
            else:
                self.steps += 1
                self.seconds = asked - begin
                self.waited += waited

    def describe(self, batch: int) -> dict[str, float]:
        """Images a second for this batch size, and the share of the time that data was waited for."""
        if not self.steps:
            return {}
        return {"images_per_second": self.steps * batch / self.seconds, "waiting_for_data": self.waited / self.seconds}


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
