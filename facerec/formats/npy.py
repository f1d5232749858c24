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

from facerec.errors import FormatError


def read(path: str | Path) -> NDArray[Any]:
    """The array in `path`, mapped read-only; FormatError when the file is none, is cut or holds objects."""
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
