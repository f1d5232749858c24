"""Judges what one input did to its reader, inside the child process that may die of it."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from facerec.core import FacerecError

SECONDS = 10.0
"""A reader that computes longer over one input hangs; processor time, so that a busy machine accuses nobody."""
PATIENCE = 180.0
"""Nor may it wait longer than this, in seconds of the clock."""

_CODE = {
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "socket.bind", "ctypes.dlopen",
}  # fmt: skip
_CHANGES = {"os.link", "os.symlink", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Guard:
    """Limits this process for good: memory, time an input, no code from files, no writing outside `box`."""

    def __init__(self, box: Path, memory: int) -> None:
        self._box, self._memory = os.path.realpath(box), memory
        self._violations: list[str] = []
        self._watching = False
        tempfile.tempdir = self._box
        os.chdir(self._box)
        limit = _address_space() + 2 * memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for limit_passed in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(limit_passed, signal.SIG_DFL)  # ends the process even inside C code
        sys.addaudithook(self._audit)

    def judge(self, read: Callable[[], object]) -> tuple[bool, str]:
        """Whether `read` took its input, and what is wrong with how it dealt with it ("" if nothing)."""
        self._violations.clear()
        before = _peak()
        _set_timers(SECONDS, PATIENCE)
        self._watching = True
        taken, wrong = False, ""
        try:
            read()
            taken = True
        except FacerecError as error:
            wrong = _impolite(error)
        except BaseException:
            wrong = traceback.format_exc()
        finally:
            self._watching = False
            _set_timers(0, 0)
        if _peak() - before > self._memory:
            wrong = f"it took {(_peak() - before) >> 20} MB of memory"
        return taken, "; ".join(self._violations) or wrong

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in _CODE:
            self._violate(f"code was run: {event} {arguments!r:.200}")
        elif (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING) or event in _CHANGES:
            self._check_place(event, arguments[0])

    def _check_place(self, event: str, place: Any) -> None:
        inside = isinstance(place, int) or f"{os.path.realpath(os.fsdecode(place))}/".startswith(f"{self._box}/")
        if not inside:
            self._violate(f"a file outside its folder was touched: {event} {place!r:.200}")

    def _violate(self, what: str) -> None:
        self._violations.append(what)
        raise PermissionError(what)


def _impolite(error: FacerecError) -> str:
    """What a refusal lacks: it is one line, and no MemoryError is behind it."""
    if len(str(error).splitlines()) != 1:
        return f"its message is not one line: {str(error)!r:.500}"
    hungry = any(isinstance(cause, MemoryError) for cause in _causes(error))
    return f"it asked for more memory than there is: {error}" if hungry else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _set_timers(computing: float, waiting: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, computing)
    signal.setitimer(signal.ITIMER_REAL, waiting)
