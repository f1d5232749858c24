"""Readers that misbehave in every way the fuzzer must notice: `python -m tests.fuzzing.selftest` tells how it went.

Prints JSON: by the name of each reader what the fuzzer said, "" where it noticed nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from facerec.core import FormatError
from tests.fuzzing import guard, runner
from tests.fuzzing.targets import Target


class _Hostile:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, ("touch ../canary",)


def _refuse(box: Path) -> None:
    raise FormatError("no such file")


class _Rude(FormatError):
    def __str__(self) -> str:
        return "one\ntwo"


def _refuse_in_two_lines(box: Path) -> None:
    raise _Rude


def _hide_hunger(box: Path) -> None:
    try:
        bytearray(1 << 60)
    except MemoryError as error:
        raise FormatError("damaged") from error


def _swallow_code(box: Path) -> None:
    try:
        pickle.loads(pickle.dumps(_Hostile()))
    except Exception as error:
        raise FormatError("damaged") from error


def _hang(box: Path) -> None:
    while True:
        pass


_READERS: dict[str, Callable[[Path], object]] = {
    "good": lambda box: (box / "x").read_bytes(),
    "refusal": _refuse,
    "two lines": _refuse_in_two_lines,
    "exception": lambda box: {}["key"],
    "crash": lambda box: ctypes.string_at(0),
    "hang": _hang,
    "wait": lambda box: time.sleep(60),
    "memory": lambda box: np.ones(80 << 20, np.uint8).sum(),
    "hidden memory": _hide_hunger,
    "hidden code": _swallow_code,
    "file outside": lambda box: (box.parent / "canary").write_bytes(b""),
    "exit": lambda box: os._exit(3),
}


def main() -> None:
    """Fuzz every reader with one input and print what was found."""
    guard.SECONDS, guard.PATIENCE = 1.0, 3.0
    found = {}
    with tempfile.TemporaryDirectory() as out:
        for name, read in _READERS.items():
            target = Target(name, read, lambda: [{"x": b"data"}], memory=64 << 20)
            found[name] = "".join(runner.fuzz(target, range(1), 0, Path(out)).failures.values())
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
