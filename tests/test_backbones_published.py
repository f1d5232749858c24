"""Weights by their published names go into the right network, which answers as the publishers' own code does.

golden/published_backbones.json holds the first eight numbers that each publisher's code gives for `images`, with the
weights of `published_names.filled` (torch 2.14, CPU) and, last, with the weights that xiaoccer published.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from facerec import backbones
from facerec.backbones import published
from facerec.core import FormatError
from facerec.embedding import load_embedder
from facerec.store.model_metadata import Preprocessing
from tests import published_names as names
from tests.conftest import ROOT

GOLDEN = json.loads((Path(__file__).parent / "golden/published_backbones.json").read_text())

ANSWERS = {
    "foamliu": names.foamliu(),
    "xiaoccer": names.xiaoccer(),
    "Face_Pytorch mobile": names.xiaoccer(width=7),
    "InsightFace_Pytorch mobile": names.insightface_mobile(),
    "arcface_torch mbf": names.mbf(),
    "arcface_torch mbf_large": names.mbf(large=True),
    "arcface_torch vit_t": names.transformer(),
    "arcface_torch r18": names.arcface_torch(18),
    "AdaFace r18": names.adaface(18),
    "AdaFace SE-50": names.adaface(50, "se"),
    "MagFace r18": names.magface(18),
    "InsightFace-v3": names.insightface_v3(),
    "InsightFace-v3 r18 without SE": names.insightface_v3((2, 2, 2, 2), squeeze=False),
    "Face_Pytorch SE-50": names.face_pytorch(50, "se"),
    "Face_Pytorch CBAM-50": names.face_pytorch(50, "cbam"),
    "Face_Pytorch first SE-50": names.counted(50, "se", inner_norm=True),
    "InsightFace_Pytorch SE-50": names.counted(50, "se"),
    "Face_Pytorch attention-56": names.attention(56),
    "Face_Pytorch attention-92": names.attention(92),
}
NORMALISED = ("InsightFace_Pytorch mobile", "InsightFace_Pytorch SE-50", "AdaFace r18", "AdaFace SE-50")
"""Cases in which the publisher's code divides by the norm, which is left to the caller here."""
SLOW = ("Face_Pytorch attention-92",)


def prepared(width: int = 112) -> Preprocessing:
    """For a network of any layout that takes images of this width."""
    return Preprocessing(crop=None if width == 112 else (8, 8 + width), normalised=False)


class Normalise(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x)


def images(width: int = 112) -> Tensor:
    """A face of noise, (1, 3, 112, width), so bright that the ReLU6 of foamliu clips."""
    return torch.from_numpy(np.random.default_rng(0).normal(0, 16, (1, 3, 112, width)).astype(np.float32))


def assert_answers(network: torch.nn.Module, case: str, width: int) -> None:
    with torch.inference_mode():
        found = network(images(width))[0].numpy()
    expected = np.array(GOLDEN[case])
    np.testing.assert_allclose(found[:8], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in ANSWERS])
def test_networks_answer_as_the_publishers_code(case: str) -> None:
    width = 96 if case == "xiaoccer" else 112
    network = published.fit_published(names.filled(ANSWERS[case]), prepared(width), case).network
    if case in NORMALISED:
        network = torch.nn.Sequential(network, Normalise())
    assert_answers(network, case, width)


def test_published_weights_answer_as_the_publishers_code(mirror: Path) -> None:
    stored = published.load_published(mirror / "weights/mobilefacenet_xiaoccer_068.ckpt", prepared(96))
    assert (stored.name, stored.dim, stored.trained_on) == ("mobilefacenet", 128, None)
    assert_answers(stored.network, "xiaoccer's weights", 96)


# Entries as published and the network of ours that they must find.
FAMILIES = {
    "mobilefacenet": names.xiaoccer(512, width=7),
    "mbf": names.mbf(),
    "mbf-large": names.mbf(large=True),
    "vit-s": names.transformer(512),
    "iresnet34": names.arcface_torch(34),
    "iresnet200": names.arcface_torch(200),
    "iresnet152": names.face_pytorch(152),
    "iresnet50-cam": names.face_pytorch(50, "cam"),
    "iresnet50-sam": names.face_pytorch(50, "sam"),
    "iresnet100-cbam": names.face_pytorch(100, "cbam"),
    "ir50": names.counted(50),
    "ir100-se": names.counted(100, "se"),
    "ir152": names.counted(152),
    "adaface-ir34-se": names.adaface(34, "se"),
    "magface-iresnet100": names.magface(100),
    "se-resnet101-ir": names.insightface_v3(),
    "resnet34-ir": names.insightface_v3((3, 4, 6, 3), squeeze=False),
    "attention56-summed": names.attention(56),
    "attention92-summed": names.attention(92),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_network_is_found_by_its_entries(name: str) -> None:
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in FAMILIES[name].items()}
        ours = backbones.build_backbone(name, 512)
        found = published.fit_published(state, prepared(), name)
    assert (found.name, found.dim) == (name, 512)
    assert {key: value.shape for key, value in found.network.state_dict().items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }


