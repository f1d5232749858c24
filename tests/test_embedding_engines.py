"""Engines run the same network with nearly the same embeddings, and say in a sentence where they cannot."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from facerec import backbones, embedding
from facerec.core import ParamsError
from facerec.embedding import Embedder, embed_set
from facerec.embedding.embed_set import embed_face_set
from facerec.embedding.engines import use_engine
from facerec.store.model_metadata import Preprocessing
from tests.models import SIZE, TEMPLATE, faces_of, write_set

RULES = Preprocessing(size=SIZE, template=TEMPLATE, flip="sum")


def trained() -> Embedder:
    """A small network whose statistics are not the initial ones."""
    torch.manual_seed(4)
    network = backbones.build_backbone("mobilefacenet", 16, RULES.input_size, width=0.25)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return Embedder(network.eval(), 16, RULES, digest="0" * 64)


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    first, second = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    return (first.astype(np.float64) * second).sum(axis=1)


def test_float32_engines_give_nearly_the_same_embeddings() -> None:
    plain, images = trained(), faces_of(1, 3)
    expected = plain.embed(images, batch=4)
    for engine in ("fused", "onnxruntime"):
        fast = use_engine(plain, engine)
        assert (fast.digest, fast.dim) == (plain.digest, plain.dim)
        found = fast.embed(images, batch=4)
        assert found.dtype == np.float32
        assert cosines(found, expected).min() > 1 - 1e-6
    assert (plain.embed(images, batch=4) == expected).all()  # the network itself is left as it was


def test_folding_really_removes_the_normalisation() -> None:
    fused = use_engine(trained(), "fused").network
    assert isinstance(fused, nn.Module)
    assert not [layer for layer in fused.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_bfloat16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, images = trained(), faces_of(1, 2)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False, raising=False)
    with pytest.raises(ParamsError, match="bf16 needs a processor with bfloat16 and FACEREC_PORTABLE=no"):
        use_engine(plain, "bf16")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    found = use_engine(plain, "bf16").embed(images, batch=2)
    assert found.dtype == np.float32
    assert cosines(found, plain.embed(images, batch=2)).min() > 0.999


def test_engines_that_cannot_run_a_network_are_refused(tmp_path: Path) -> None:
    plain = trained()
    with pytest.raises(
        ParamsError, match="No engine 'tensorrt' for embeddings; choose one of torch, fused, bf16, onnx"
    ):
        use_engine(plain, "tensorrt")
    onnx = use_engine(plain, "onnxruntime")
    assert use_engine(onnx, "torch") is onnx
    with pytest.raises(ParamsError, match="The network is ONNX, which onnxruntime runs, so the engine fused cannot"):
        use_engine(onnx, "fused")

    class Fickle(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    with pytest.raises(ParamsError, match="The engine fused cannot run this network"):
        use_engine(Embedder(Fickle(), 3, RULES), "fused")


def test_the_embeddings_of_a_set_say_what_computed_them(tmp_path: Path) -> None:
    from facerec.backbones import storage

    torch.manual_seed(4)
    storage.save_backbone(storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, RULES), tmp_path / "b.pt")
    write_set(tmp_path / "faces", range(2), photos=2)
    plain = embed_face_set(tmp_path / "b.pt", tmp_path / "faces")
    fast = embed_face_set(tmp_path / "b.pt", tmp_path / "faces", engine="onnxruntime")
    assert plain.origin is not None
    assert fast.origin is not None
    assert fast.origin.arithmetic == "ONNX Runtime on the CPU"
    assert plain.origin.arithmetic != fast.origin.arithmetic
    assert plain.origin.model == fast.origin.model
    assert embedding.load_embedder(tmp_path / "b.pt").digest == fast.origin.model


def test_benchmarks_that_share_faces_embed_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CFP-FF and CFP-FP: the second one copies, unless anything that decides the numbers has changed."""
    from facerec.backbones import storage

    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    embedded: list[Path] = []
    plain = embed_set.embed_face_set
    monkeypatch.setattr(embed_set, "embed_face_set", lambda *a, **b: (embedded.append(a[1]), plain(*a, **b)))
    for seed, name in ((4, "one"), (5, "two")):
        torch.manual_seed(seed)
        made = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, RULES)
        storage.save_backbone(made, tmp_path / f"{name}.pt")
    write_set(tmp_path / "faces", range(2), photos=2)
    for out in ("ff", "fp"):
        embed_set.embed_once(tmp_path / "one.pt", tmp_path / "faces", tmp_path / f"{out}.npy")
    assert len(embedded) == 1
    plain(tmp_path / "one.pt", tmp_path / "faces", tmp_path / "direct.npy")
    for ending in (".npy", ".parquet"):
        bytes_of = [(tmp_path / f"{out}{ending}").read_bytes() for out in ("ff", "fp", "direct")]
        assert bytes_of[0] == bytes_of[1] == bytes_of[2]
    embed_set.embed_once(tmp_path / "two.pt", tmp_path / "faces", tmp_path / "other.npy")
    write_set(tmp_path / "faces", range(1, 3), photos=2)
    embed_set.embed_once(tmp_path / "two.pt", tmp_path / "faces", tmp_path / "other.npy")
    assert len(embedded) == 3
