"""A full disk in the middle of a training."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from facerec import training
from facerec.core import run_command
from facerec.training import trainer
from facerec.training.checkpoints import Checkpoints
from facerec.training.step import TrainingState
from facerec.training.step import update as update_of_step
from tests.models import write_set
from tests.test_training_resume import CPU, everything, rich


@contextmanager
def _limits_kept() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def filling(after: int, kept: Checkpoints) -> Callable[..., torch.Tensor]:
    """An `update` after so many steps of which no file may have more than 10 kB."""

    def update(state: TrainingState, *rest: Any) -> torch.Tensor:
        if state.step == after:
            kept.finish()
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return update_of_step(state, *rest)

    return update


@pytest.mark.attack(
    "Halves and mixtures", "a disk that fills up during a training", "one sentence; it goes on later to the same bits"
)
@pytest.mark.parametrize("seconds", [0, pytest.param(3600, marks=pytest.mark.slow)], ids=["every step", "every epoch"])
def test_a_full_disk_stops_a_training_that_goes_on_later(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    faces = write_set(tmp_path / "faces", range(4), photos=6)
    kept = Checkpoints(tmp_path / "kept", seconds)
    with _limits_kept():
        monkeypatch.setattr(trainer, "update", filling(4, kept))
        status = run_command(partial(training.fit, [faces], rich(), CPU, kept))  # type: ignore[arg-type]
        monkeypatch.undo()
    told = capfd.readouterr().err
    (sentence,) = [line for line in told.splitlines() if line.startswith("error: ")]
    lost = kept.folder / f"{5 if seconds == 0 else 6:010d}_0_of_1.pt"
    assert sentence == (f"error: no space left on the disk ({lost}); free some and run again, finished work is kept")
    assert (status, "Traceback" in told) == (1, False)
    assert [path.name for path in kept.folder.iterdir() if path.suffix != ".pt"] == []
    resumed = training.fit([faces], rich(), CPU, kept)
    step = 4 if seconds == 0 else 3
    assert f"training resumes at epoch 2, batch {step % 3 + 1} of 3" in capfd.readouterr().err
    assert everything(resumed) == everything(training.fit([faces], rich(), CPU))
