"""Curves while training runs: loss, accuracy, learning rate, length of the embeddings, images a second, validation.

The machine setting FACEREC_LIVE names who gets them: tensorboard, dvclive, or both with a comma; nobody unless set.
Both are optional packages. The files go to .facerec/live/NAME/ and are no part of any result.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from facerec.core import ParamsError, leads, local_setting

EVERY = 10
"""Steps between two points of a curve."""

FOLDER = Path(".facerec/live")

Write: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a step and the values after it, by name."""


class CurveLogger:
    """Points every EVERY steps for all writers; `batch` is the number of images of a step."""

    def __init__(self, writers: list[Write], batch: int, first: int) -> None:
        self._writers, self._batch = writers, batch
        self._last_step, self._last_time = first, time.monotonic()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Step number `step` was made."""
        if not self._writers or step % EVERY:
            return
        now = time.monotonic()
        speed = (step - self._last_step) * self._batch / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now
        self._write(step, {**values, "images_per_second": speed})

    def judged(self, step: int, accuracy: Mapping[str, float]) -> None:
        """The benchmarks were looked at after step number `step`."""
        self._write(step, {f"validation/{name}": value for name, value in accuracy.items()})

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        for write in self._writers:
            write(step, values)


@contextmanager
def curves(batch: int, first: int) -> Iterator[CurveLogger]:
    """Curves that go on from step `first`; ParamsError for a writer that is unknown or not installed."""
    wanted = local_setting("live", "") if leads() else ""
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    with ExitStack() as stack:
        yield CurveLogger([stack.enter_context(_writer(name, first)) for name in names], batch, first)


@contextmanager
def _writer(name: str, first: int) -> Iterator[Write]:
    if name not in LOGGERS:
        raise ParamsError(f"FACEREC_LIVE knows {', '.join(LOGGERS)}, not {name!r}.")
    module, opened = LOGGERS[name]
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"FACEREC_LIVE is {name}, which is not installed; pip install {name}, or unset it."
        ) from error
    with opened(imported, FOLDER / name, first) as write:
        yield write


@contextmanager
def _tensorboard(module: Any, folder: Path, first: int) -> Iterator[Write]:
    # Points after a checkpoint that a killed run still wrote are taken back.
    with module.SummaryWriter(str(folder), purge_step=first + 1) as summary:

        def write(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                summary.add_scalar(name, value, step)

        yield write


@contextmanager
def _dvclive(module: Any, folder: Path, first: int) -> Iterator[Write]:
    # The graph's own run is the experiment; this one only draws.
    with module.Live(str(folder), resume=first > 0, save_dvc_exp=False, dvcyaml=None) as live:

        def write(step: int, values: Mapping[str, float]) -> None:
            live.step = step
            for name, value in values.items():
                live.log_metric(name, value)
            live.make_summary()

        yield write


LOGGERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "tensorboard": ("torch.utils.tensorboard", _tensorboard),
    "dvclive": ("dvclive", _dvclive),
}
