"""What training does for a GPU, as far as a CPU can show it: metrics read now and then, batches made ahead, its keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import count

import pytest
import torch
import yaml

from facerec import training
from facerec.params import HeadParams, Train
from facerec.store import shards
from facerec.training import Checkpoints, prefetching, step, trainer
from tests import commands
from tests.conftest import ROOT
from tests.models import recipe, write_set
from tests.test_training_resume import Stopped, everything, stopping

CPU, GPU = torch.device("cpu"), torch.device("cuda")
WILD = {"epochs": 30, "lr": 10.0, "head": HeadParams(name="softmax"), "momentum": 0.99}
pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(20), photos=2)


def read_every(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "steps_between_readings", lambda device: steps)


@pytest.mark.parametrize("steps", [2, 3, 100])
def test_metrics_that_are_read_later_are_the_same(faces, steps: int, monkeypatch) -> None:
    at_once = everything(training.fit([faces], recipe(), CPU))
    read_every(steps, monkeypatch)
    assert everything(training.fit([faces], recipe(), CPU)) == at_once


def test_it_goes_on_from_the_last_reading_to_the_same_bits(faces, tmp_path, monkeypatch, capfd) -> None:
    whole = everything(training.fit([faces], recipe(), CPU))
    read_every(3, monkeypatch)
    kept = Checkpoints(tmp_path, seconds=0)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "update", stopping(4))
        with pytest.raises(Stopped):
            training.fit([faces], recipe(), CPU, kept)
    assert everything(training.fit([faces], recipe(), CPU, kept)) == whole
    assert "training resumes at epoch 1, batch 4 of 5" in capfd.readouterr().err


def test_a_loss_that_explodes_is_refused_at_the_next_reading_with_its_own_step(faces, monkeypatch) -> None:
    said, made = [], []
    for steps in (1, 5):
        read_every(steps, monkeypatch)
        numbers, plain = count(1), step.update
        monkeypatch.setattr(
            trainer, "update", lambda *all_of_it, n=numbers, f=plain: (made.append(next(n)), f(*all_of_it))[1]
        )
        with pytest.raises(training.TrainingError) as caught:
            training.fit([faces], recipe(**WILD), CPU)
        said.append((str(caught.value), made[-1]))
    (at_once, first), (later, last) = said
    assert at_once == later
    assert first <= last < first + 5


@pytest.mark.parametrize(
    "head",
    [
        *(HeadParams(name=name, scale=16.0) for name in ("arcface", "cosface", "adaface", "magface", "softmax")),
        HeadParams(name="curricularface", scale=16.0),
        HeadParams(scale=16.0, chunked=True),
        HeadParams(scale=16.0, rate=0.75),
    ],
    ids=lambda head: f"{head.name} {head.rate} {head.chunked}",
)
def test_no_figure_is_read_between_readings(faces, head: HeadParams, monkeypatch) -> None:
    """On a GPU each of these would wait for it."""
    read_every(5, monkeypatch)
    inside = []

    def watch(name: str) -> None:
        plain = getattr(torch.Tensor, name)

        def call(self: torch.Tensor, *rest: object) -> object:
            inside.extend([name] * (threading.current_thread() is threading.main_thread() and updating[-1]))
            return plain(self, *rest)

        monkeypatch.setattr(torch.Tensor, name, call)

    updating = [False]

    def update(*arguments: object) -> torch.Tensor:
        updating.append(True)
        metrics = step.update(*arguments)  # type: ignore[arg-type]
        updating.append(False)
        return metrics

    for name in ("item", "tolist", "cpu", "__bool__", "__float__", "__int__"):
        watch(name)
    monkeypatch.setattr(trainer, "update", update)
    training.fit([faces], recipe(epochs=1, head=head), CPU)
    assert inside == []


def test_batches_are_made_ahead_in_their_order_and_no_further_than_told() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    items = prefetching.run_ahead(numbers(), 2)
    assert next(items) == 0
    assert [*items] == list(range(1, 20))

    made.clear()
    items = prefetching.run_ahead(numbers(), 2)
    assert [next(items), next(items)] == [0, 1]
    items.close()  # type: ignore[attr-defined]
    assert len(made) <= 2 + 2 + 2  # given, waiting, in hand
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_an_error_comes_after_the_batches_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("cut short")

    items = prefetching.run_ahead(numbers(), 2)
    assert next(items) == 1
    with pytest.raises(OSError, match="cut short"):
        next(items)


def test_the_keys_for_gpus_are_set_for_the_training_only() -> None:
    fast = recipe(products="high", deterministic=False)
    with step.reproducible(fast, GPU):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.benchmark
        assert not torch.are_deterministic_algorithms_enabled()
    with step.reproducible(fast, CPU):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_recipe_without_them_is_written_as_before() -> None:
    assert {"products", "deterministic"}.isdisjoint(recipe().model_dump())
    fast = recipe(products="high", deterministic=False)
    assert Train(**fast.model_dump()) == fast


def test_the_pace_is_that_of_all_steps_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(prefetching.time, "perf_counter", lambda: now[0])

    def batches() -> Iterator[int]:
        for number in range(5):
            now[0] += 1.0
            yield number

    pace = prefetching.Pace()
    for number in pace.watch(batches()):  # type: ignore[arg-type]
        now[0] += 3.0 if number else 100.0
    assert pace == prefetching.Pace(steps=4, seconds=16.0, waited=4.0)
    assert pace.describe(8) == {"images_per_second": 2.0, "waiting_for_data": 0.25}
    assert prefetching.Pace().describe(8) == {}


def test_the_share_of_the_time_that_a_gpu_works_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that jumps on, and a GPU whose clock reads half of it."""
    clock = count(0.0, 1.0)
    monkeypatch.setattr(prefetching.time, "perf_counter", lambda: next(clock))

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.read = next(clock)

        def elapsed_time(self, later: Event) -> float:
            return 500 * (later.read - self.read)

    monkeypatch.setattr(prefetching.torch.cuda, "Event", Event)
    pace = prefetching.Pace(marks=[])
    assert len(list(pace.watch(iter("abc")))) == 3
    assert pace.marks is not None
    assert (pace.steps, len(pace.marks)) == (2, 2)
    assert pace.describe(8)["gpu_busy"] == pytest.approx(sum(b.read - a.read for a, b in pace.marks) / 2 / pace.seconds)


def test_a_trial_tells_the_pace(faces, tmp_path) -> None:
    tried = recipe(epochs=1).model_dump(mode="json")
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**content, "train": tried}))
    done = commands.run("train", faces.path, "--trial", "--json", cwd=tmp_path, FACEREC_DEVICE="cpu")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["images_per_second"] > 0
    assert 0 <= told["waiting_for_data"] < 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
