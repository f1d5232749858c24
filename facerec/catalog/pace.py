"""How much time, room and patience a download gets, and a watch over each attempt.

A server that falls silent is given up after `timeout`. One that drips is never silent: a byte now and then, headers or
chunks that do not end reach neither a timeout nor the code that reads the body. So a thread watches the pace of an
attempt and cuts its connections, which ends whatever waits for them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from facerec.core import local_number


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to try, and how much to take.

    Attributes:
        attempts: without progress worth the name, which is what `rate` brings in `window`.
        pause: seconds before the second attempt, doubled before each following one.
        timeout: seconds without an answer.
        rate: bytes a second that must arrive at least, averaged over `window` seconds.
        window: see `rate`.
        total: seconds for all attempts together.
        largest: bytes of a file whose size is not known beforehand.
        spare: bytes of the disk that stay free.
    """

    attempts: int = 4
    pause: float = 1.0
    timeout: float = 30.0
    rate: float = 1e3
    window: float = 60.0
    total: float = 86_400.0
    largest: float = 300e9
    spare: float = 1e9

    @classmethod
    def of_machine(cls) -> RetryPolicy:
        """With the limits of this machine: FACEREC_DOWNLOAD_RATE, _HOURS and _GB, FACEREC_SPARE_GB."""
        return cls(
            rate=1e3 * local_number("download_rate", cls.rate / 1e3),
            total=3600 * local_number("download_hours", cls.total / 3600),
            largest=1e9 * local_number("download_gb", cls.largest / 1e9),
            spare=1e9 * local_number("spare_gb", cls.spare / 1e9),
        )


class Watch:
    """The watch over one attempt; see `watched`.

    Attributes:
        received: bytes of the body so far, counted by who reads it.
        verdict: why the connections were cut; "" while all is well.
    """

    def __init__(self, policy: RetryPolicy, deadline: float) -> None:
        self.received = 0
        self.verdict = ""
        self._policy, self._deadline = policy, deadline
        self._over = threading.Event()
        self._sockets: list[socket.socket] = []

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """For the extension `trace` of httpx: note each connection, as a handle that outlives TLS's wrapping."""
        if event == "connection.connect_tcp.complete":
            self._sockets.append(info["return_value"].get_extra_info("socket").dup())

    def keep(self) -> None:
        """Watch until `end` is called."""
        before = 0
        while not self._over.wait(max(0.0, min(self._policy.window, self._deadline - time.monotonic()))):
            self.verdict = self._judge(self.received - before)
            before = self.received
            while self.verdict and not self._over.wait(0.05):  # again, since a connection may just be opening
                for each in list(self._sockets):
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Stop watching."""
        self._over.set()
        for each in self._sockets:
            each.close()

    def _judge(self, arrived: int) -> str:
        if time.monotonic() >= self._deadline:
            return "the time is over"
        if arrived < self._policy.rate * self._policy.window:
            return f"the server sends less than {self._policy.rate / 1e3:g} kB a second (FACEREC_DOWNLOAD_RATE)"
        return ""


@contextmanager
def watched(policy: RetryPolicy, deadline: float) -> Iterator[Watch]:
    """Watch over the block, which gives `Watch.trace` to its request and counts what it receives."""
    watch = Watch(policy, deadline)
    thread = threading.Thread(target=watch.keep, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
