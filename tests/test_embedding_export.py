"""The exported ONNX file is the trained network: same values, same bytes every time, no traces of this machine."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from facerec import embedding
from facerec.backbones import storage
from facerec.embedding import export
from facerec.store.model_metadata import Preprocessing
from tests.models import SIZE, TEMPLATE, faces_of

RULES = Preprocessing(size=SIZE, template=TEMPLATE, crop=(0, 16), flip="none")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(4)
    stored = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, RULES)
    with torch.no_grad():
        stored.network(torch.randn(16, 3, 32, 16))
    path = tmp_path_factory.mktemp("models") / "backbone.pt"
    storage.save_backbone(stored, path)
    return path


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    assert 0 <= export.export_onnx(model, model.with_suffix(".onnx")) < 1e-5
    return model.with_suffix(".onnx")


def test_the_export_embeds_as_torch_does_at_any_batch(model: Path, exported: Path) -> None:
    images = faces_of(2, 5)
    by_torch, by_onnx = embedding.load_embedder(model), embedding.load_embedder(exported)
    assert by_onnx.preprocessing == by_torch.preprocessing == RULES
    for batch in (1, 3, 8):
        np.testing.assert_allclose(by_onnx.embed(images, batch), by_torch.embed(images, batch), atol=1e-5)


def test_the_file_is_self_contained_and_says_nothing_of_this_machine(exported: Path) -> None:
    network = onnx.load(exported, load_external_data=False)
    assert json.loads(network.metadata_props[0].value) == RULES.to_dict()
    assert [(o.domain, o.version) for o in network.opset_import] == [("", 18)]
    assert not any(tensor.external_data for tensor in network.graph.initializer)
    content = exported.read_bytes()
    for trace in (b".py", b"facerec.backbones", b"site-packages", str(Path.cwd()).encode(), torch.__version__.encode()):
        assert trace not in content


def test_equal_weights_give_the_same_file() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, SIZE), torch.nn.PReLU(4), torch.nn.Flatten())
    stored = storage.StoredBackbone(network, "tiny", 4, {}, Preprocessing(size=SIZE, template=TEMPLATE))
    first, second = export.encode_onnx(stored), export.encode_onnx(stored)
    assert first == second
    torch.nn.init.ones_(network[0].weight)
    assert export.encode_onnx(stored) != first


@pytest.mark.slow
def test_an_export_that_computes_something_else_is_not_written(model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(export.ExportError, match="differs from torch by"):
        export.export_onnx(model, tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []
