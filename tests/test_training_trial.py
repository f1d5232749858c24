"""A trial of a recipe, and the recipes that are proposed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from facerec import params, training
from facerec.cli import app
from facerec.core import FormatError, ParamsError
from facerec.params import recipes
from facerec.params.recipes import RULES, Machine, propose_recipe
from facerec.training.trial import try_recipe
from tests.conftest import ROOT
from tests.models import recipe, write_set

CPU = torch.device("cpu")


def test_a_trial_takes_the_steps_of_the_training_and_tells_how_it_went(tmp_path: Path) -> None:
    sets = [write_set(tmp_path / "faces", range(4), photos=6)]
    wanted = recipe(epochs=20, batch=6)
    tried = try_recipe(sets, wanted, CPU, steps=12)
    assert (tried.steps, len(tried.loss)) == (12, 10)
    assert tried.hours == pytest.approx(20 * 4 * 6 / tried.images_per_second / 3600)
    assert tried.memory > 10**7
    assert 0 < tried.waiting_for_data < 1
    whole = training.fit(sets, wanted.model_copy(update={"epochs": 3}), CPU)
    short = try_recipe(sets, wanted.model_copy(update={"epochs": 3}), CPU)
    assert short.steps == 12, "no more than the training has"
    assert sum(short.loss[:2] * 2 + short.loss[2:]) / 12 == pytest.approx(
        sum(epoch.loss for epoch in whole.history) / 3, rel=1e-4
    )


def test_the_command_tries_what_the_experiment_trains_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["train"] |= {"batch": 6, "epochs": 1, "backbone": {"name": "mobilefacenet", "dim": 16, "width": 0.25}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    refused = CliRunner().invoke(app, ["train", "--trial"])
    assert isinstance(refused.exception, ParamsError)
    assert "no training faces here (data/faces/train/synth_people, " in str(refused.exception)
    write_set(tmp_path / "data/faces/train/synth_people", range(4), photos=6)
    done = CliRunner().invoke(app, ["train", "--trial", "--json"])
    told = json.loads(done.stdout)
    assert told["steps"] == 4
    assert told["images_per_second"] > 0
    assert not (tmp_path / "backbone.pt").exists()
    proposed = json.loads(CliRunner().invoke(app, ["recipe", "--json"]).stdout)
    assert proposed["reasons"]["epochs"].endswith("with 6 images a person")
    same = CliRunner().invoke(app, ["recipe", "--images", "24", "--identities", "4", "--json"])
    assert json.loads(same.stdout) == proposed
    (tmp_path / "mine.yaml").write_text("# Mine.\n")
    CliRunner().invoke(app, ["recipe", "--into", "mine.yaml"])
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text()) == {"train": proposed["train"]}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.images:g}-{'gpu' if rule.gpu else 'cpu'}")
def test_every_proposed_recipe_is_valid(rule: recipes.Rule) -> None:
    images = int(min(rule.images, 10**7))
    machine = Machine(cores=8, gpu=16 * 10**9 * rule.gpu)
    proposed = propose_recipe(images, images // 20, machine)
    parsed = params.parse_options(params.Train, proposed.train, "train")
    assert parsed.backbone.name == rule.backbone["name"]
    assert parsed.batch % parsed.accumulate == 0
    chosen = {"backbone", "head", "epochs", "batch", "augmentation"}
    chosen |= set() if rule.gpu else {"threads"}
    chosen |= {"weight_decay"} if rule.decay else set()
    assert proposed.reasons.keys() == chosen
    assert parsed.threads == (2 if rule.gpu else 8)
    assert propose_recipe(images, images // 20, machine) == proposed


def test_a_recipe_for_a_handful_of_photos_can_fill_its_batch() -> None:
    assert propose_recipe(40, 3, Machine()).train["batch"] <= 10
    with pytest.raises(FormatError, match="two people or more, and here is 1"):
        propose_recipe(40, 1, Machine())
