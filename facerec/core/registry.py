"""Registries: create an object by its registered name, with errors that say which names and options exist."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from facerec.core.errors import ParamsError

T = TypeVar("T")


def options_of(maker: Callable[..., Any], given: tuple[str, ...]) -> list[str]:
    """Names of the options `maker` takes beyond the arguments in `given`."""
    return [key for key in inspect.signature(maker).parameters if key not in given]


def create_registered(
    kind: str, makers: Mapping[str, Callable[..., T]], name: str, given: Mapping[str, Any], options: Mapping[str, Any]
) -> T:
    """`makers[name](**given, **options)`; ParamsError for an unknown name or option of this `kind`."""
    if name not in makers:
        raise ParamsError(f"Unknown {kind} {name!r}; known are {', '.join(sorted(makers))}.")
    allowed = options_of(makers[name], tuple(given))
    unknown = sorted(options.keys() - set(allowed))
    if unknown:
        allowed_text = ", ".join(allowed) or "no options"
        raise ParamsError(f"The {kind} {name!r} takes {allowed_text}, not {', '.join(unknown)}.")
    return makers[name](**given, **options)
