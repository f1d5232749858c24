"""Errors meant for people: one sentence that says what is wrong, where, and what to do; and how foreign text is shown.

Names of files, people and data sets, and texts of files, can hold anything: characters that control the terminal, that
break a line, or that change the direction of reading. `shown` makes them visible, wherever such text is shown.

Commands and stages print the message of a `FacerecError` and nothing else; any other exception is a bug of this
package, whose traceback goes to a file (`facerec.core.defects`).
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode's classes of characters without a shape of their own
_JOINERS = "\u200c\u200d"  # belong to words of some languages
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_SENTENCE = 2000


def shown(text: object, most: int = 240) -> str:
    r"""Foreign text on one line of at most `most` characters, as it may be printed, drawn and put on a page.

    Control characters, line breaks, overrides of the direction of reading and bytes that are no UTF-8 become visible.
    This does not escape the markup of Markdown or HTML.

    >>> print(shown("a\x1b[31m\nb"))
    a\x1b[31m\nb
    """
    line = visible(str(text)).replace("\n", "\\n")
    return line if len(line) <= most else f"{line[: most // 2]}…{line[len(line) - (most - 1) // 2 :]}"


def visible(text: str) -> str:
    """As `shown`, for text of any length, whose line breaks stay."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character == "\n" or character in _JOINERS or unicodedata.category(character) not in _INVISIBLE:
        return character
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class FacerecError(Exception):
    """Base of all errors a user can act on; its message is one line without control characters."""

    exit_code = 1

    def __str__(self) -> str:
        return as_line(super().__str__())


def as_line(sentence: str) -> str:
    """A sentence that may quote foreign text, as `shown`; its line breaks become spaces."""
    return shown(_BREAKS.sub(" ", sentence), _SENTENCE)


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
