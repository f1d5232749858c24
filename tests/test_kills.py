"""kill -9 before or after any rename of what writes single files: models, params.yaml, recorded digests."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
import yaml

from facerec import embedding, training
from facerec.backbones import storage
from facerec.catalog import downloads
from facerec.catalog.entries import CatalogEntry
from facerec.embedding import export
from facerec.params import profiles
from stages import train as stage
from tests.conftest import ROOT
from tests.killed import kill_at_every_rename
from tests.models import recipe, write_set

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.attack(
    "Halves and mixtures", "kill -9 while models are written", "each file is the old one or the new one"
)
@pytest.mark.slow
def test_weights_and_curves_of_a_training_are_each_whole(tmp_path: Path) -> None:
    """DVC runs the stage again then, since it has not recorded the outputs."""
    faces = write_set(tmp_path / "faces", range(2), photos=4)
    trained = [training.fit([faces], recipe(epochs=1, seed=seed), CPU) for seed in (1, 2)]
    known = {each.backbone.digest() for each in trained}
    assert len(known) == 2
    losses = [each.history[0].loss for each in trained]

    def check() -> None:
        for name in ("n.pt", "n_best.pt"):
            assert storage.load_backbone(tmp_path / "models" / name).digest() in known
        for kind in ("loss", "accuracy", "validation"):
            assert kind in json.loads((tmp_path / f"reports/curves/n_{kind}.json").read_text())
        assert json.loads((tmp_path / "reports/metrics/train/n.json").read_text())["n"]["train_loss"] in losses

    moments = kill_at_every_rename(
        lambda: stage.write(trained[0], "n", "x86-64"), lambda: stage.write(trained[1], "n", "x86-64"), check
    )
    assert moments == 2 * 6
    assert storage.load_backbone(tmp_path / "models/n.pt").digest() == trained[1].backbone.digest()
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.attack(
    "Halves and mixtures", "kill -9 while models are written", "each file is the old one or the new one"
)
def test_an_export_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = write_set(tmp_path / "faces", range(2), photos=4)
    trained = training.fit([faces], recipe(epochs=1), CPU).backbone
    storage.save_backbone(trained, tmp_path / "n.pt")
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    file = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    monkeypatch.setattr(export, "encode_onnx", lambda stored: file.SerializeToString())
    monkeypatch.setattr(export, "_largest_difference", lambda embedder, encoded: 0.0)
    seen = []
    moments = kill_at_every_rename(
        lambda: (tmp_path / "n.onnx").write_bytes(b"old"),
        lambda: export.export_onnx(tmp_path / "n.pt", tmp_path / "n.onnx"),
        lambda: seen.append((tmp_path / "n.onnx").read_bytes()),
    )
    assert seen == [b"old", *[file.SerializeToString()] * moments]
    assert embedding.load_embedder(tmp_path / "n.pt").dim == recipe().backbone.dim


@pytest.mark.attack("Halves and mixtures", "kill -9 of a switch of profiles", "params.yaml is that of one profile")
def test_params_yaml_is_that_of_one_profile(tmp_path: Path) -> None:
    target, folder = tmp_path / "params.yaml", ROOT / "profiles"
    old, new = (profiles.compose_params(folder, name) for name in ("default", "lfw"))
    seen = []
    moments = kill_at_every_rename(
        lambda: target.write_text(old),
        lambda: profiles.apply_profile(folder, "lfw", target),
        lambda: seen.append(target.read_text()),
    )
    assert seen == [old, *[new] * moments]
    profiles.apply_profile(folder, "default", target)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.attack("Halves and mixtures", "kill -9 while a digest is recorded", "the record before, or the new one")
def test_recorded_digests_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalog").mkdir()
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "catalog"))
    files = [{"name": name, "urls": ["https://x.invalid/x"]} for name in ("one", "two")]
    made = {"name": "small", "title": "t", "kind": "lists", "licence": "CC0", "files": files}
    entry, kept, seen = CatalogEntry.model_validate(made), tmp_path / "catalog/known/small.yaml", []
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())

    def record(*names: str) -> None:
        only = entry.model_copy(update={"files": [file for file in entry.files if file.name in names]})
        downloads.record_checksums(only, {name: tmp_path / name for name in names}, dict.fromkeys(names, "download"))

    def prepare() -> None:
        kept.unlink(missing_ok=True)
        record("one")

    moments = kill_at_every_rename(
        prepare, lambda: record("two"), lambda: seen.append(list(yaml.safe_load(kept.read_text())))
    )
    assert seen == [["one"], *[["one", "two"]] * moments]
