"""What a process spares itself: returning memory that it needs again, and importing what it does not use."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt, from its malloc.h
_LARGEST = 32 * 2**20  # bytes of the largest block that glibc reuses
_KEPT = 2 * _LARGEST  # free bytes that glibc keeps at most, once it has seen such blocks


@contextmanager
def reused_memory() -> Iterator[None]:
    """Keep freed memory for the next allocation inside the block, and return it to the system at its end.

    A step of training allocates and frees the same tensors each time. By default, glibc returns most of that memory to
    the system, which then clears every page again. Does nothing with another C
    library.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST)
    library.mallopt(_TRIM_THRESHOLD, -1)  # never
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
        library.malloc_trim(0)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Let imports of pandas fail inside the block, as if it were not installed, unless it is imported already.

    Our own commands use it nowhere, but pyarrow imports it when it first converts an array, to ask whether the array
    is one of pandas: half a second.
    """
    absent = "pandas" not in sys.modules
    if absent:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        yield
    finally:
        if absent:
            sys.modules.pop("pandas", None)
