"""Errors meant for people: one sentence that says what is wrong, where, and what to do.

Commands and stages print the message of a `FacerecError` and nothing else; any other exception is
a defect of ours and keeps its traceback.
"""

from __future__ import annotations


class FacerecError(Exception):
    """Base of all errors a user can act on."""


class ParamsError(FacerecError):
    """params.yaml or an option holds something impossible; the message names the key."""


class FormatError(FacerecError):
    """A file is not what its name or its metadata promises."""


class ImageError(FormatError):
    """Bytes that cannot be decoded to an image."""


class AcquireError(FacerecError):
    """Something could not be downloaded, found or generated."""
