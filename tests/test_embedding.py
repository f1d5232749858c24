"""Embedders feed networks what they declare, whatever the batch, and refuse other faces."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
import yaml
from torch import Tensor

from facerec import embedding
from facerec.backbones import storage
from facerec.core import FormatError, ImageError
from facerec.embedding import Embedder
from facerec.embedding.embedder import OnnxNetwork
from facerec.imaging.images import encode_jpeg
from facerec.store import shard_writing, shards
from facerec.store.model_metadata import Flip, Preprocessing
from tests.models import SIZE, TEMPLATE, faces_of, write_set

SMALL = Preprocessing(size=SIZE, template=TEMPLATE)


@pytest.fixture(scope="module")
def stored() -> storage.StoredBackbone:
    torch.manual_seed(4)
    backbone = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, SMALL)
    backbone.network.train()
    with torch.no_grad():
        backbone.network(torch.randn(16, 3, *SIZE))  # statistics other than the initial ones
    return backbone


@pytest.fixture
def model(stored: storage.StoredBackbone, tmp_path: Path) -> Path:
    storage.save_backbone(stored, tmp_path / "backbone.pt")
    return tmp_path / "backbone.pt"


def left_half(images: Tensor) -> Tensor:
    """A network whose embedding is the channel means of the image's left half, (b, 3)."""
    return images[..., : images.shape[-1] // 2].mean((2, 3))


def test_preprocessing_crops_orders_channels_and_normalises() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 3), np.uint8)
    rules = Preprocessing(size=(4, 8), crop=(1, 6), colour="BGR", mean=(1.0, 2.0, 3.0), std=(10.0, 20.0, 40.0))
    prepared = rules.apply(torch.from_numpy(images))
    assert rules.input_size == (4, 5)
    assert prepared.dtype == torch.float32
    for channel, source in enumerate((2, 1, 0)):
        expected = (images[:, :, 1:6, source] - rules.mean[channel]) / rules.std[channel]
        np.testing.assert_allclose(prepared[:, channel], expected, rtol=1e-6)


