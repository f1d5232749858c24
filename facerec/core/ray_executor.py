"""Work on a Ray cluster, for data that outgrow one machine: FACEREC_EXECUTOR=ray, FACEREC_RAY_ADDRESS=HOST:PORT.

An actor is a worker: it is prepared once, which builds its detector or network, and then does one item after another.
All nodes must see the folder of this process and FACEREC_SCRATCH under the same paths, and have the same code, packages
and arithmetic; an actor refuses work otherwise. docs/cluster.md shows how to start a cluster.

An item must be safe to do twice. Where a node fails, Ray starts its actors elsewhere (`max_restarts`). Their items go
back to this process, which gives them to whoever is free. Ray would rather keep them for the actor
(`max_task_retries`), and on a cluster that is full they would wait for ever.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from facerec.core.console import note
from facerec.core.errors import FacerecError, ParamsError
from facerec.core.executor import Work
from facerec.core.fingerprint import differences, fingerprint
from facerec.core.portable import VARIABLES
from facerec.core.settings import local_path, local_setting, worker_count

T = TypeVar("T")
R = TypeVar("R")

_IN_HAND = 2  # items an actor has, so that it need not wait for this process between two
_WINDOW = 4  # items an actor that may be done or begun before the first of them is taken
_RESTARTS = 10  # of an actor
_LOSSES = 3  # actors that may end while they do one item
_PATIENCE = 60.0  # seconds without any worker before we say what we wait for
_OWN = ("FACEREC_EXECUTOR", "FACEREC_RAY_ADDRESS", "FACEREC_WORKERS", "FACEREC_TORCHRUN", "FACEREC_DEVICE")


class ClusterError(FacerecError):
    """The cluster cannot be reached, or its nodes cannot do this work."""


def map_on_ray(work: Work[T, R], workers: int | None) -> Iterator[R]:
    """Yield work.function(item) for every item, in order, computed by actors of the cluster.

    There are as many as `workers` or FACEREC_WORKERS says, by default one for each CPU of the cluster or, for work that
    needs GPUs, for each of those. They work while there are fewer, so a cluster may grow up to that number.

    Raises:
        ParamsError: FACEREC_RAY_ADDRESS names no cluster.
        ClusterError: the cluster does not answer, a node is not like this machine, or an item ends every actor.
    """
    with _connected() as ray:
        wanted = workers or int(local_setting("workers", "0")) or _room(ray, work.gpus)
        crew = _Crew(ray, work, max(1, min(wanted, len(work.items))))
        try:
            yield from crew.results()
        finally:
            crew.dismiss()


@contextmanager
def _connected() -> Iterator[Any]:
    """The module ray, connected to the cluster; a connection that the caller has made before stays."""
    address = local_setting("ray_address", "")
    if address != "local":
        _check_address(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anyone
    import ray

    if ray.is_initialized():
        yield ray
        return
    options = {"num_cpus": worker_count(), "include_dashboard": False} if address == "local" else {}
    try:
        with _own_signals():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
        ray._private.worker._worker_logs_enabled = False  # of lost nodes, on standard output, where results go
    except Exception as error:  # of many classes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClusterError(
            f"The Ray cluster at {address} does not take this process ({reason}); see with `ray status` that it runs "
            "and that this machine has its version and its token."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise unless something answers at HOST:PORT; Ray would try for many minutes."""
    host, _, port = address.rpartition(":")
    if not re.fullmatch("[^:/]+", host) or not port.isdigit():
        raise ParamsError(
            f"FACEREC_RAY_ADDRESS is {address!r}; name the head of the cluster as HOST:PORT, from one of its nodes, or "
            "local, which starts a cluster of this machine only."
        )
    try:
        socket.create_connection((host, int(port)), timeout=20).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"No Ray cluster answers at {address} ({error}); see with `ray status` that it runs."
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our handlers of signals, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _room(ray: Any, gpus: int) -> int:
    resources = ray.cluster_resources()
    return int(resources.get("GPU", 0) / gpus) if gpus else int(resources.get("CPU", 0))


class _Worker:
    """The actor: prepares itself once for the work, then does its items."""

    def __init__(self) -> None:
        self._function: Any = None

    def start(self, folder: str, token: str, device: str, expected: dict[str, str], packed: bytes) -> None:
        """Unpack the work and prepare for it, if this node sees the files of the driver and computes as it does."""
        import cv2
        from ray import cloudpickle

        node = socket.gethostname()
        try:
            os.chdir(folder)
        except OSError as error:
            raise ClusterError(f"{node} does not see {folder}; start all nodes on one shared file system.") from error
        if not Path(token).exists():
            raise ClusterError(
                f"{node} does not see {Path(token).parent} of this machine; put the project and FACEREC_SCRATCH on a "
                "file system that all nodes share, under the same paths."
            )
        other = differences(expected, fingerprint(device))
        if other:
            raise ClusterError(f"{node} would compute otherwise: {', '.join(other)}; install the same there.")
        cv2.setNumThreads(1)
        self._function = cloudpickle.loads(packed).prepare()

    def work(self, item: Any) -> tuple[bool, Any]:
        """Whether this actor was started, which one that Ray has restarted was not, and the result."""
        return self._function is not None, self._function and self._function(item)