def test_the_length_of_the_embedding_and_the_size_are_the_weights(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in names.filled(names.xiaoccer(24)).items()}
    torch.save(state, tmp_path / "068.ckpt")
    stored = published.load_published(tmp_path / "068.ckpt", prepared(96))
    assert stored.dim == 24
    with torch.inference_mode():
        assert stored.network(images(96)).dtype == torch.float32
    with pytest.raises(FormatError, match=r"looks like MobileFaceNet of xiaoccer.*size mismatch"):
        published.load_published(tmp_path / "068.ckpt", prepared())


def test_networks_that_differ_in_their_norm_alone_have_to_be_declared(tmp_path: Path) -> None:
    torch.save(names.filled(names.insightface_mobile(24)), tmp_path / "model.pth")
    said = "size: [112, 112]\nflip: none\n"
    (tmp_path / "preprocessing.yaml").write_text(said)
    with pytest.raises(FormatError, match=r"(?s)InsightFace_Pytorch \(normalised\) or MultiFace.*`normalised: true`"):
        load_embedder(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    lengths = {}
    for normalised in ("true", "false"):
        (tmp_path / "preprocessing.yaml").write_text(f"{said}normalised: {normalised}\n")
        lengths[normalised] = np.linalg.norm(load_embedder(tmp_path).embed(pixels), axis=1)
    assert lengths["true"] == pytest.approx(np.ones(2))
    assert (np.abs(lengths["false"] - 1) > 0.05).all()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "backbone.", "model.", "module._orig_mod.", "model.net."])
def test_what_stands_before_the_names_is_left_out(prefix: str) -> None:
    state = {f"{prefix}{key}": value for key, value in names.filled(names.xiaoccer(8)).items()}
    state["head.weight"] = torch.zeros(9, 8)
    assert published.fit_published(state, prepared(96), "net.pt").dim == 8


def test_what_training_of_arcface_torch_keeps_loads_too(tmp_path: Path) -> None:
    weights = {f"module.{key}": value for key, value in names.filled(names.mbf(8)).items()}
    torch.save({"epoch": 3, "state_dict_backbone": weights}, tmp_path / "checkpoint_gpu_0.pt")
    assert published.load_published(tmp_path / "checkpoint_gpu_0.pt", prepared()).dim == 8


class Network(torch.nn.Module):
    """Stands for a class of somebody's project."""


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.slow
def test_reading_a_network_loads_neither_the_compiler_nor_a_client_of_the_web(tmp_path: Path) -> None:
    torch.save(names.filled(names.foamliu()), tmp_path / "net.pt")
    program = f"""
import sys
import facerec.recognition.recogniser
from facerec.backbones.published import load_published
from facerec.store.model_metadata import Preprocessing
load_published({str(tmp_path / "net.pt")!r}, Preprocessing())
print({{"torch._dynamo", "httpx"}} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "set()\n", "two seconds each time, and a third of one"


@pytest.mark.parametrize("new", [True, False])
def test_a_whole_pickled_network_is_not_run_and_said_how_to_convert(tmp_path: Path, new: bool) -> None:
    torch.save({"epoch": 3, "model": Network()}, tmp_path / "BEST_checkpoint.tar", _use_new_zipfile_serialization=new)
    with pytest.raises(FormatError, match=r"a whole pickled network .*torch\.save\(model\.state_dict\(\), "):
        published.load_published(tmp_path / "BEST_checkpoint.tar", prepared())


def changed(shapes: names.Shapes, old: str, new: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return {key.replace(old, new): torch.empty(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (changed(names.arcface_torch(18), "layer4.1.", "layer4.2."), "Missing key"),
        (changed(names.arcface_torch(34), "layer4.2.", "layer5.2."), r"units a stage are of no known depth"),
        (changed(names.face_pytorch(50, "se"), ".fc1.", ".fc3."), "units of this kind are unknown"),
        (changed(names.counted(50), "body.3.res_layer.1.", "body.3.res_layer.9."), "out of range"),
        (
            {"body.0.res_layer.4.running_mean": torch.zeros(96), "body.0.res_layer.1.weight": torch.zeros(96, 64)},
            "units of 96 channels are unknown",
        ),
        (changed(names.foamliu(), "conv3.bias", "conv3.offset"), "conv3.bias"),
        (changed(names.attention(56), "mask_block5", "mask_block7"), "Missing key"),
    ],
)
def test_weights_of_another_network_are_refused(state: dict[str, Tensor], problem: str) -> None:
    with pytest.raises(FormatError, match=f"^net.pth looks like .* does not fit it .*{problem}"):
        published.fit_published(state, prepared(), "net.pth")
