"""Weights and models that others published: renamed entries, TorchScript, and equal outputs where those are known."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from torch import Tensor, nn

import facerec
from facerec import embedding
from facerec.backbones import published, storage
from facerec.backbones.mobilefacenet import MobileFaceNet
from facerec.core import FormatError, ParamsError
from facerec.detection.faces import load_state
from facerec.embedding import export
from facerec.inspection import inspect
from facerec.store.model_metadata import Preprocessing
from tests import commands
from tests.conftest import ROOT
from tests.models import SIZE, TEMPLATE, write_set
from tests.recognition import save_model

FACES = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)


def declare(folder: Path, **values: object) -> None:
    """Write the preprocessing.yaml of a model in `folder`."""
    (folder / "preprocessing.yaml").write_text(yaml.safe_dump(Preprocessing(**values).to_dict()))  # type: ignore[arg-type]


def as_xiaoccer(key: str) -> str:
    """The name that an entry of our MobileFaceNet has in the weights of xiaoccer."""
    block = re.match(r"body\.(\d+)\.layers\.(\d)\.(\d)\.(.*)", key)
    if block:
        return f"blocks.{block[1]}.conv.{3 * int(block[2]) + int(block[3])}.{block[4]}"
    names = {"stem.0": "conv1", "stem.1": "dw_conv1", "expand": "conv2", "pool": "linear7", "project": "linear1"}
    ours = next(name for name in names if key.startswith(name))
    part, rest = key.removeprefix(ours + ".").split(".", 1)
    return f"{names[ours]}.{('conv', 'bn', 'prelu')[int(part)]}.{rest}"


def test_renamed_weights_give_the_same_embeddings(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = MobileFaceNet(8, (112, 96)).eval()
    theirs = {f"module.{as_xiaoccer(key)}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 3, "net_state_dict": theirs}, tmp_path / "068.ckpt")
    declare(tmp_path, crop=(8, 104), std=(128.0, 128.0, 128.0), flip="none")
    embedder = embedding.load_embedder(tmp_path)
    prepared = (torch.from_numpy(FACES[:, :, 8:104]).permute(0, 3, 1, 2) - 127.5) / 128
    with torch.inference_mode():
        expected = network(prepared).numpy()
    assert embedder.dim == 8
    np.testing.assert_allclose(embedder.embed(FACES), expected, rtol=1e-4, atol=1e-5)


def test_the_network_of_foamliu_is_its_onnx_file(mirror: Path) -> None:
    weights = mirror / "weights"
    session = onnxruntime.InferenceSession(weights / "mobilefacenet_foamliu.onnx")
    stored = published.load_published(weights / "mobilefacenet_foamliu.pt", Preprocessing())
    inputs = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(5))
    name = session.get_inputs()[0].name
    expected = np.concatenate([session.run(None, {name: image[None].numpy()})[0] for image in inputs])
    with torch.inference_mode():
        np.testing.assert_allclose(stored.network(inputs).numpy(), expected, atol=1e-4)
    assert stored.dim == 128


class Means(nn.Module):
    """(b, 3): the mean of each channel."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


class Burglar(nn.Module):
    """Means of the channels; on the way it writes a file and reads another."""

    def __init__(self, written: str, read: str) -> None:
        super().__init__()
        self.written, self.read = written, read

    def forward(self, images: Tensor) -> Tensor:
        torch.save(images.sum(), self.written)
        loot = torch.from_file(self.read, size=8, dtype=torch.uint8)
        return images.mean(dim=(2, 3)) + 0 * loot.sum()


