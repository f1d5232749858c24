"""NumPy's .npy files, mapped into memory and never trusted.

`numpy.load` allocates what the header asks for before it looks at the file; a map cannot be larger than the
file is.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError

_LONGEST_HEADER = 10_000  # bytes, as numpy


def read_npy(path: str | Path) -> NDArray[Any]:
    """The array in `path`, mapped read-only; FormatError when the file is none, is cut or holds objects."""
    _check_header(Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on headers of Python 2
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, MemoryError) as error:
        raise FormatError(f"cannot read {path}: {error}.") from error
    except Exception as error:  # the header is a Python literal, whose parser fails in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(f"{path} is no array of numbers in NumPy's form: {reason}.") from error
    if not isinstance(array, np.ndarray):  # numpy.load opens .npz too
        raise FormatError(f"{path} is no array of numbers in NumPy's form but an archive.")
    return array


def _check_header(path: Path) -> None:
    """Refuse a header longer than numpy takes before numpy makes room for it, which may be four gigabytes."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error}.") from error
    longer_form = head.startswith(b"\x93NUMPY") and head[6:7] > b"\x01"
    if longer_form and int.from_bytes(head[8:12], "little") > _LONGEST_HEADER:
        raise FormatError(f"{path} is no array of numbers in NumPy's form: its header is too long.")
