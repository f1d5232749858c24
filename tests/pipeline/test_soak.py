"""A running `dvc repro` with a fault in it, once for each kind; `make soak` does it with the default experiment."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.conftest import ROOT
from tests.faults import FAULTS
from tests.soak import Soak, Undisturbed

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    made = Soak(tmp_path_factory.mktemp("soak"), small=True, targets=("train@backbone",), code=ROOT)
    yield made
    made.close()


@pytest.mark.attack("Disturbed runs", "kill -9 of a worker of `dvc repro`", "the next run gives the same bytes")
def test_a_run_whose_worker_was_killed_ends_with_the_same_bytes(soak: Soak) -> None:
    disturbed(soak, "worker")


@pytest.mark.attack("Disturbed runs", "a full disk under `dvc repro`", "the next run gives the same bytes")
def test_a_run_on_a_full_disk_ends_with_the_same_bytes(soak: Soak) -> None:
    disturbed(soak, "disk")


@pytest.mark.attack(
    "Disturbed runs",
    "kill -9 of all of `dvc repro`, and spoiled parts of its unfinished work",
    "the next run gives the same bytes",
)
def test_a_run_with_spoiled_parts_ends_with_the_same_bytes(soak: Soak) -> None:
    disturbed(soak, "parts")


def disturbed(soak: Soak, fault: str) -> None:
    told, wrong = soak.run(1 + list(FAULTS).index(fault), seed=0, fault=fault)
    assert wrong == [], told


def test_a_run_with_other_bytes_is_noticed(soak: Soak) -> None:
    """The soak itself: what it would say of a run that ended with another output, a file too many or one too few."""
    lock, running = soak.undisturbed.lock, soak.running
    assert running is not None
    assert list(soak.differences(running)) == []
    (soak.root / "dvc.lock").write_text(lock.replace("size: ", "size: 1"))
    (soak.root / "models/.x.0.tmp").write_text("")
    (soak.root / "params.yaml").unlink()
    told = "\n".join(soak.differences(running))
    assert "train@backbone has other bytes" in told
    assert "left behind: models/.x.0.tmp" in told
    assert "missing: params.yaml" in told


def test_moments_follow_from_the_seed_and_reach_every_stage() -> None:
    whole = Undisturbed("", [], [], [("render@a", 8.0), ("detect@a", 1.0), ("train@b", 1.0)])
    drawn = [whole.moment(Random(f"0 {number}"), "kill") for number in range(100)]
    assert drawn == [whole.moment(Random(f"0 {number}"), "kill") for number in range(100)]
    assert {stage for stage, _ in drawn} == {"render@a", "detect@a", "train@b"}
    assert {whole.moment(Random(number), "parts")[0] for number in range(50)} == {"detect@a", "train@b"}
