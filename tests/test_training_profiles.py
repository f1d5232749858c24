"""The published recipes: each profile trains a few steps, on faces of nobody, with a small network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facerec import params, training
from facerec.params import Backbone, HeadParams, Train, Validation, profiles
from facerec.store import shards
from tests.conftest import ROOT
from tests.models import write_set

FOLDER = ROOT / "profiles"
RECIPES = {
    "face_pytorch_casia": (200, 0.1, 18, (6, 11, 16)),
    "pytorch_face_recognition_casia": (256, 0.05, 36, (22, 31)),
    "pytorch_face_recognition_ms1m": (256, 0.05, 25, (13, 21)),
    "multiface": (180, 0.05, 20, (12, 15, 18)),
    "insightface_v3": (256, 0.1, 36, (8, 16, 24, 32)),
    "insightface_2018": (512, 0.1, 24, (100_000, 140_000, 160_000)),
}
"""Profile -> batch, learning rate, epochs, milestones."""


def recipe_of(name: str, folder: Path) -> Train:
    profiles.apply_profile(FOLDER, name, folder / "params.yaml")
    parsed = params.load_params(folder / "params.yaml")
    assert [*parsed.download] == parsed.packs == parsed.training_sets, "only its pack, nothing synthetic"
    assert {benchmark.faces.split("/")[0] for benchmark in parsed.benchmarks.values()} == {*parsed.packs}
    assert (ROOT / f"data/catalog/{parsed.packs[0]}.yaml").is_file()
    return parsed.train


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(3), photos=6)


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_the_published_recipe_and_trains(name: str, faces: shards.Shards, tmp_path: Path) -> None:
    published = recipe_of(name, tmp_path)
    assert (published.batch, published.lr, published.epochs, published.schedule.milestones) == RECIPES[name]
    assert published.nesterov
    assert published.momentum == 0.9
    small = Backbone(name="mobilefacenet", dim=16, width=0.125)
    tried = published.model_copy(update={"batch": 6, "epochs": 1, "backbone": small, "validation": Validation()})
    trained = training.fit([faces], tried, torch.device("cpu"))
    assert torch.tensor(trained.history[-1].loss).isfinite()


def test_what_sets_the_systems_apart(tmp_path: Path) -> None:
    found = {name: recipe_of(name, tmp_path) for name in RECIPES}
    assert [name for name, each in found.items() if each.precision == "float16"] == [
        "pytorch_face_recognition_casia",
        "pytorch_face_recognition_ms1m",
    ]
    multiface = found["multiface"]
    assert multiface.weight_decay * multiface.head_decay == pytest.approx(4e-4)
    assert multiface.weight_decay * multiface.output_decay == pytest.approx(4e-4)
    assert not multiface.decay_all
    assert multiface.head == HeadParams(name="multiface", slices=2, inner="arcface", scale=64, margin=0.5)
    third = found["insightface_v3"]
    assert (third.clip_value, third.augment.colour, third.backbone.name) == (5, 0.125, "se-resnet101-ir")
    assert third.mean == pytest.approx([255 * each for each in (0.485, 0.456, 0.406)])
    assert third.std == pytest.approx([255 * each for each in (0.229, 0.224, 0.225)])
    assert found["insightface_2018"].schedule.unit == "steps"
    assert found["insightface_2018"].head_decay == 10
    assert found["insightface_2018"].validation == Validation(faces="data/faces/test/ms1m_ibug", every=2000)
    assert {found[name].head.scale for name in list(RECIPES)[:3]} == {32}
