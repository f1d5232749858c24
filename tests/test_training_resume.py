"""A stopped training goes on to the same bits: after kill -9, SIGTERM, a full disk, damage, at any step."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from facerec import training
from facerec.params import Backbone, HeadParams, Train
from facerec.store import shards
from facerec.training import Checkpoints, trainer
from facerec.training.checkpoints import delay_interrupts
from facerec.training.step import TrainingState
from facerec.training.step import update as update_of_step
from tests import children
from tests.conftest import ROOT
from tests.models import recipe, write_set

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_network")
RUN = """
import sys
from pathlib import Path
import torch, yaml
torch.set_num_threads(1)
from facerec import training
from facerec.core import console
from facerec.store import shards
from facerec.params import Train

def main():
    faces, out = shards.read_shards("faces"), Path(sys.argv[1])
    recipe = Train(**yaml.safe_load(Path("recipe.yaml").read_text()))
    with training.keep_checkpoints([faces], recipe) as checkpoints:
        trained = training.fit([faces], recipe, torch.device("cpu"), checkpoints)
        state = [*trained.backbone.network.state_dict().values(), *trained.head.state_dict().values()]
        out.write_bytes(b"".join(value.numpy().tobytes() for value in state) + repr(trained.history).encode())

sys.exit(console.run_command(main))
"""


class Stopped(Exception):
    """Raised by a test in the middle of training."""


def stopping(after: int) -> Callable[..., torch.Tensor]:
    """An `update` that makes so many steps and then stops."""

    def update(state: TrainingState, *rest: Any) -> torch.Tensor:
        if state.step >= after:
            raise Stopped
        return update_of_step(state, *rest)

    return update


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(4), photos=6)


def rich(**changes: object) -> Train:
    """A recipe with a state of every kind: dropout, momentum, a scaler, an average, buffers in the head."""
    fields = {
        "head": HeadParams(name="adaface", scale=16.0, margin=0.2),
        "precision": "float16",
        "average": 0.9,
        "augment": {"colour": 0.2, "low_resolution": 0.5, "crop": 0.5, "affine": 0.5},
        "epochs": 3,
    }
    return recipe(**(fields | changes))


def everything(trained: training.Trained) -> list[object]:
    parts = (trained.backbone.network, trained.head)
    return [trained.history, *(value.tolist() for part in parts for value in part.state_dict().values())]


@pytest.fixture(scope="module")
def uninterrupted(faces) -> list[object]:
    return everything(training.fit([faces], rich(), CPU))


@pytest.mark.parametrize("step", [1, 3, 5])
def test_it_goes_on_from_any_step_to_the_same_bits(
    faces, uninterrupted, step: int, tmp_path, capfd, monkeypatch
) -> None:
    kept = Checkpoints(tmp_path, seconds=0)
    monkeypatch.setattr(trainer, "update", stopping(step))
    with pytest.raises(Stopped):
        training.fit([faces], rich(), CPU, kept)
    monkeypatch.undo()
    torch.rand(3)
    resumed = training.fit([faces], rich(), CPU, kept)
    assert everything(resumed) == uninterrupted
    place = f"epoch {step // 3 + 1}, batch {step % 3 + 1} of 3"
    assert f"training resumes at {place}" in capfd.readouterr().err


@pytest.mark.slow
def test_dropout_and_mined_triplets_go_on_too(faces, tmp_path, monkeypatch) -> None:
    network = Backbone(name="iresnet18", dim=16, dropout=0.4)
    plain = recipe(backbone=network, head=HeadParams(name="triplet", margin=0.3), epochs=1, batch=12)
    whole = training.fit([faces], plain, CPU)

    kept = Checkpoints(tmp_path, seconds=0)
    monkeypatch.setattr(trainer, "update", stopping(1))
    with pytest.raises(Stopped):
        training.fit([faces], plain, CPU, kept)
    monkeypatch.undo()
    assert everything(training.fit([faces], plain, CPU, kept)) == everything(whole)


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    assert kept.read() is None
    for step in (1, 2, 3):
        kept.write({"step": step, "weights": torch.full((1000,), float(step))})
    kept.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000002_0_of_1.pt", "0000000003_0_of_1.pt"]
    newest = tmp_path / "0000000003_0_of_1.pt"
    data = bytearray(newest.read_bytes())
    place = data.find(torch.full((9,), 3.0).numpy().tobytes())
    data[place + 1] ^= 1  # torch itself would read it without a word
    newest.write_bytes(data)
    assert kept.read()["step"] == 2
    newest.write_bytes(data[:500])
    assert kept.read()["step"] == 2
    newest.rename(tmp_path / "0000000003_0_of_2.pt")  # kill -9 before the other process had written its part
    assert kept.read()["step"] == 2


def test_checkpoints_are_of_one_recipe_and_one_set(faces, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))

    def stopped(sets: list[shards.Shards], wanted: Train) -> int:
        """Steps that a training of one epoch found done; it is then stopped."""
        found = None
        with suppress(Stopped), training.keep_checkpoints(sets, wanted) as kept:
            found = kept.read()
            training.fit(sets, wanted, CPU, kept)
            raise Stopped
        return found["step"] if found else 0

    other = write_set(tmp_path / "other", range(4), photos=6, dataset="another")
    assert stopped([faces], recipe(epochs=1)) == 0
    assert "anew" not in capfd.readouterr().err
    assert stopped([faces], recipe(epochs=1, lr=0.02)) == 0
    assert stopped([other], recipe(epochs=1)) == 0
    assert capfd.readouterr().err.count("starts anew: its checkpoints are of other data, parameters or code") == 2
    assert stopped([faces], recipe(epochs=1)) == 3
    with training.keep_checkpoints([faces], recipe(epochs=1)):
        pass
    assert stopped([faces], recipe(epochs=1)) == 0


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.write({"step": 1})
    kept.finish()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        kept.write({"step": 2, "weights": torch.zeros(1_000_000)})
        with pytest.raises(OSError, match="File too large"):
            kept.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert kept.read() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["0000000001_0_of_1.pt"]


def test_a_loss_that_explodes_keeps_the_last_good_state(faces, tmp_path) -> None:
    wild = recipe(epochs=30, lr=10.0, head=HeadParams(name="softmax"), momentum=0.99)
    kept = Checkpoints(tmp_path, seconds=0)
    with pytest.raises(training.TrainingError, match=f"lower train.lr.*last good state is kept in {tmp_path}"):
        training.fit([faces], wild, CPU, kept)
    good = kept.read()
    assert all(value.isfinite().all() for value in good["network"].values())


def test_stopping_waits_for_the_block_and_twice_does_not() -> None:
    seen = []

    def ask(times: int) -> None:
        with delay_interrupts() as asked:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGTERM)
                seen.append(asked())

    pytest.raises(KeyboardInterrupt, ask, 1)
    assert seen == [True]
    pytest.raises(KeyboardInterrupt, ask, 2)
    assert seen == [True, True], "the second one must be obeyed at once"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to train in, with its own copy of the code, whose checkpoints no edit invalidates."""
    shutil.copytree(ROOT / "facerec", tmp_path / "facerec", ignore=shutil.ignore_patterns("__pycache__"))
    write_set(tmp_path / "faces", range(4), photos=8)
    (tmp_path / "run.py").write_text(RUN)
    return tmp_path


