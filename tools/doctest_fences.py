"""Makes the examples in docstrings code on the site: an extension of griffe, which reads the docstrings for mkdocstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> (?:.+(?:\n|\Z))+", re.MULTILINE)


class DoctestFences(griffe.Extension):  # type: ignore[misc]
    """Puts every example into a fenced block."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Called for every module, class, function and attribute that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(example: re.Match[str]) -> str:
    return "```pycon\n" + example[0].rstrip("\n") + "\n```\n"
