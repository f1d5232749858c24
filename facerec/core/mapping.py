"""Files mapped into memory, and how much of them the system reads ahead.

A page that is touched brings its neighbours from the disk, up to megabytes of them: right for who goes through a file,
ruinous for who reads faces in random order. So a map starts without that, and who reads in order asks for it.
"""

from __future__ import annotations

import errno
import mmap
import resource
from pathlib import Path
from typing import TypeAlias

FileMap: TypeAlias = mmap.mmap | bytes
"""The bytes of a file; an empty one cannot be mapped and is b""."""


def map_file(path: Path) -> FileMap:
    """Map a file read-only; only the pages that are touched are read (`read_ahead`).

    A map counts as an open file, of which most systems allow a process 1,024 unless it asks for more: it does.
    """
    try:
        data = _map(path)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        data = _map(path)
    read_ahead(data, False)
    return data


def _map(path: Path) -> FileMap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def read_ahead(data: FileMap, wanted: bool) -> None:
    """Have the system read ahead of the pages that are touched, or these alone."""
    if isinstance(data, mmap.mmap):
        data.madvise(mmap.MADV_NORMAL if wanted else mmap.MADV_RANDOM)
