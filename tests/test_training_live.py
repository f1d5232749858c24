"""Curves while training runs go to whom the machine's settings name, and change nothing."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
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
    monkeypatch.setenv("FACEREC_LIVE", "aim")
    with pytest.raises(ParamsError, match="knows tensorboard, dvclive, mlflow, wandb, not 'aim'"):
        training.fit([faces], recipe(), CPU)
    monkeypatch.setenv("FACEREC_LIVE", "dvclive")
    monkeypatch.setitem(sys.modules, "dvclive", None)
    with pytest.raises(ParamsError, match=r"dvclive, which is not installed; pip install 'facerec\[loggers\]'"):
        training.fit([faces], recipe(), CPU)


def log_twice(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Two points, as of a training that was stopped after the second and went on at the first one's checkpoint."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACEREC_LIVE", name)
    for variable in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    with loggers.live_curves(8, 0) as curves:
        curves.log_step(2, {"loss": 1.5})
        curves.log_step(4, {"loss": 1.25})
    with loggers.live_curves(8, 2) as curves:
        curves.log_step(4, {"loss": 1.0})
        curves.log_validation(4, {"lfw": 0.75})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_mlflow_itself_keeps_one_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed (pip install 'facerec[loggers]')")
    log_twice("mlflow", monkeypatch, tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/.facerec/live/mlflow/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("facerec").experiment_id])
    points = [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "loss")]
    assert points == [(2, 1.5), (4, 1.25), (4, 1.0)]
    assert run.data.metrics["validation/lfw"] == 0.75
    assert run.info.status == "FINISHED"


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a file of wandb: after 7 bytes those of LevelDB's log, none longer than a block of 32 kB here."""
    place = 7
    while place + 7 <= len(data):
        length, kind = struct.unpack_from("<HB", data, place + 4)
        assert kind == 1
        yield data[place + 7 : place + 7 + length]
        place += 7 + length


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_wandb_itself_writes_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed (pip install 'facerec[loggers]')")
    from wandb.proto import wandb_internal_pb2

    log_twice("wandb", monkeypatch, tmp_path)
    points, names = [], set()
    for path in sorted((tmp_path / ".facerec/live/wandb").rglob("*.wandb")):
        for data in log_records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            names |= {record.run.run_id} - {""}
            found = {each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.history.item}
            points += [(found["step"], found.get("loss", found.get("validation/lfw")))] if found else []
    assert sorted(points) == [(2, 1.5), (4, 0.75), (4, 1.0), (4, 1.25)]
    assert len(names) == 1
