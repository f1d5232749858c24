"""Weights by their published names go into the right network, which answers as the publishers' own code does.

golden/published_backbones.json holds the first eight numbers that each publisher's code gives for `images`, with the
weights of `published_names.filled` (torch 2.14, CPU) and, last, with the weights that xiaoccer published.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facerec import backbones
from facerec.backbones import published
from facerec.backbones.published import Normalised
from facerec.core import FormatError
from tests import published_names as names

GOLDEN = json.loads((Path(__file__).parent / "golden/published_backbones.json").read_text())

ANSWERS = {
    "foamliu": names.foamliu(),
    "xiaoccer": names.xiaoccer(),
    "Face_Pytorch mobile": names.xiaoccer(width=7),
    "InsightFace_Pytorch mobile": names.insightface_mobile(),
    "arcface_torch mbf": names.mbf(),
    "arcface_torch r18": names.arcface_torch(18),
    "InsightFace-v3": names.insightface_v3(),
    "Face_Pytorch SE-50": names.face_pytorch(50, "se"),
    "Face_Pytorch CBAM-50": names.face_pytorch(50, "cbam"),
    "Face_Pytorch first SE-50": names.counted(50, "se", inner_norm=True),
    "InsightFace_Pytorch SE-50": names.counted(50, "se"),
    "Face_Pytorch attention-56": names.attention(56),
    "Face_Pytorch attention-92": names.attention(92),
}
SLOW = ("Face_Pytorch attention-92",)


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
    network, _ = published.fit_published(names.filled(ANSWERS[case]), (112, width), case)
    assert_answers(network, case, width)


def test_published_weights_answer_as_the_publishers_code(mirror: Path) -> None:
    network, dim = published.load_published(mirror / "weights/mobilefacenet_xiaoccer_068.ckpt", (112, 96))
    assert dim == 128
    assert_answers(network, "xiaoccer's weights", 96)


# Entries as published and the network of ours that they must find.
FAMILIES = {
    "mobilefacenet": names.xiaoccer(512, width=7),
    "mbf": names.mbf(),
    "iresnet34": names.arcface_torch(34),
    "iresnet200": names.arcface_torch(200),
    "iresnet152": names.face_pytorch(152),
    "iresnet50-cam": names.face_pytorch(50, "cam"),
    "iresnet50-sam": names.face_pytorch(50, "sam"),
    "iresnet100-cbam": names.face_pytorch(100, "cbam"),
    "ir50": names.counted(50),
    "ir100-se": names.counted(100, "se"),
    "ir152": names.counted(152),
    "se-resnet101-ir": names.insightface_v3(),
    "attention56": names.attention(56),
    "attention92": names.attention(92),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_network_is_found_by_its_entries(name: str) -> None:
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in FAMILIES[name].items()}
        ours = backbones.build_backbone(name, 512)
        found, dim = published.fit_published(state, (112, 112), name)
    plain = found.network if isinstance(found, Normalised) else found
    assert dim == 512
    assert isinstance(plain, type(ours))
    assert {key: value.shape for key, value in plain.state_dict().items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }


def test_the_length_of_the_embedding_and_the_size_are_the_weights(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in names.filled(names.insightface_mobile(24)).items()}
    torch.save(state, tmp_path / "model_mobilefacenet.pth")
    network, dim = published.load_published(tmp_path / "model_mobilefacenet.pth", (112, 112))
    assert dim == 24
    with torch.inference_mode():
        answer = network(images())
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer.norm(dim=1), torch.ones(1))
    with pytest.raises(FormatError, match=r"looks like MobileFaceNet of InsightFace_Pytorch.*size mismatch"):
        published.load_published(tmp_path / "model_mobilefacenet.pth", (112, 96))


def test_what_training_of_arcface_torch_keeps_loads_too(tmp_path: Path) -> None:
    weights = {f"module.{key}": value for key, value in names.filled(names.mbf(8)).items()}
    torch.save({"epoch": 3, "state_dict_backbone": weights}, tmp_path / "checkpoint_gpu_0.pt")
    assert published.load_published(tmp_path / "checkpoint_gpu_0.pt", (112, 112))[1] == 8


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
        published.fit_published(state, (112, 112), "net.pth")
