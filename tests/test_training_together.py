"""Training in several processes: the updates of one, the same order, and going on with another number of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from facerec import backbones, distributed, training
from facerec.core import ParamsError
from facerec.heads import Head
from facerec.params import HeadParams, Train, Validation
from facerec.store import pairs, shards
from facerec.store.pairs import Pairs
from facerec.training import Checkpoints, trainer
from facerec.training.data import TrainingFaces
from facerec.training.step import TrainingState
from tests.conftest import ROOT
from tests.models import recipe, write_set
from tests.processes import CPU, Answer, together

KINDS = {
    "split": {"head": HeadParams(scale=16.0, margin=0.2)},
    "whole": {"head": HeadParams(name="curricularface", scale=16.0, margin=0.2)},
    "parts": {"head": HeadParams(name="adaface", scale=16.0), "accumulate": 2, "clip_norm": 0.5},
    "half": {"head": HeadParams(name="cosface", scale=16.0, margin=0.2), "precision": "float16", "epochs": 1},
    "sampled": {"head": HeadParams(scale=16.0, margin=0.2, rate=0.5)},
    "triplets": {"head": HeadParams(name="triplet", margin=0.3)},
}
DIFFERENT = ("half", "sampled")
"""Where float16 overflows depends on the size of a process's part, and each process samples its own classes."""
CLASSES = 8
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


