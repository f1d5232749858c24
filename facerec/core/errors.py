"""Errors meant for people: one sentence that says what is wrong, where, and what to do.

Commands and stages print the message of a `FacerecError` and nothing else; any other exception is a bug of this
package, whose traceback goes to a file (`facerec.core.defects`).
"""

from __future__ import annotations

import re
from pathlib import Path

# Messages quote damaged and hostile files, whose text must not break the line or control the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class FacerecError(Exception):
    """Base of all errors a user can act on; its message is one line without control characters."""

    exit_code = 1

    def __str__(self) -> str:
        return _CONTROL.sub(" ", super().__str__())


class ParamsError(FacerecError):
    """params.yaml or an option has a value that is not allowed; the message names the key."""


class FormatError(FacerecError):
    """A file is not what its name or its metadata promises."""


class ImageError(FormatError):
    """Bytes that cannot be decoded to an image."""


class AcquireError(FacerecError):
    """Something could not be downloaded, found or generated."""


def require_path(path: str | Path, advice: str) -> Path:
    """`path`, a file or folder that is needed; FormatError with the advice what to do if it does not exist.

    >>> require_path("no.onnx", "train or download it first")
    Traceback (most recent call last):
    facerec.core.errors.FormatError: no.onnx does not exist; train or download it first.
    """
    if not Path(path).exists():
        raise FormatError(f"{path} does not exist; {advice}.")
    return Path(path)
