"""Checkpoints, and delayed interrupts: a stopped training resumes to the same bits as one that never stopped.

Checkpoints are in the scratch folder (machine setting FACEREC_SCRATCH), outside DVC, below a digest of the faces, the
recipe and the code, so that a checkpoint of another training is never used. One is written at the end of every epoch
and every FACEREC_CHECKPOINT_SECONDS (300) in between; when it is written does not change any result. The newest two
are kept. Each is written atomically, and a damaged one is skipped.
"""

from __future__ import annotations

import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from facerec import distributed
from facerec.core import ParamsError, atomic_file, local_setting, read_tensors

Content = dict[str, Any]
"""Plain values and tensors only, so that reading them runs no code."""


class Checkpoints:
    """The newest two checkpoints, in `folder`; `due` every `seconds` (by default the machine setting)."""

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        self.folder = folder
        self._seconds = _setting() if seconds is None else seconds
        self._newest, self._previous = folder / "newest.pt", folder / "previous.pt"
        self._last = time.monotonic()

    @property
    def others(self) -> bool:
        """Whether there are checkpoints of trainings with other faces, recipes or code."""
        return any(path.parent != self.folder for path in self.folder.parent.glob("*/*.pt"))

    @property
    def due(self) -> bool:
        """Whether it is time to write the next one."""
        return time.monotonic() - self._last >= self._seconds

    def read(self) -> Content | None:
        """The newest undamaged checkpoint, on the CPU; None if there is none."""
        return next(filter(None, map(_read, (self._newest, self._previous))), None)

    def write(self, content: Content) -> None:
        """Write a new checkpoint, on rank 0, and keep the one before. Raises OSError if the disk is full."""
        self._last = time.monotonic()
        if distributed.rank() > 0:
            return
        buffer = io.BytesIO()  # torch itself raises no OSError on a full disk
        torch.save(content, buffer)
        with atomic_file(self._newest) as temporary:
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                self._newest.replace(self._previous)


def _read(path: Path) -> Content | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch itself does not verify checksums
                return None
        content: Content = read_tensors(path)
    except (FileNotFoundError, zipfile.BadZipFile):
        return None
    return content


def _setting() -> float:
    value = local_setting("checkpoint_seconds", "300")
    try:
        return float(value)
    except ValueError:
        raise ParamsError(f"FACEREC_CHECKPOINT_SECONDS must be a number, not {value!r}.") from None


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def delay_interrupts() -> Iterator[Callable[[], bool]]:
    """Hold back Ctrl-C and SIGTERM; yields a function that says whether one has arrived.

    A second signal interrupts at once. Raises KeyboardInterrupt at the end of the block if one has arrived. It has no
    effect outside the main thread, which alone receives signals.
    """
    received: list[int] = []

    def record(signum: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signum)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, record) for number in _SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    if received:
        raise KeyboardInterrupt
