"""Finished parts of long work, kept so that an interrupted run continues where it stopped.

The parts are Arrow tables in `<scratch>/<what>/<key>/`, outside DVC (machine setting FACEREC_SCRATCH, default
.facerec/scratch). The key is a digest of everything that decides their bytes: the content of the inputs, the
parameters, this package's code and the libraries below it; so a part is either exactly what a new run would
make or it is not found. Each part carries its own digest: one that was damaged or cut short is made again.

A run that ends well removes its folder. What others left is reused by the same work, or removed after
KEPT_DAYS. Runs of the same work at the same time share the parts (each appears at once and whole) and a lock,
held by the kernel and so never left behind; the last run to end removes the folder.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from facerec.core import digests
from facerec.core.errors import FacerecError
from facerec.core.executor import map_ordered
from facerec.core.settings import local_path

T = TypeVar("T")

KEPT_DAYS = 14
"""Days after which the parts of a run that never went on are removed."""

_LIBRARIES = ("mtcnn", "numpy", "opencv-contrib-python-headless", "pillow", "pyarrow", "retina-face", "torch")
_DIGEST_BYTES = 32  # SHA-256


class Parts:
    """The parts of one piece of work: part i is the table made of item i.

    `kept`: numbers of the parts that were there before `map` began.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: frozenset[int] = frozenset()

    def map(
        self,
        function: Callable[[T], pa.Table],
        items: Sequence[T],
        workers: int | None = None,
        initializer: Callable[..., None] | None = None,
        arguments: tuple[Any, ...] = (),
    ) -> Iterator[pa.Table]:
        """Yield function(item) for every item, in order; what an earlier run finished is not made again.

        Otherwise as `execution.map_ordered`. A worker writes its part itself, as soon as it is made.
        """
        missing = [number for number in range(len(items)) if self.read(number) is None]
        make = partial(_make, self.folder, function)
        made = map_ordered(make, [(n, items[n]) for n in missing], workers, initializer, arguments)
        self.kept = frozenset(range(len(items))).difference(missing)
        for number in range(len(items)):
            if number not in self.kept:
                next(made)
            part = self.read(number)
            if part is None:
                raise FacerecError(f"{self._file(number)} was changed by something else; run again.")
            yield part

    def read(self, number: int) -> pa.Table | None:
        """Part `number`, None where it is missing or damaged."""
        try:
            data = self._file(number).read_bytes()
        except FileNotFoundError:
            return None
        digest, body = data[:_DIGEST_BYTES], memoryview(data)[_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        return pa.ipc.open_stream(pa.py_buffer(body)).read_all()

    def write(self, number: int, part: pa.Table) -> None:
        """Keep part `number`; it appears at once and whole."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        body = sink.getvalue()
        # One name a process; what kill -9 leaves of it goes with the folder.
        temporary = self._file(number).with_suffix(f".{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(hashlib.sha256(body).digest())
                file.write(body)
            temporary.replace(self._file(number))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:07d}.part"


def _make(folder: Path, function: Callable[[T], pa.Table], job: tuple[int, T]) -> None:
    """Make and keep one part, in a worker process."""
    number, item = job
    Parts(folder).write(number, function(item))


@contextmanager
def parts(what: str, inputs: Mapping[str, Any]) -> Iterator[Parts]:
    """The parts of the work `what` on `inputs`, which say everything that decides its bytes.

    A Path among them stands for the content of the file or folder, other values (mappings, sequences,
    dataclasses of numbers and strings) for themselves. When the block ends without an exception the work is
    done and the parts are removed; until then they stay, whatever happens to the process.
    """
    root = local_path("scratch", ".facerec/scratch") / what
    folder = root / key(inputs)
    _sweep(root)
    lock = _locked(folder)
    try:
        yield Parts(folder)
        _remove(folder, lock)
        with suppress(OSError):  # parts of other work are in it
            root.rmdir() if root.is_absolute() else os.removedirs(root)
    finally:
        os.close(lock)


def key(inputs: Mapping[str, Any]) -> str:
    """Digest of the inputs and of the code that works on them; see `parts`."""
    described = json.dumps({"code": _code(), "inputs": inputs}, sort_keys=True, default=_describe)
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _describe(value: Any) -> Any:
    """What JSON cannot say: dataclasses, and paths by their content."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: dataclasses.asdict(value)}
    if isinstance(value, Path):
        return {"content": digests.of_files(value)}
    raise TypeError(f"{type(value).__name__} cannot be part of a scratch key")


@cache
def _code() -> dict[str, Any]:
    """All code of this package (rather redo than mix two versions) and the libraries that decide bytes."""
    package = Path(__file__).parents[1]
    sources = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        sources.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes() + b"\0")
    return {"sources": sources.hexdigest(), "libraries": [_version(name) for name in _LIBRARIES]}


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return name


def _locked(folder: Path) -> int:
    """Make `folder` and hold its lock together with other runs of the same work; returns the descriptor."""
    tries = 100
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except (FileExistsError, FileNotFoundError):
            tries -= 1  # a run that ended removed a folder in the midst of this, or nothing can be made there
            if not tries:
                raise
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), (folder / "lock").stat()):
                return lock
        os.close(lock)  # a run that ended removed the folder while this one waited


def _remove(folder: Path, lock: int) -> None:
    """Remove `folder` unless another run holds its lock; moved away first, so that nobody sees half of it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        removed = folder.with_name(f".{folder.name}.{os.getpid()}")
        folder.rename(removed)
    except OSError:
        return
    shutil.rmtree(removed, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what is older than KEPT_DAYS, and what a killed process was removing."""
    for folder in root.glob("*"):
        with suppress(OSError):
            if folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
                lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    _remove(folder, lock)
                finally:
                    os.close(lock)
