"""Checkpoints, and delayed interrupts: a stopped training resumes to the same bits as one that never stopped.

Checkpoints are in the scratch folder (machine setting FACEREC_SCRATCH), outside DVC, below a digest of the faces, the
recipe and the code, so that a checkpoint of another training is never used. One is written at the end of every epoch
and every FACEREC_CHECKPOINT_SECONDS (300) in between; when it is written does not change any result. The newest two
are kept. Each file is written atomically; a checkpoint that is damaged, or lacks the file of a process, is skipped.
"""

from __future__ import annotations

import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from facerec import distributed
from facerec.core import ParamsError, atomic_file, local_setting, read_tensors

Content = dict[str, Any]
"""Plain values and tensors only, so that reading them runs no code."""


class Checkpoints:
    """The newest two checkpoints, in `folder`; `due` every `seconds` (by default the machine setting).

    Every process writes a file of its own: what is split over the processes by classes is never in one place, and any
    number of processes can read it. A thread writes, so that training goes on meanwhile.
    """

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        self.folder = folder
        self._seconds = _setting() if seconds is None else seconds
        self._last = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._writing: Future[None] | None = None

    @property
    def others(self) -> bool:
        """Whether there are checkpoints of trainings with other faces, recipes or code."""
        return any(path.parent != self.folder for path in self.folder.parent.glob("*/*.pt"))

    @property
    def due(self) -> bool:
        """Whether it is time to write the next one."""
        return time.monotonic() - self._last >= self._seconds

    def read(self) -> Content | None:
        """The newest undamaged checkpoint, with the rows of this process, on the CPU; None if there is none.

        All processes must call it; rank 0 chooses, and None elsewhere means that the files cannot be seen there.
        """
        self.finish()
        chosen = next(filter(_are_sound, self._complete()), []) if distributed.rank() == 0 else []
        paths = [self.folder / name for name in distributed.broadcast_text("/".join(p.name for p in chosen)).split("/")]
        return _joined(paths) if all(path.is_file() for path in paths) else None

    def write(self, content: Content) -> None:
        """Begin to write a new checkpoint of a copy of `content`, and keep the one before.

        Raises OSError if the one before could not be written, as on a full disk; see `finish`.
        """
        self._last = time.monotonic()
        self.finish()
        if distributed.rank() > 0:
            content = {"step": content["step"], "rows": content["rows"]}
        path = self.folder / _file_name(content["step"], distributed.rank(), distributed.world())
        self._writing = self._thread.submit(self._write, path, _copied(content), distributed.rank())

    def finish(self) -> None:
        """Wait until the last checkpoint is written; OSError if it could not be."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, path: Path, content: Content, rank: int) -> None:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # torch's own, of what the file said on a full disk
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        if rank == 0 and len(complete := self._complete()) > 1:
            for old in self.folder.glob("*.pt"):
                if old.name < complete[1][0].name:
                    old.unlink(missing_ok=True)

    def _complete(self) -> list[list[Path]]:
        """The files of each checkpoint of which none is missing, newest first."""
        found = {path.name for path in self.folder.glob("*.pt")}
        complete = []
        for first in sorted((name for name in found if "_0_of_" in name), reverse=True):
            step, _, world = first.removesuffix(".pt").partition("_0_of_")
            names = [_file_name(int(step), rank, int(world)) for rank in range(int(world))]
            if found.issuperset(names):
                complete.append([self.folder / name for name in names])
        return complete


def _file_name(step: int, rank: int, world: int) -> str:
    return f"{step:010d}_{rank}_of_{world}.pt"


def _are_sound(paths: list[Path]) -> bool:
    """Whether all files have the bytes that were written; torch itself does not verify checksums."""
    try:
        for path in paths:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    return False
    except (FileNotFoundError, zipfile.BadZipFile):
        return False
    return True


def _joined(paths: list[Path]) -> Content:
    """The first file's content with the rows of this process, out of those of all files."""
    parts: list[Content] = [read_tensors(path, mmap=True) for path in paths]
    rows = [part.get("rows", {}) for part in parts]
    start, stop = distributed.rows_of(sum(len(each["weight"]) for each in rows) if rows[0] else 0)
    own = {name: _cut([each[name] for each in rows], start, stop) for name in rows[0]}
    joined: Content = _copied({**parts[0], **({"rows": own} if own else {})})
    return joined


def _cut(parts: list[Tensor], start: int, stop: int) -> Tensor:
    """Rows start .. stop of the tensors one below the other; no others are read."""
    starts = [0, *accumulate(map(len, parts))]
    return torch.cat([part[max(0, start - at) : max(0, stop - at)] for part, at in zip(parts, starts, strict=False)])


def _copied(value: Any) -> Any:
    """Nested dictionaries and lists with copies of all tensors, on the CPU."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value


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
