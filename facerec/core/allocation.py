"""What a process spares itself: returning memory that it needs again, imports of no use, and looking for garbage."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt, from its malloc.h
_LARGEST = 32 * 2**20  # bytes of the largest block that glibc reuses
_KEPT = 2 * _LARGEST  # free bytes that glibc keeps at most, once it has seen such blocks
_COLLECTED = 10_000  # new objects before Python looks for cycles; 700 by default
_inside: list[None] = []  # one for each block of `reused_memory` that is open, in any thread


@contextmanager
def reused_memory() -> Iterator[None]:
    """Keep freed memory for the next allocation inside the block, and return it to the system at its end.

    A step of training and a batch of embeddings allocate and free the same tensors each time. By default, glibc returns
    most of that memory to the system, which then clears every page again. Blocks may lie inside each other. Does nothing
    with another C library.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST)
    library.mallopt(_TRIM_THRESHOLD, -1)  # never
    _inside.append(None)
    try:
        yield
    finally:
        _inside.pop()
        if not _inside:
            library.mallopt(_TRIM_THRESHOLD, _KEPT)
            library.malloc_trim(0)


def collect_rarely() -> None:
    """Look for unreachable cycles of objects less often, and never at exit, for our own processes, which make few.

    Importing torch makes hundreds of thousands of objects that all stay, and each look goes through many of them: a
    twelfth of the CPU time of that import, and at exit a quarter of it.
    """
    gc.set_threshold(_COLLECTED, 10, 10)
    atexit.register(gc.freeze)


class _Refused:
    """Where `pandas` lies, for who only asks, with a loader that does not load it; for sys.meta_path."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        found = PathFinder.find_spec(name, path) if name == "pandas" else None
        if found is not None:
            found.loader = cls()  # type: ignore[assignment]
        return found

    def create_module(self, spec: ModuleSpec) -> None:
        """See importlib.abc.Loader."""

    def exec_module(self, module: object) -> None:
        """See importlib.abc.Loader."""
        raise ModuleNotFoundError("Our commands do without pandas.", name="pandas")


@contextmanager
def without_pandas() -> Iterator[None]:
    """Let imports of pandas fail inside the block, for our own commands, which use it nowhere.

    pyarrow imports it when it first converts an array, to ask whether the array is one of pandas: half a second.
    """
    sys.meta_path.insert(0, _Refused)
    try:
        yield
    finally:
        sys.meta_path.remove(_Refused)
