"""The programs of docs/onnx.md do without facerec what facerec does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from facerec import embedding
from facerec.backbones import storage
from facerec.embedding import METADATA_KEY, export
from facerec.imaging import alignment, images
from facerec.store.model_metadata import Preprocessing
from tests import cartoon
from tests.conftest import ROOT
from tests.models import SIZE, TEMPLATE, faces_of

FLIPS = ("none", "sum", "sum-normalised", "concat")
EMBEDDING, ALIGNMENT = re.findall(r"```python\n(.*?)```", (ROOT / "docs/onnx.md").read_text(), re.DOTALL)
RULES = Preprocessing(size=SIZE, template=TEMPLATE, crop=(8, 24), mean=(120.0, 110.0, 100.0), std=(60.0, 61.0, 62.0))
ALONE = """
import runpy, sys
for name in ("facerec", "torch", "onnx", "PIL"):
    sys.modules[name] = None  # importing it fails
import numpy as np
found = runpy.run_path("program.py")
np.savez("found.npz", embeddings=found["embeddings"], distance=found["distance"])
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(4)
    stored = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, RULES)
    with torch.no_grad():
        stored.network(torch.randn(16, 3, 32, 16))
    folder = tmp_path_factory.mktemp("models")
    storage.save_backbone(stored, folder / "backbone.pt")
    export.export_onnx(folder / "backbone.pt", folder / "backbone.onnx")
    return folder / "backbone.onnx"


def with_rules(exported: Path, target: Path, flip: str, colour: str) -> Path:
    """The exported network with other rules in its metadata."""
    model = onnx.load(exported)
    notes = {note.key: note.value for note in model.metadata_props}
    notes[METADATA_KEY] = json.dumps(json.loads(notes[METADATA_KEY]) | {"flip": flip, "colour": colour})
    onnx.helper.set_model_props(model, notes)
    target.parent.mkdir(exist_ok=True)
    onnx.save(model, target)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_onnxruntime_alone_finds_the_same_embeddings(exported: Path, tmp_path: Path, flip: str, colour: str) -> None:
    model = with_rules(exported, tmp_path / "models/backbone.onnx", flip, colour)
    encoded = [images.encode_jpeg(face) for face in faces_of(1, 2)]
    for name, data in zip(("one.jpg", "two.jpg"), encoded, strict=True):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "program.py").write_text(EMBEDDING)
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT)})
    found = np.load(tmp_path / "found.npz")
    expected = embedding.load_embedder(model).embed(np.stack(list(map(images.decode, encoded))))
    np.testing.assert_allclose(found["embeddings"], expected, rtol=1e-5, atol=1e-6)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert found["distance"] == pytest.approx(float(np.sum((unit[0] - unit[1]) ** 2)), rel=1e-4)


@pytest.mark.slow
def test_every_rule_gives_embeddings_of_its_own(exported: Path, tmp_path: Path) -> None:
    """Else the test above could not tell whether the program heeds them."""
    faces = faces_of(1, 2)
    paths = [
        with_rules(exported, tmp_path / f"{flip}_{colour}.onnx", flip, colour)
        for flip in FLIPS
        for colour in ("RGB", "BGR")
    ]
    rows = [embedding.load_embedder(path).embed(faces) for path in paths]
    for one, other in combinations(rows, 2):
        assert one.shape != other.shape or np.abs(one - other).max() > 1e-3


def test_the_alignment_of_the_page_is_ours() -> None:
    program: dict[str, object] = {}
    exec(ALIGNMENT, program)
    photo, landmarks = cartoon.photo({"width": 90.0, "centre": (110.0, 95.0), "roll": 0.3})
    theirs = program["align"](photo, landmarks[0])  # type: ignore[operator]
    ours = alignment.warp(photo, alignment.similarity(landmarks)[0])
    assert np.abs(theirs.astype(int) - ours).max() <= 1  # the page rounds the template to four digits
    np.testing.assert_allclose(program["TEMPLATE"], alignment.TEMPLATE, atol=5e-5)
