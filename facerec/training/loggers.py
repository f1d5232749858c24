"""Live curves of a training: loss, accuracy, learning rate, length of the embeddings, images per second, validation.

The machine setting FACEREC_LIVE names the loggers: tensorboard, dvclive, mlflow, wandb, or several with commas; none by
default. All are optional packages. Their files go to .facerec/live/NAME/ and are not part of any result. Nothing leaves
this machine unless MLFLOW_TRACKING_URI names a server or WANDB_MODE is online. A new logger is a context manager like
`_tensorboard` and a line in `LOGGERS`.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from facerec.core import ParamsError, leads, local_setting, write_text

EVERY = 10
"""Steps between two points of a curve."""

FOLDER = Path(".facerec/live")

Write: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a step and the metrics after it, by name."""


class CurveLogger:
    """Passes metrics to all writers every EVERY steps; `batch` is the number of images per step."""

    def __init__(self, writers: list[Write], batch: int, first: int) -> None:
        self._writers, self._batch = writers, batch
        self._last_step, self._last_time = first, time.monotonic()

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of step number `step`."""
        if not self._writers or step % EVERY:
            return
        now = time.monotonic()
        speed = (step - self._last_step) * self._batch / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now
        self._write(step, {**values, "images_per_second": speed})

    def log_validation(self, step: int, accuracy: Mapping[str, float]) -> None:
        """Log the accuracies by benchmark after step number `step`."""
        self._write(step, {f"validation/{name}": value for name, value in accuracy.items()})

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        for write in self._writers:
            write(step, values)


@contextmanager
def live_curves(batch: int, first: int) -> Iterator[CurveLogger]:
    """A logger that continues after step `first`; ParamsError for a writer that is unknown or not installed."""
    wanted = local_setting("live", "") if leads() else ""
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    with ExitStack() as stack:
        yield CurveLogger([stack.enter_context(_open_writer(name, first)) for name in names], batch, first)


def _open_writer(name: str, first: int) -> AbstractContextManager[Write]:
    if name not in LOGGERS:
        raise ParamsError(f"FACEREC_LIVE knows {', '.join(LOGGERS)}, not {name!r}.")
    module, opened = LOGGERS[name]
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"FACEREC_LIVE is {name}, which is not installed; pip install 'facerec[loggers]', or unset it."
        ) from error
    return opened(imported, FOLDER / name, first)


@contextmanager
def _tensorboard(module: Any, folder: Path, first: int) -> Iterator[Write]:
    # Removes points that a killed run wrote after its last checkpoint.
    with module.SummaryWriter(str(folder), purge_step=first + 1) as summary:

        def write(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                summary.add_scalar(name, value, step)

        yield write


@contextmanager
def _dvclive(module: Any, folder: Path, first: int) -> Iterator[Write]:
    # The DVC run is the experiment; this only draws curves.
    with module.Live(str(folder), resume=first > 0, save_dvc_exp=False, dvcyaml=None) as live:

        def write(step: int, values: Mapping[str, float]) -> None:
            live.step = step
            for name, value in values.items():
                live.log_metric(name, value)
            live.make_summary()

        yield write


@contextmanager
def _mlflow(module: Any, folder: Path, first: int) -> Iterator[Write]:
    folder.mkdir(parents=True, exist_ok=True)
    local = f"sqlite:///{folder.resolve()}/mlflow.db"  # mlflow gives up its store of plain files
    module.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or local)
    module.set_experiment("facerec")
    known = folder / "run.txt"  # so that a training that was stopped goes on in its run
    run = known.read_text(encoding="utf-8") if first and known.is_file() else None
    with module.start_run(run_id=run) as active:
        write_text(known, active.info.run_id)
        yield lambda step, values: module.log_metrics(dict(values), step=step)


@contextmanager
def _wandb(module: Any, folder: Path, first: int) -> Iterator[Write]:
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "run.txt"
    run = known.read_text(encoding="utf-8") if first and known.is_file() else None
    mode = os.environ.get("WANDB_MODE") or "offline"
    with module.init(project="facerec", dir=str(folder), mode=mode, id=run, resume="allow") as active:
        write_text(known, active.id)
        active.define_metric("*", step_metric="step")  # its own steps cannot go back, as those after a stop do
        yield lambda step, values: active.log({**values, "step": step})


LOGGERS: dict[str, tuple[str, Callable[..., AbstractContextManager[Write]]]] = {
    "tensorboard": ("torch.utils.tensorboard", _tensorboard),
    "dvclive": ("dvclive", _dvclive),
    "mlflow": ("mlflow", _mlflow),
    "wandb": ("wandb", _wandb),
}