class Plain(nn.Module):
    """A network without batch statistics, so that the split of a batch changes nothing but rounding."""

    def __init__(self, dim: int, size: tuple[int, int], width: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(512, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Stopped(Exception):
    """Raised by a test in the middle of training."""


def trained(folder: Path, wanted: Train, checkpoints: Path | None = None, stop: int | None = None) -> Answer:
    """What training a network without batch statistics comes to, and which faces this process took in which order."""
    plain_update, plain_batches = trainer.update, TrainingFaces.batches
    plain_network = backbones.BACKBONES["mobilefacenet"]
    taken: list[list[int]] = []

    def update(state: TrainingState, *rest: Any) -> Tensor:
        if state.step == stop:
            raise Stopped
        return plain_update(state, *rest)

    def batches(self: TrainingFaces, order: Iterable[np.ndarray]) -> Any:
        def noted() -> Iterator[np.ndarray]:
            for indices in order:
                taken.append(indices.tolist())
                yield indices

        return plain_batches(self, noted())

    kept = None if checkpoints is None else Checkpoints(checkpoints, seconds=0)
    backbones.BACKBONES["mobilefacenet"] = Plain
    trainer.update, TrainingFaces.batches = update, batches
    try:
        result = training.fit([shards.read_shards(folder)], wanted, CPU, kept)
    except Stopped:
        return {"taken": taken}
    finally:
        backbones.BACKBONES["mobilefacenet"] = plain_network
        trainer.update, TrainingFaces.batches = plain_update, plain_batches
    return {
        "taken": taken,
        "network": result.backbone.network.state_dict(),
        "best": result.best.network.state_dict(),
        "head": whole_head(result.head),
        "history": [[epoch.loss, epoch.accuracy, epoch.norm] for epoch in result.history],
        "validations": [[each.step, each.accuracy["lfw"]] for each in result.validations],
    }


def whole_head(head: Head) -> dict[str, Tensor | None]:
    """The state of a head, with the centres of all classes on rank 0."""
    saved = head.saved(torch.optim.SGD([*head.parameters(), nn.Parameter(torch.zeros(1))]))
    return {**saved["head"], **{name: distributed.gather_rows(rows, CLASSES) for name, rows in saved["rows"].items()}}


def everything(folder: Path) -> Answer:
    """All kinds of training in one start of the processes."""
    return {name: trained(folder, recipe(**changes)) for name, changes in KINDS.items()}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "faces"
    write_set(folder, range(CLASSES), photos=4)
    return folder


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def ranks(request, faces, tmp_path_factory) -> list[Answer]:
    return together(request.param, tmp_path_factory.mktemp("run"), everything, faces)


@pytest.fixture(scope="module")
def alone(faces) -> Answer:
    return everything(faces)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_training_of_one_process(kind: str, ranks: list[Answer], alone: Answer) -> None:
    assert {str(answer[kind]["history"]) for answer in ranks} == {str(ranks[0][kind]["history"])}
    assert np.isfinite(ranks[0][kind]["history"]).all()
    if kind in DIFFERENT:
        return
    for answer in ranks:
        torch.testing.assert_close(answer[kind]["network"], alone[kind]["network"], **CLOSE)
        torch.testing.assert_close(answer[kind]["history"], alone[kind]["history"], **CLOSE)
    torch.testing.assert_close(ranks[0][kind]["head"], alone[kind]["head"], **CLOSE)


@pytest.mark.parametrize("kind", ["split", "parts"])
def test_processes_share_every_batch_in_its_order(kind: str, ranks: list[Answer], alone: Answer) -> None:
    pieces = 2 if kind == "parts" else 1
    for step, batch in enumerate(alone[kind]["taken"]):
        mine = [np.reshape(answer[kind]["taken"][step], (pieces, -1)) for answer in ranks]
        assert np.concatenate(mine, axis=1).ravel().tolist() == batch


def test_networks_are_the_same_to_the_bit_on_all_processes(ranks: list[Answer]) -> None:
    for kind in KINDS:
        for answer in ranks[1:]:
            for key, value in ranks[0][kind]["network"].items():
                assert torch.equal(answer[kind]["network"][key], value)


def stopped_and_resumed(faces: Path, checkpoints: Path, stop: int) -> Answer:
    trained(faces, recipe(**KINDS["split"]), checkpoints, stop)
    return trained(faces, recipe(**KINDS["split"]), checkpoints)


def test_as_many_processes_go_on_to_the_same_bits(faces, ranks: list[Answer], tmp_path) -> None:
    again = together(len(ranks), tmp_path / "run", stopped_and_resumed, faces, tmp_path / "kept", 3)
    for part in ("network", "head"):
        for key, value in ranks[0]["split"][part].items():
            assert torch.equal(again[0][part][key], value)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_another_number_of_processes_goes_on(faces, alone: Answer, tmp_path, before: int, after: int) -> None:
    wanted, kept = recipe(**KINDS["split"], batch=6), tmp_path / "kept"
    whole = trained(faces, wanted)
    together(before, tmp_path / "before", trained, faces, wanted, kept, 5)
    answers = together(after, tmp_path / "after", trained, faces, wanted, kept)
    for part in ("network", "head", "history"):
        torch.testing.assert_close(answers[0][part], whole[part], **CLOSE)
    for step in range(5, len(whole["taken"])):
        shown = [face for answer in answers for face in answer["taken"][step - 5]]
        assert shown == whole["taken"][step]


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Train:
    """A recipe that judges two benchmarks every second step."""
    folder = tmp_path_factory.mktemp("watched")
    for name, identities in (("lfw", range(20, 26)), ("cfp", range(30, 36))):
        benchmark = write_set(folder / name, identities, photos=4)
        rows = np.random.default_rng(1).permutation(len(benchmark))
        first, second = rows[:12], np.concatenate([rows[:6] ^ 1, rows[12:18]])
        same = benchmark.labels[first] == benchmark.labels[second]
        pairs.write_pairs(Pairs(first, second, same), folder / name / "pairs.parquet")
    return recipe(validation=Validation(faces=str(folder), every=2), epochs=2)


def test_benchmarks_are_judged_alike_and_the_best_weights_are_kept(faces, watched: Train, tmp_path) -> None:
    one = trained(faces, watched)
    two = together(2, tmp_path / "run", trained, faces, watched)
    assert [step for step, _ in one["validations"]] == [2, 4, 6, 8]
    for answer in two:
        np.testing.assert_allclose(answer["validations"], one["validations"])
    torch.testing.assert_close(two[0]["best"], one["best"], **CLOSE)
    plain = trained(faces, watched.model_copy(update={"validation": Validation()}))
    assert all(torch.equal(plain["network"][key], value) for key, value in one["network"].items())
    assert plain["validations"] == []
    resumed_from = tmp_path / "kept"
    trained(faces, watched, resumed_from, stop=5)
    again = trained(faces, watched, resumed_from)
    assert again["validations"] == one["validations"]
    assert all(torch.equal(again["best"][key], value) for key, value in one["best"].items())


def test_a_photo_set_is_judged_by_its_list_of_pairs(faces, watched: Train, tmp_path) -> None:
    """As LFW by its pairs.txt: the pairs lie elsewhere and name photos."""
    folder = Path(str(watched.validation.faces)) / "lfw"
    benchmark = shards.read_shards(folder)
    compared = pairs.read_pair_table(folder / "pairs.parquet", len(benchmark))
    lines = [
        f"{benchmark.sources[first]}\t{benchmark.sources[second]}\t{int(same)}\n"
        for first, second, same in zip(compared.first, compared.second, compared.same, strict=True)
    ]
    (tmp_path / "pairs.tsv").write_text("".join(lines))
    listed = Validation(faces=str(folder), pairs=str(tmp_path / "pairs.tsv"), every=2)
    wanted = watched.validation.model_copy(update={"sets": ("lfw",)})
    by_list, by_pack = (
        trained(faces, watched.model_copy(update={"validation": each}))["validations"] for each in (listed, wanted)
    )
    assert by_list == by_pack


def test_the_best_is_the_first_of_the_best_looks(monkeypatch, faces, watched: Train) -> None:
    told = iter([0.6, 0.8, 0.8, 0.7])
    monkeypatch.setattr(training.validation.Validator, "__call__", lambda *rest: {"lfw": next(told)})
    seen: list[dict[str, Tensor]] = []
    plain = TrainingState.add_validation

    def judged(self: TrainingState, accuracy: dict[str, float]) -> None:
        plain(self, accuracy)
        seen.append({key: value.clone() for key, value in self.result.state_dict().items()})

    monkeypatch.setattr(TrainingState, "add_validation", judged)
    best = trained(faces, watched)["best"]
    assert all(torch.equal(best[key], value) for key, value in seen[1].items())
    assert not all(torch.equal(best[key], value) for key, value in seen[2].items())


def test_missing_benchmarks_are_named(faces, watched: Train, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for wanted, message in (
        ({"faces": str(tmp_path / "empty")}, r"finds no benchmark in .*empty; no set there has a pairs.parquet"),
        ({"faces": watched.validation.faces, "sets": ("lfw", "agedb")}, r"finds no agedb in .*; there are cfp, lfw"),
    ):
        with pytest.raises(ParamsError, match=message):
            trained(faces, recipe(validation=Validation(**wanted)))


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`facerec train` in `folder`, in two processes."""
    return subprocess.run(
        [sys.executable, "-m", "facerec", "train", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FACEREC_TORCHRUN": "--nproc-per-node 2",
            "FACEREC_DEVICE": "cpu",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_the_command_starts_the_processes_the_machine_asks_for(faces, tmp_path) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"] |= {"epochs": 1, "batch": 8, "backbone": {"name": "mobilefacenet", "dim": 16, "width": 0.125}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    done = run(tmp_path, str(faces), "--json")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["epoch"] == 1
    assert done.stdout.count("\n") == 1
    assert (tmp_path / "backbone.pt").is_file()
    refused = run(tmp_path, str(faces), FACEREC_TORCHRUN="--nproc-per-node 3")
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: train.batch is 8, which 3 processes cannot share evenly; make it a multiple of 3.\n"
    )
    refused = run(tmp_path, str(faces), FACEREC_TORCHRUN="--processes 3")
    assert refused.stderr.startswith("error: FACEREC_TORCHRUN is '--processes 3', which torchrun does not take (")
    assert refused.stderr.count("\n") == 1


def test_a_process_that_loses_the_others_says_so(monkeypatch) -> None:
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    message = "Process 1 lost the others \\(Connection closed"
    with pytest.raises(distributed.DistributedError, match=message), distributed._communicating():
        raise RuntimeError("Connection closed by peer")
    with pytest.raises(torch.OutOfMemoryError), distributed._communicating():
        raise torch.OutOfMemoryError("CUDA out of memory")
