"""Map a function over items by an executor: processes of this machine, or those of a Ray cluster.

Which executor runs (FACEREC_EXECUTOR) and how many workers it has (FACEREC_WORKERS) are settings of the machine; the
result depends on neither.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from typing import Any, Generic, Literal, TypeVar

from facerec.core.errors import FacerecError, ParamsError
from facerec.core.settings import local_setting, worker_count

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Work(Generic[T, R]):
    """A pure function and the items to call it with, in workers that are all prepared alike.

    Attributes:
        function: picklable.
        items: its arguments.
        initializer: called with `arguments` once in every worker.
        gpus: how many GPUs a worker needs, for executors that hand them out.
    """

    function: Callable[[T], R]
    items: Sequence[T]
    initializer: Callable[..., None] | None = None
    arguments: tuple[Any, ...] = ()
    gpus: int = 0

    def prepare(self) -> Callable[[T], R]:
        """Prepare this process as a worker; what to call with every item."""
        if self.initializer is not None:
            self.initializer(*self.arguments)
        return self.function


Executor = Callable[[Work[Any, Any], int | None], Iterator[Any]]
"""A way to do work: yields function(item) for every item, in order, and raises the first error of a worker.

The number of workers is by default what the machine or cluster has. Memory must not grow with the number of items.
"""


Local = Literal["processes", "threads", "here"]
"""How one machine does work: threads where it releases Python's lock, "here" where it keeps a GPU busy by itself."""


def _start_worker(alive: Connection, initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    cv2.setNumThreads(1)
    if initializer is not None:
        initializer(*arguments)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Delay Ctrl-C until after the block. Processes started in it inherit the blocked SIGINT.

    Otherwise Ctrl-C during the start of a worker's interpreter would print its traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(alive: Connection) -> None:
    """End this process when the other end of the pipe closes, as the parent then has ended."""
    with suppress(OSError):
        alive.poll(None)
    os._exit(1)


def map_ordered(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int | None = None,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
    *,
    gpus: int = 0,
    local: Local = "processes",
) -> Iterator[R]:
    """Yield function(item) for every item, in order.

    Memory does not grow with the number of items. The first exception of a worker is raised here; then, on Ctrl-C and
    when this process is killed, the workers end in the middle of their work, so they must write files atomically.

    Args:
        function: picklable and pure.
        items: its arguments.
        workers: number of workers, by default those of the machine or cluster; with one all is done in this process.
        initializer: called with `arguments` once in every worker.
        gpus: how many GPUs a worker needs, if any.
        local: how it is done where FACEREC_EXECUTOR names no other executor.

    Raises:
        FacerecError: a worker was killed.

    Example:
        >>> list(map_ordered(abs, [3, -4], workers=1))
        [3, 4]
    """
    name = local_setting("executor", "processes")
    if name not in EXECUTORS:
        raise ParamsError(f"FACEREC_EXECUTOR must be one of {', '.join(EXECUTORS)}, not {name!r}.")
    if not items:
        return  # and nothing is prepared
    small = workers == 1 or len(items) < 2
    executor = _LOCAL[local] if small or name == "processes" else EXECUTORS[name]
    if isinstance(executor, str):
        executor = resolve_name(executor)
    yield from executor(Work(function, items, initializer, arguments, gpus), workers)


def _here(work: Work[T, R], workers: int | None = None) -> Iterator[R]:
    yield from map(work.prepare(), work.items)


def _in_processes(work: Work[T, R], workers: int | None) -> Iterator[R]:
    workers = min(worker_count() if workers is None else workers, len(work.items))
    if workers < 2:
        yield from _here(work)
        return
    context = multiprocessing.get_context("spawn")
    alive, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(alive, work.initializer, work.arguments)
    )
    pending: deque[Future[R]] = deque()
    try:
        for item in work.items:
            with _interrupts_wait():  # submit starts workers as long as there are too few
                pending.append(pool.submit(work.function, item))
            if len(pending) >= 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        pool.shutdown(wait=True)
    except BrokenProcessPool as error:
        raise FacerecError(
            "A worker process was killed, most likely for lack of memory; set FACEREC_WORKERS lower and run "
            'again. (A script of your own must start work below `if __name__ == "__main__":`.)'
        ) from error
    finally:
        ours.close()
        pool.shutdown(wait=True, cancel_futures=True)
        alive.close()


def map_in_threads(
    function: Callable[[T], R], items: Iterable[T], ahead: int = 2, initializer: Callable[[], object] | None = None
) -> Iterator[R]:
    """Yield function(item) for every item, in order, computed in threads of this process that run a little ahead.

    For work that releases Python's lock. There are as many threads as FACEREC_WORKERS; `ahead` results more are kept.

    >>> list(map_in_threads(abs, [3, -4]))
    [3, 4]
    """
    threads = worker_count()
    pool = ThreadPoolExecutor(threads, initializer=initializer)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= threads + ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_threads(work: Work[T, R], workers: int | None) -> Iterator[R]:
    yield from map_in_threads(work.prepare(), work.items, 0)


_LOCAL: dict[str, Executor] = {"processes": _in_processes, "threads": _in_threads, "here": _here}

EXECUTORS: dict[str, Executor | str] = {
    "processes": _in_processes,
    "ray": "facerec.core.ray_executor:map_on_ray",  # as few machines have Ray
}
"""Executors, or the modules they are in, by the names that FACEREC_EXECUTOR can have."""
