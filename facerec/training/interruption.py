"""Ctrl-C and SIGTERM wait for the end of a training step, so that what is written then is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def put_off() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether somebody asked to stop; who asks twice is obeyed at once.

    Raises KeyboardInterrupt at the end of the block where nobody looked. Outside the main thread, which alone
    gets signals, it changes nothing.
    """
    asked: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signum)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    if asked:
        raise KeyboardInterrupt