class _Hand:
    """An actor as the driver sees it: its call of `start` until that ends, then the items it has, in order."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.start: Any = None
        self.ready = False
        self.again = 0.0  # when to try `start` again
        self.items: dict[Any, int] = {}


class _Crew:
    """The actors, the items they have in hand, and the results that wait for their turn."""

    def __init__(self, ray: Any, work: Work[Any, Any], count: int) -> None:
        self._ray, self._items = ray, work.items
        scratch = local_path("scratch", ".facerec/scratch").absolute()
        self._token = scratch / f".{socket.gethostname()}-{uuid.uuid4().hex}"
        device = "cuda" if work.gpus else "cpu"
        plain = Work(work.function, (), work.initializer, work.arguments, work.gpus)
        packed = ray.cloudpickle.dumps(plain)
        self._start = (str(Path.cwd()), str(self._token), device, fingerprint(device), packed)
        self._token.parent.mkdir(parents=True, exist_ok=True)
        self._token.touch()
        kind = ray.remote(_Worker).options(
            num_cpus=1, num_gpus=work.gpus, max_restarts=_RESTARTS, max_task_retries=0,
            scheduling_strategy="SPREAD", runtime_env={"env_vars": _environment(device)},
        )  # fmt: skip
        self._hands = [_Hand(kind.remote()) for _ in range(count)]
        self._window = _WINDOW * count
        self._next, self._again = 0, deque[int]()
        self._losses: dict[int, int] = {}
        self._done: dict[int, Any] = {}
        self._since = time.monotonic()

    def results(self) -> Iterator[Any]:
        """The results in the order of the items."""
        for wanted in range(len(self._items)):
            self._collect(0)
            self._hand_out(wanted)
            while wanted not in self._done:
                self._collect(1)
                self._hand_out(wanted)
            yield self._done.pop(wanted)

    def dismiss(self) -> None:
        """End the actors, also in the middle of their work."""
        for hand in self._hands:
            with suppress(Exception):  # one that is dead already, or the cluster
                self._ray.kill(hand.actor)
        self._token.unlink(missing_ok=True)

    def _hand_out(self, wanted: int) -> None:
        """Give items to the ready actors that have fewest, up to a window behind the `wanted` one."""
        for level in range(_IN_HAND):
            for hand in self._hands:
                while hand.ready and len(hand.items) == level:
                    number = self._take(wanted)
                    if number is None:
                        return
                    hand.items[hand.actor.work.remote(self._items[number])] = number

    def _take(self, wanted: int) -> int | None:
        """The number of the next item to give out, those of lost actors first; None where it is too early."""
        if self._again:
            return self._again.popleft()
        if self._next >= min(len(self._items), wanted + self._window):
            return None
        self._next += 1
        return self._next - 1

    def _collect(self, seconds: float) -> None:
        """Take what the actors have finished; wait up to so long for the first of it."""
        now = time.monotonic()
        for hand in self._hands:
            if not hand.ready and hand.start is None and now >= hand.again:
                hand.start = hand.actor.start.remote(*self._start)
        waited = {hand.start: hand for hand in self._hands if hand.start is not None}
        waited |= {call: hand for hand in self._hands for call in hand.items}
        self._say_what_is_missing(now)
        calls, wait = list(waited), self._ray.wait
        if not calls:
            time.sleep(seconds)
        elif wait(calls, num_returns=1, timeout=seconds)[0]:
            for call in wait(calls, num_returns=len(calls), timeout=0)[0]:
                self._finish(waited[call], call)

    def _finish(self, hand: _Hand, call: Any) -> None:
        """Take the end of one call: a prepared actor, a result, an error of the work, or the loss of the actor."""
        errors = self._ray.exceptions
        if call is not hand.start and call not in hand.items:
            return  # given to another meanwhile
        try:
            answer = self._ray.get(call)
        except errors.RayTaskError as error:
            raise (error.cause or error) from None
        except errors.ActorDiedError as error:
            self._hands.remove(hand)
            self._lose(hand)
            if not self._hands:
                why = str(error).strip().splitlines()[-1]
                raise ClusterError(f"All workers on the Ray cluster have ended ({why}); see `ray status`.") from error
        except errors.RayError:
            self._lose(hand)
        else:
            if call is hand.start:
                hand.start, hand.ready = None, True
            elif answer[0]:
                self._done[hand.items.pop(call)] = answer[1]
            else:
                self._lose(hand)

    def _lose(self, hand: _Hand) -> None:
        """Take back the items of an actor that has ended, of which it was doing the first, and start it anew."""
        numbers = list(hand.items.values())
        for number in numbers[:1]:
            self._losses[number] = self._losses.get(number, 0) + 1
            if self._losses[number] == _LOSSES:
                raise ClusterError(
                    f"{_LOSSES} workers ended while they did item {number} of {len(self._items)}, most likely for lack of "
                    "memory; start fewer workers a node, or see the logs of Ray."
                )
        self._again.extendleft(reversed(numbers))
        hand.items, hand.start, hand.ready, hand.again = {}, None, False, time.monotonic() + 1

    def _say_what_is_missing(self, now: float) -> None:
        if any(hand.ready for hand in self._hands):
            self._since = now
        elif now - self._since > _PATIENCE:
            note("no worker has room on the Ray cluster yet; `ray status` says what it lacks")
            self._since = now


def _environment(device: str) -> dict[str, str]:
    """Variables of an actor: settings of this process, but as one worker and on the device it was given.

    Modules that are not installed are looked for where this process does.
    """
    names = [name for name in os.environ if name.startswith("FACEREC_") and name not in _OWN]
    kept = {name: os.environ[name] for name in [*names, *VARIABLES] if name in os.environ}
    installed = (sys.prefix, sys.base_prefix)
    modules = [str(Path(place).absolute()) for place in sys.path if not place.startswith(installed)]
    alone = {"FACEREC_WORKERS": "1", "FACEREC_EXECUTOR": "processes", "FACEREC_DEVICE": device}
    return {**kept, **alone, "PYTHONPATH": os.pathsep.join(modules)}
