"""Map a function over items in local processes; the result never depends on how many there are.

How many workers run is a fact of the machine, so it comes from the environment variable
FACEREC_WORKERS or from `workers` in the git-ignored facerec.local.toml, never from params.yaml.
"""

from __future__ import annotations

import multiprocessing
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from facerec.errors import FacerecError, ParamsError

T = TypeVar("T")
R = TypeVar("R")


def local_setting(name: str, default: str) -> str:
    """Machine setting `name`: environment FACEREC_<NAME>, then facerec.local.toml, then `default`."""
    from_environment = os.environ.get(f"FACEREC_{name.upper()}")
    if from_environment:
        return from_environment
    file = Path("facerec.local.toml")
    if not file.is_file():
        return default
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8")).get(name, default))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParamsError(f"{file} is not valid TOML ({error}); correct or delete it.") from error


def worker_count() -> int:
    """Processes to use: FACEREC_WORKERS, facerec.local.toml, or one a usable CPU core."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    value = local_setting("workers", str(usable))
    if not value.isdigit() or int(value) < 1:
        raise ParamsError(f"FACEREC_WORKERS must be a positive number, not {value!r}.")
    return int(value)


def _start_worker(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    import signal

    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)
    if initializer is not None:
        initializer(*arguments)


def map_ordered(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int | None = None,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Yield function(item) for every item, in order, computed by `workers` processes.

    `function` must be picklable and pure. At most a few results a worker are held at once, so
    memory does not grow with the number of items. The first exception of a worker is raised here
    and the remaining work is cancelled.
    """
    workers = min(worker_count() if workers is None else workers, max(1, len(items)))
    if workers == 1:
        if initializer is not None:
            initializer(*arguments)
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(initializer, arguments),
    )
    pending: list[Future[R]] = []
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= 4 * workers:
                yield pending.pop(0).result()
        while pending:
            yield pending.pop(0).result()
    except BrokenProcessPool as error:
        raise FacerecError(
            "A worker process was killed, most likely for lack of memory; set FACEREC_WORKERS lower and run again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
