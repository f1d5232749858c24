"""Time and memory of the last run of each stage on this machine, for people to look at.

Each stage has one small JSON file in .facerec/stages/, which git ignores. They are not results: if one cannot be
written or read, nothing fails, and no output of DVC depends on them.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from facerec.core.files import write_json
from facerec.core.settings import home

FOLDER = Path(".facerec/stages")
_NAME = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)?")


@dataclass(frozen=True)
class StageRun:
    """A run of a stage that ended without an error."""

    seconds: float
    """Wall-clock time, without the start of Python and its imports."""
    peak_bytes: int
    """Peak memory of its largest process."""
    finished: str
    """UTC, as 2025-11-25T20:00:00Z."""


@contextmanager
def record_stage(*name: str) -> Iterator[None]:
    """Record how long the block took under the name of a stage and its key; nothing if the block fails."""
    start = time.perf_counter()
    yield
    run = StageRun(round(time.perf_counter() - start, 3), _peak_bytes(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    if _NAME.fullmatch("-".join(name)):  # anything else was typed by hand and may not be a file name
        with suppress(OSError):
            write_json(_path(name), asdict(run))


def last_run(*name: str) -> StageRun | None:
    """The last run under that name, None where there was none here."""
    try:
        return _RUN.validate_json(_path(name).read_bytes())
    except (OSError, ValidationError):
        return None


def _path(name: tuple[str, ...]) -> Path:
    return home() / FOLDER / f"{'-'.join(name)}.json"


def _peak_bytes() -> int:
    both = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(both) * (1 if sys.platform == "darwin" else 1024)


_RUN = TypeAdapter(StageRun)