def script(network: nn.Module, path: Path) -> Path:
    """`network` as TorchScript, with a preprocessing beside it that passes pixels unchanged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        torch.jit.script(network).save(str(path))
    declare(path.parent, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), flip="none")
    return path


@pytest.mark.attack(
    "Programs in files", "TorchScript that writes and reads files", "refused, unless allowed for this file"
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_runs_only_where_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"8 bytes!")
    owned = tmp_path / "OWNED"
    for name in ("net.pt", "net.ts", "net.pth", "net.ckpt"):
        path = script(Burglar(str(owned), str(tmp_path / "secret")), tmp_path / name)
        for load in (embedding.load_embedder, facerec.embedder, facerec.Recogniser):
            with pytest.raises(FormatError, match=r"is TorchScript, a program .* --allow-torchscript"):
                load(path)
        with pytest.raises(FormatError, match="is TorchScript"):
            storage.load_backbone(path)
        with pytest.raises(FormatError, match="is TorchScript"):
            published.load_published(path, Preprocessing())
        with pytest.raises(FormatError, match="is TorchScript"):
            load_state(Means(), path, "weights")
        found = inspect(path)
        assert found.kind == "TorchScript, a program"
        assert "it was not loaded" in found.facts["warning"]
        assert not owned.exists()
    np.testing.assert_allclose(
        embedding.load_embedder(path, allow_torchscript=True).embed(FACES), FACES.mean((1, 2)), rtol=1e-5
    )
    assert owned.exists()  # so it was the refusal that kept it from being written


@pytest.mark.attack("Programs in files", "TorchScript named as a catalog model", "never runs")
def test_torchscript_under_the_name_of_a_catalog_model_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEREC_CATALOG", str(ROOT / "data/catalog"))
    place = tmp_path / "data/raw/mobilefacenet_foamliu_pt"
    place.mkdir(parents=True)
    script(Burglar(str(tmp_path / "OWNED"), str(ROOT / "params.yaml")), place / "mobilefacenet_foamliu.pt")
    for name in ("mobilefacenet_foamliu_pt", place):
        with pytest.raises(FormatError, match="is TorchScript"):
            facerec.embedder(name, allow_torchscript=True)
    assert not (tmp_path / "OWNED").exists()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_becomes_onnx(tmp_path: Path) -> None:
    torch.manual_seed(2)
    path = script(MobileFaceNet(8, (112, 112), width=0.125).eval(), tmp_path / "net.pt")
    target = tmp_path / "out/net.onnx"
    target.parent.mkdir()
    with pytest.raises(FormatError, match="is TorchScript"):
        export.export_onnx(path, target)
    assert not target.exists()
    assert export.export_onnx(path, target, allow_torchscript=True) <= export.TOLERANCE
    by_script = embedding.load_embedder(path, allow_torchscript=True)
    by_onnx = embedding.load_embedder(target)
    assert by_onnx.preprocessing == by_script.preprocessing
    np.testing.assert_allclose(by_onnx.embed(FACES), by_script.embed(FACES), rtol=1e-3, atol=1e-4)


@pytest.mark.attack("Programs in files", "TorchScript for stages and commands", "refused, with the way to convert it")
def test_commands_and_stages_run_torchscript_only_with_the_option(tmp_path: Path) -> None:
    write_set(tmp_path / "data/faces/test/synth_lfw", range(2), photos=1)
    (tmp_path / "models").mkdir()
    path = script(Burglar(str(tmp_path / "OWNED"), str(ROOT / "params.yaml")), tmp_path / "models/backbone.pt")
    declare(path.parent, size=SIZE, template=TEMPLATE, flip="none")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "model": "models/backbone.pt"}))

    stage = subprocess.run(
        [sys.executable, "-m", "stages.embed", "synth_lfw"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    embed = ("embed", path, "data/faces/test/synth_lfw", "out.npy")
    for done in (stage, *(commands.run(*words, cwd=tmp_path) for words in (embed, ("onnx", path, "net.onnx")))):
        assert done.returncode == 1
        assert "is TorchScript, a program" in done.stderr
        assert done.stderr.count("\n") == 1
    told = commands.run("inspect", path, "--json", cwd=tmp_path).stdout
    assert "was not loaded" in " ".join(told.split())
    assert not (tmp_path / "OWNED").exists()
    shown = commands.run("embed", "--help", cwd=tmp_path, COLUMNS="80").stdout
    assert "change and delete every" in " ".join(shown.split())
    assert commands.run(*embed, "--allow-torchscript", cwd=tmp_path).returncode == 0
    assert np.load(tmp_path / "out.npy").shape == (2, 3)


def test_what_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(FormatError, match=r"put a preprocessing\.yaml beside"):
        embedding.load_embedder(path)
    declare(tmp_path)
    with pytest.raises(FormatError, match="no known layout"):
        embedding.load_embedder(path)
    torch.save({"linear7.conv.weight": torch.zeros(2)}, path)
    with pytest.raises(FormatError, match="looks like MobileFaceNet of xiaoccer"):
        embedding.load_embedder(path)
    torch.save([1, 2], path)
    with pytest.raises(FormatError, match="without weights"):
        embedding.load_embedder(path)
    path.write_bytes(b"not torch at all")
    with pytest.raises(FormatError, match="is no torch file of plain tensors"):
        embedding.load_embedder(path)


def test_weights_that_run_code_are_refused(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[object, ...]:
            return shutil.rmtree, (str(tmp_path / "canary"),)

    (tmp_path / "canary").mkdir()
    torch.save({"state_dict": Touch()}, tmp_path / "net.pth")
    declare(tmp_path)
    with pytest.raises(FormatError, match="is no torch file of plain tensors"):
        embedding.load_embedder(tmp_path / "net.pth")
    assert (tmp_path / "canary").is_dir()


def test_statistics_of_unit_pixels_are_refused() -> None:
    with pytest.raises(FormatError, match="multiply them by 255"):
        Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def test_a_model_of_the_catalog_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_CATALOG", str(ROOT / "data/catalog"))
    monkeypatch.chdir(tmp_path)
    name = "insightface_w600k_mbf"
    with pytest.raises(ParamsError, match="lfw is neither a file nor a model of the catalog"):  # a set of photos
        facerec.embedder("lfw")
    (tmp_path / "data/raw" / name).mkdir(parents=True)
    save_model(tmp_path / "data/raw" / name / "backbone.pt")
    assert facerec.embedder(name).dim == 16