def test_preprocessing_survives_yaml_and_refuses_what_it_does_not_know() -> None:
    rules = Preprocessing(size=(112, 112), crop=(8, 104), mean=(123.7, 116.3, 103.5), flip="sum-normalised")
    assert Preprocessing.from_dict(yaml.safe_load(yaml.safe_dump(rules.to_dict())), "here") == rules
    for wrong, named in (
        ({"colours": "RGB"}, "colours"),
        ({"mean": [1, 2]}, "mean"),
        ({"flip": "twice"}, "flip"),
        ({"std": [1, 1, 0]}, "std"),
        ({"crop": [8, 200]}, "columns"),
        (None, "all of it"),
    ):
        with pytest.raises(FormatError, match=f"(?s){named}"):
            Preprocessing.from_dict(wrong, "here")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": (112, 96)}, "112x96"),
        ({"template": "arcface-128"}, "arcface-128"),
        ({"kind": "photos", "size": None}, "holds photos"),
        ({"colour": "BGR"}, "BGR"),
    ],
)
def test_faces_of_another_kind_are_refused(change: dict[str, object], named: str) -> None:
    fields = {"kind": "faces", "dataset": "d", "size": (112, 112), "template": "arcface-112"} | change
    Preprocessing().check(shards.Meta("faces", "d", size=(112, 112), template="arcface-112"))
    with pytest.raises(FormatError, match=named):
        Preprocessing().check(shards.Meta(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("flip", get_args(Flip))
def test_flips_are_fused_as_declared(flip: str) -> None:
    images = faces_of(1, 3)
    rules = Preprocessing(size=SIZE, template=TEMPLATE, mean=(0, 0, 0), std=(1, 1, 1), flip=flip)  # type: ignore[arg-type]
    embedder = Embedder(left_half, 3, rules)
    left = images[:, :, : SIZE[1] // 2].mean((1, 2))
    right = images[:, :, SIZE[1] // 2 :].mean((1, 2))
    unit = [half / np.linalg.norm(half, axis=1, keepdims=True) for half in (left, right)]
    expected = {"none": left, "sum": left + right, "sum-normalised": sum(unit), "concat": np.hstack([left, right])}
    result = embedder.embed(images)
    assert result.dtype == np.float32
    assert result.shape == (3, embedder.dim)
    np.testing.assert_allclose(result, expected[flip], rtol=1e-5)


def test_the_batch_changes_nothing(model: Path) -> None:
    embedder = embedding.load_embedder(model)
    images = np.concatenate([faces_of(k, 3) for k in range(3)])
    reference = embedder.embed(images, batch=9)
    for batch in (1, 2, 4, 64):
        np.testing.assert_allclose(embedder.embed(images, batch), reference, atol=1e-5)
    assert (embedder.embed(images[:5], batch=4) == embedder.embed(images, batch=4)[:5]).all()
    assert embedder.embed(images[:0]).shape == (0, 16)


def test_a_set_is_embedded_row_by_row_in_order(model: Path, tmp_path: Path, monkeypatch) -> None:
    faces = write_set(tmp_path / "faces", range(3), photos=3)
    embedder = embedding.load_embedder(model)
    monkeypatch.setenv("FACEREC_WORKERS", "3")
    rows = embedder.embed(faces, batch=2)
    from facerec.imaging.images import decode

    pixels = np.stack([decode(faces.image(index)) for index in range(len(faces))])
    assert (rows == embedder.embed(pixels, batch=2)).all()
    assert len({row.tobytes() for row in rows}) == len(faces)


def test_faces_that_do_not_fit_the_network_are_refused(model: Path, tmp_path: Path) -> None:
    embedder = embedding.load_embedder(model)
    with pytest.raises(FormatError, match="aligned to 'other'"):
        embedder.embed(write_set(tmp_path / "other", range(1), photos=1, template="other"))
    with pytest.raises(FormatError, match="takes RGB uint8"):
        embedder.embed(np.zeros((1, 112, 112, 3), np.uint8))
    with pytest.raises(FormatError, match="float32"):
        embedder.embed(np.zeros((1, *SIZE, 3), np.float32))  # type: ignore[arg-type]
    meta = shards.Meta("faces", "broken", size=SIZE, template=TEMPLATE)
    rows = [{"image": b"no image", "label": 0, "identity": "a", "source": "a/1.jpg"}]
    shard_writing.write_shards(rows, tmp_path / "broken", meta)
    with pytest.raises(ImageError, match=r"a/1\.jpg"):
        embedder.embed(shards.read_shards(tmp_path / "broken"))


def mean_network(path: Path, batch: int | str, preprocessing: Preprocessing | None = None) -> None:
    """An ONNX file whose embedding (batch, 3) is the mean of each channel."""
    images = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, 3, *SIZE])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, 3])
    node = onnx.helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])
    graph = onnx.helper.make_graph([node], "mean", [images], [output], [axes])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    if preprocessing is not None:
        path.with_name("preprocessing.yaml").write_text(yaml.safe_dump(preprocessing.to_dict()))


