"""Training that starts from a network: published weights, frozen parts, a rate of its own for the backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from facerec import training
from facerec.backbones import storage
from facerec.core import FormatError, ParamsError
from facerec.params import Backbone, Freeze, HeadParams
from facerec.store import shards
from facerec.store.model_metadata import Preprocessing
from facerec.training import Trained
from tests import published_names as names
from tests.models import SIZE, TEMPLATE, recipe, write_set

CPU = torch.device("cpu")
STILL = {"lr": 1e-12, "weight_decay": 0.0}
"""A recipe that changes nothing that can be seen."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(4), photos=6)


@pytest.fixture(scope="module")
def start(faces, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("start") / "start.pt"
    storage.save_backbone(fit(faces).backbone, path)
    return path


def fit(faces: shards.Shards, **changes: object) -> Trained:
    return training.fit([faces], recipe(**changes), CPU)


def changed(trained: Trained, start: Path) -> set[str]:
    """The parts of the network in which any weight or running statistic is another than at the start."""
    before = storage.load_backbone(start).network.state_dict()
    after = trained.backbone.network.state_dict()
    return {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}


def test_frozen_parts_stay_as_they_are_until_they_are_released(faces, start: Path) -> None:
    parts = {"stem", "body", "expand", "pool", "project"}
    assert changed(fit(faces, init=str(start)), start) == parts
    frozen = Freeze(parts=("stem", "body"))
    trained = fit(faces, init=str(start), freeze=frozen)
    assert changed(trained, start) == parts - {"stem", "body"}
    assert not any(part.training for part in trained.backbone.network.modules())
    released = frozen.model_copy(update={"epochs": 1})
    assert changed(fit(faces, init=str(start), freeze=released), start) == parts
    assert changed(fit(faces, init=str(start), freeze=released, epochs=1), start) == parts - {"stem", "body"}


def test_the_network_has_a_rate_of_its_own(faces, start: Path) -> None:
    before = storage.load_backbone(start).network.state_dict()
    slow = fit(faces, init=str(start), backbone_rate=1e-9, weight_decay=0.0)
    after = slow.backbone.network.state_dict()
    assert all(torch.allclose(after[key], before[key], atol=1e-6) for key in after if key.endswith(".0.weight"))
    assert slow.history[-1].loss < slow.history[0].loss, "the head learns"


def test_a_part_that_the_network_has_not(faces, start: Path) -> None:
    with pytest.raises(ParamsError, match=r"no part 'stemm'; its parts are stem, body, expand, pool, project, and"):
        fit(faces, init=str(start), freeze=Freeze(parts=("stemm",)))


def write_published(folder: Path) -> Path:
    """Weights by the names of xiaoccer, for faces of SIZE, with their preprocessing beside."""
    folder.mkdir()
    shapes = names.xiaoccer(16) | {"linear7.conv.weight": (512, 1, 2, 2)}
    torch.save({f"module.{key}": value for key, value in names.filled(shapes).items()}, folder / "068.ckpt")
    said = Preprocessing(SIZE, TEMPLATE, mean=(120.0, 110.0, 100.0)).to_dict()
    (folder / "preprocessing.yaml").write_text(yaml.safe_dump(said))
    return folder


def test_published_weights_are_trained_further(faces, tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    wanted = {"init": str(folder), "backbone": Backbone(dim=16), "head": HeadParams(scale=16.0, margin=0.2)}
    stored = fit(faces, **wanted, epochs=1, **STILL).backbone
    assert (stored.name, stored.dim, stored.trained_on) == ("mobilefacenet", 16, None), "who knows what it saw"
    assert stored.preprocessing.mean == (120.0, 110.0, 100.0)
    given = names.filled({"conv1.conv.weight": (64, 3, 3, 3)})["conv1.conv.weight"]
    torch.testing.assert_close(stored.network.state_dict()["stem.0.0.weight"], given)
    storage.save_backbone(stored, tmp_path / "tuned.pt")
    assert storage.load_backbone(tmp_path / "tuned.pt").preprocessing == stored.preprocessing


def test_what_cannot_be_a_start_is_one_sentence(faces, tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    with pytest.raises(ParamsError, match=r"published is mobilefacenet with 16 outputs, but train.backbone says"):
        fit(faces, init=str(folder), backbone=Backbone(dim=32))
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(FormatError, match=r"net.onnx is ONNX, which cannot be trained"):
        fit(faces, init=str(tmp_path / "net.onnx"))


def test_a_network_starts_with_a_part_of_the_blocks_of_another(faces, start: Path, tmp_path: Path) -> None:
    options = {"name": "mobilefacenet", "dim": 16, "width": 0.125}
    half = fit(faces, init=str(start), backbone=Backbone(**options, depth=0.5), epochs=1, **STILL).backbone
    before, after = storage.load_backbone(start).network.body, half.network.body
    assert [len(before), len(after)] == [15, 9]
    weights = [before[place].layers[0][0].weight for place in (0, 2, 4, 5, 7, 9, 11, 12, 14)]
    assert all(torch.allclose(old, new.layers[0][0].weight) for old, new in zip(weights, after, strict=True))
    storage.save_backbone(half, tmp_path / "half.pt")
    assert storage.load_backbone(tmp_path / "half.pt").options["depth"] == 0.5
    for again in (None, 0.5):
        further = fit(faces, init=str(tmp_path / "half.pt"), backbone=Backbone(**options, depth=again), epochs=1)
        assert len(further.backbone.network.body) == 9
    with pytest.raises(ParamsError, match=r"half.pt has 0.5 of its blocks; leave out train.backbone.depth"):
        fit(faces, init=str(tmp_path / "half.pt"), backbone=Backbone(**options, depth=0.25))


def test_a_network_without_blocks_to_spare_is_named(faces, tmp_path: Path) -> None:
    network = storage.create_backbone("vit-t", 16, {}, Preprocessing(SIZE, TEMPLATE))
    storage.save_backbone(network, tmp_path / "vit.pt")
    with pytest.raises(ParamsError, match=r"vit.pt is vit-t, whose blocks are all needed"):
        fit(faces, init=str(tmp_path / "vit.pt"), backbone=Backbone(name="vit-t", dim=16, depth=0.5))
