"""Loops over pixels compiled by numba: plain IEEE arithmetic in the order of the code, so the same bits everywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function`, compiled when it is first called, as numba itself takes a third of a second to import.

    The machine code is kept for the next process where a folder for it is writable. As in numpy, a division by zero
    gives infinity or NaN. Python's lock is released, so that threads can share the work.
    """
    fast: Callable[..., Any] | None = None

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal fast
        if fast is None:
            fast = _compile(function)
        return fast(*arguments)

    return cast(Function, call)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    from numba import njit

    try:
        fast: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither the folder of the code nor the user's cache is writable
        fast = njit(nogil=True, error_model="numpy")(function)
    return fast