@pytest.mark.parametrize("batch", [1, 2, "batch"])
def test_a_downloaded_onnx_file_needs_its_preprocessing_beside_it(batch: int | str, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    mean_network(path, batch)
    with pytest.raises(FormatError, match=r"put a preprocessing\.yaml beside it"):
        embedding.load_embedder(path)
    rules = Preprocessing(size=SIZE, template=TEMPLATE, mean=(5, 5, 5), std=(2, 2, 2), flip="none")
    mean_network(path, batch, rules)
    images = faces_of(2, 3)
    expected = (images.mean((1, 2)) - 5) / 2
    for name in (path, tmp_path):
        np.testing.assert_allclose(embedding.load_embedder(name).embed(images), expected, rtol=1e-4)


def longer_network(path: Path, *nodes: onnx.NodeProto, **constants: list[int]) -> None:
    """An ONNX file of batch 1 that gives the means of the channels, "means", to `nodes`, of which the last makes "y"."""
    mean_network(path, 1)
    model = onnx.load(path)
    model.graph.node[0].output[0] = "means"
    model.graph.node.extend(nodes)
    for name, values in constants.items():
        kind = onnx.TensorProto.INT64
        model.graph.initializer.append(onnx.helper.make_tensor(name, kind, [len(values)], values))
    onnx.save(model, path)


@pytest.mark.parametrize("shape", [[-1, 3], [1, 3], [1, -1]])
def test_an_onnx_file_for_one_image_takes_many(shape: list[int], tmp_path: Path) -> None:
    longer_network(tmp_path / "n.onnx", onnx.helper.make_node("Reshape", ["means", "shape"], ["y"]), shape=shape)
    network = OnnxNetwork(tmp_path / "n.onnx", "n.onnx")
    assert network.fixed_batch is None
    images = torch.rand(5, 3, *SIZE)
    np.testing.assert_allclose(network(images), images.mean((2, 3)), rtol=1e-5)


def test_an_onnx_file_that_mixes_images_is_run_one_by_one(tmp_path: Path) -> None:
    centre = onnx.helper.make_node("ReduceMean", ["means", "first"], ["centre"], keepdims=1)
    longer_network(tmp_path / "n.onnx", centre, onnx.helper.make_node("Add", ["means", "centre"], ["y"]), first=[0])
    network = OnnxNetwork(tmp_path / "n.onnx", "n.onnx")
    assert network.fixed_batch == 1
    images = torch.rand(5, 3, *SIZE)
    np.testing.assert_allclose(network(images), 2 * images.mean((2, 3)), rtol=1e-5)


def test_models_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    mean_network(path, 1, Preprocessing())
    with pytest.raises(FormatError, match="its preprocessing makes"):
        embedding.load_embedder(path)
    (tmp_path / "preprocessing.yaml").write_text("size: [112")
    with pytest.raises(FormatError, match="not valid YAML"):
        embedding.load_embedder(path)
    path.write_bytes(b"nothing")
    with pytest.raises(FormatError, match="cannot be read as ONNX"):
        embedding.load_embedder(path)
    (tmp_path / "second.onnx").write_bytes(b"")
    with pytest.raises(FormatError, match="exactly one"):
        embedding.load_embedder(tmp_path)
    with pytest.raises(FormatError, match="does not exist"):
        embedding.load_embedder(tmp_path / "missing.onnx")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FormatError, match="is no model"):
        embedding.load_embedder(tmp_path / "notes.txt")


@pytest.mark.attack("Numbers", "a sound network that gives NaN for one face", "refused; the face is named")
def test_one_face_without_finite_values_is_named(tmp_path: Path) -> None:
    def contrast(images: Tensor) -> Tensor:  # 0 / 0 for a face of one colour
        return (images - images.mean((2, 3), keepdim=True)).amax((2, 3)) / images.std((2, 3))

    embedder = Embedder(contrast, 3, SMALL)
    faces = faces_of(0, 5)
    faces[[2, 4]] = 90
    told = (
        "the network gives values that are not finite of this face and of 1 more in its batch, although not of others"
    )
    with pytest.raises(FormatError, match=f"^Face 2: {told}"):
        embedder.embed(faces)
    rows = [
        {"image": encode_jpeg(face), "label": 0, "identity": "a", "source": f"{n}.jpg"} for n, face in enumerate(faces)
    ]
    shard_writing.write_shards(rows, tmp_path / "x", shards.Meta("faces", "x", size=SIZE, template=TEMPLATE))
    with pytest.raises(FormatError, match=rf"^Face 2 of {tmp_path}/x \(2\.jpg\): {told}; take them out of the set"):
        embedder.embed(shards.read_shards(tmp_path / "x"))


@pytest.mark.attack("Numbers", "weights of NaN", "refused")
def test_damaged_weights_are_noticed(model: Path) -> None:
    embedder = embedding.load_embedder(model)
    next(embedder.network.parameters()).data.fill_(float("nan"))  # type: ignore[attr-defined]
    with pytest.raises(FormatError, match="not finite"):
        embedder.embed(faces_of(0, 1))
