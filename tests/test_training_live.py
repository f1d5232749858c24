"""Curves while training runs go to whom the machine's settings name, and change nothing."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from facerec import training
from facerec.core import ParamsError
from facerec.store import shards
from facerec.training import Checkpoints, loggers
from tests.models import recipe, write_set

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_network")


class Recorder:
    """Takes the place of TensorBoard's writer and of DVCLive, which are optional."""

    made: ClassVar[list[Recorder]] = []

    def __init__(self, folder: str, **options: object) -> None:
        self.folder, self.options, self.points, self.step = folder, options, [], 0
        Recorder.made.append(self)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.points.append("closed")

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.points.append((step, name, value))

    def log_metric(self, name: str, value: float) -> None:
        self.points.append((self.step, name, value))

    def make_summary(self) -> None:
        pass


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(4), photos=6)


@pytest.fixture(autouse=True)
def _recorders(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Recorder))
    monkeypatch.setitem(sys.modules, "dvclive", SimpleNamespace(Live=Recorder))
    monkeypatch.setattr(loggers, "EVERY", 2)
    Recorder.made.clear()


def test_both_get_the_same_points_and_the_weights_do_not_change(faces, monkeypatch, tmp_path) -> None:
    plain = training.fit([faces], recipe(), CPU)
    assert not Recorder.made
    monkeypatch.setenv("FACEREC_LIVE", "tensorboard, dvclive")
    kept = Checkpoints(tmp_path)
    watched = training.fit([faces], recipe(), CPU, kept)
    assert torch.equal(plain.head.weight, watched.head.weight)
    board, dvclive = Recorder.made
    assert (board.folder, dvclive.folder) == (".facerec/live/tensorboard", ".facerec/live/dvclive")
    assert board.points == dvclive.points
    assert board.points[-1] == "closed"
    names = ["loss", "accuracy", "norm", "lr", "images_per_second"]
    assert [point[:2] for point in board.points[:-1]] == [(step, name) for step in (2, 4, 6) for name in names]
    assert all(point[2] >= 0 for point in board.points[:-1])
    assert (board.options["purge_step"], dvclive.options["resume"]) == (1, False)
    assert dvclive.options["save_dvc_exp"] is False
    training.fit([faces], recipe(), CPU, kept)  # goes on at the end
    assert (Recorder.made[2].options["purge_step"], Recorder.made[3].options["resume"]) == (7, True)


def test_what_is_unknown_or_not_installed_is_named(faces, monkeypatch) -> None:
    monkeypatch.setenv("FACEREC_LIVE", "wandb")
    with pytest.raises(ParamsError, match="knows tensorboard, dvclive, not 'wandb'"):
        training.fit([faces], recipe(), CPU)
    monkeypatch.setenv("FACEREC_LIVE", "dvclive")
    monkeypatch.setitem(sys.modules, "dvclive", None)
    with pytest.raises(ParamsError, match="dvclive, which is not installed; pip install dvclive"):
        training.fit([faces], recipe(), CPU)
