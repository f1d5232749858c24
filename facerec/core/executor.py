"""Map a function over items in local processes; the result never depends on how many there are.

How many workers run is a fact of the machine, so it comes from the environment variable
FACEREC_WORKERS or from `workers` in the git-ignored facerec.local.toml, never from params.yaml. Such facts, and the
folder .facerec, are also those of an experiment that DVC runs in a folder of its own (see `home`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from facerec.core.errors import FacerecError, ParamsError

T = TypeVar("T")
R = TypeVar("R")


def home() -> Path:
    """Where the facts of the machine lie: here or, for an experiment of DVC's queue, in the project it belongs to.

    `dvc queue start` and `dvc exp run --temp` work in a copy of what git knows below .dvc/tmp/exps/.
    """
    here = Path.cwd()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return Path()


def local_path(name: str, default: str) -> Path:
    """Machine setting `name` as a path; a relative one starts at `home`."""
    return home() / local_setting(name, default)


def local_setting(name: str, default: str) -> str:
    """Machine setting `name`: environment FACEREC_<NAME>, then facerec.local.toml, then `default`."""
    from_environment = os.environ.get(f"FACEREC_{name.upper()}")
    if from_environment:
        return from_environment
    file = home() / "facerec.local.toml"
    if not file.is_file():
        return default
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8")).get(name, default))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParamsError(f"{file} is not valid TOML ({error}); correct or delete it.") from error


def leads() -> bool:
    """Whether this process speaks for the run: true but for the second and further processes of torchrun."""
    return os.environ.get("RANK", "0") == "0"


def usable_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count() -> int:
    """Processes to use: FACEREC_WORKERS, facerec.local.toml, or one a usable CPU core; torchrun's share them."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "")
    share = usable_cores() // int(beside) if beside.isdigit() and int(beside) else usable_cores()
    value = local_setting("workers", str(max(1, share)))
    if not value.isdigit() or int(value) < 1:
        raise ParamsError(f"FACEREC_WORKERS must be a positive number, not {value!r}.")
    return int(value)


def _start_worker(
    alive: Connection, initializer: Callable[..., None] | None, arguments: tuple[Any, ...]
) -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    cv2.setNumThreads(1)
    if initializer is not None:
        initializer(*arguments)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait until after the block. Processes started in it are born deaf to it, until they say otherwise.

    Without this a Ctrl-C that meets the interpreter of a worker starting ends in its traceback on the screen.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(alive: Connection) -> None:
    """End this process when the other end of the pipe closes: the parent gave up or was killed."""
    with suppress(OSError):
        alive.poll(None)
    os._exit(1)


def map_ordered(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int | None = None,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Yield function(item) for every item, in order, computed by `workers` processes.

    `function` must be picklable and pure. At most a few results a worker are held at once, so
    memory does not grow with the number of items. The first exception of a worker is raised here;
    then, and on Ctrl-C, the workers are ended in the middle of what they do, so what they write to
    disk must be atomic. A killed parent takes its workers with it.
    """
    workers = min(worker_count() if workers is None else workers, max(1, len(items)))
    if workers == 1:
        if initializer is not None:
            initializer(*arguments)
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    alive, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(alive, initializer, arguments)
    )
    pending: list[Future[R]] = []
    try:
        for item in items:
            with _interrupts_wait():  # submit starts workers as long as there are too few
                pending.append(pool.submit(function, item))
            if len(pending) >= 4 * workers:
                yield pending.pop(0).result()
        while pending:
            yield pending.pop(0).result()
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