def start(folder: Path, wanted: Train, out: str) -> subprocess.Popen[str]:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(wanted.model_dump(mode="json")))
    environment = {"FACEREC_SCRATCH": str(folder / "scratch"), "FACEREC_CHECKPOINT_SECONDS": "0"}
    return subprocess.Popen(
        [sys.executable, "run.py", out],
        cwd=folder,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    return children.finish(process, seconds=300)[1]


def newest(folder: Path) -> float:
    """When the newest checkpoint was written, 0 where there is none or one is being removed."""
    with suppress(FileNotFoundError):
        return max((path.stat().st_mtime_ns for path in folder.glob("scratch/train/*/*.pt")), default=0)
    return 0


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    before = newest(folder)
    while process.poll() is None and newest(folder) == before:
        time.sleep(0.005)


def kill_and_finish(folder: Path, wanted: Train, kills: int, seconds: float) -> None:
    """The last of `kills` + 1 runs against one that was left alone."""
    chance = random.Random(1)
    for _ in range(kills):
        process = start(folder, wanted, "out")
        wait_for_checkpoint(folder, process)
        time.sleep(chance.uniform(0, seconds))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert "training resumes at epoch" in finish(start(folder, wanted, "out"))
    finish(start(folder, wanted, "whole"))
    assert (folder / "out").read_bytes() == (folder / "whole").read_bytes()
    assert not (folder / "scratch").exists() or not list(folder.glob("scratch/train/*"))


@pytest.mark.slow
def test_sigterm_and_kill_9_then_the_same_bits(folder: Path) -> None:
    wanted = rich(epochs=10, precision="float32")
    process = start(folder, wanted, "out")
    wait_for_checkpoint(folder, process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "a checkpoint was written, the same command goes on there" in errors
    assert "Traceback" not in errors
    kill_and_finish(folder, wanted, kills=1, seconds=0.1)


@pytest.mark.slow
def test_ten_kills_at_random_steps_then_the_same_bits(folder: Path) -> None:
    kill_and_finish(folder, rich(epochs=120, precision="float32"), kills=10, seconds=0.3)
