"""A process that is killed as by `kill -9` just before or after one of its renames."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any


def _die_at(work: Callable[[], Any], moment: int) -> None:
    """Do the work, but be killed at the moment: 2n is before and 2n + 1 after rename n."""
    moments = count()

    def watched(rename: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            if next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*arguments, **options)
            if next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        return call

    os.replace, os.rename = watched(os.replace), watched(os.rename)
    work()


def kill_at_every_rename(prepare: Callable[[], Any], work: Callable[[], Any], check: Callable[[], Any]) -> int:
    """Prepare, have the work killed and check, for every moment of it; how many moments there are."""
    for moment in count():
        prepare()
        process = multiprocessing.get_context("fork").Process(target=_die_at, args=(work, moment))
        process.start()
        process.join(60)
        check()
        if process.exitcode != -signal.SIGKILL:
            assert process.exitcode == 0
            return moment
    raise AssertionError
