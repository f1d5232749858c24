"""`import facerec`: every public name resolves, importing them is lazy, and the example of the docstring runs."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import facerec
from facerec.store import shard_writing, shards
from tests import cartoon
from tests.conftest import ROOT
from tests.recognition import photo, save_model


def example() -> str:
    """The program in the docstring."""
    indented = [line for line in str(facerec.__doc__).splitlines() if line.startswith("    ") or not line]
    return inspect.cleandoc("\n".join(indented))


@pytest.mark.parametrize("name", facerec.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    assert callable(getattr(facerec, name))
    assert getattr(facerec, name).__doc__
    assert getattr(facerec, name) is getattr(facerec, name)


def test_the_lazy_names_are_public_and_listed() -> None:
    assert set(facerec._LAZY) < set(facerec.__all__) <= set(dir(facerec))
    assert "__version__" in dir(facerec)


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'facerec' has no attribute 'detect_everything'"):
        _ = facerec.detect_everything
    with pytest.raises(ImportError, match="cannot import name 'detect_everything'"):
        from facerec import detect_everything  # noqa: F401


def test_importing_facerec_imports_nothing_heavy() -> None:
    program = "import facerec, sys; print(sorted({'numpy', 'torch', 'pydantic', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_stages_that_compute_with_no_network_import_nothing_of_the_kind() -> None:
    with_networks = {"clean", "common", "embed", "export", "megaface_features", "overlap", "train"}
    stages = {path.stem for path in (ROOT / "stages").glob("[a-z]*.py")} - with_networks
    program = f"""
import importlib, sys
for name in {sorted(stages)}:
    importlib.import_module("stages." + name)
import numpy, pyarrow
from facerec.core import without_pandas
from facerec.reporting.provenance import describe_machine
with without_pandas():
    pyarrow.array(numpy.zeros(2))  # asks for it
describe_machine()
from facerec.evaluation.identification import identify
faces = numpy.eye(6, dtype=numpy.float32)
identify(faces[:4], [0, 0, 1, 1], faces[4:])
print([name for name in ("anny", "matplotlib.pyplot", "onnx", "pandas", "timm", "torch") if sys.modules.get(name)])
"""
    environment = {**os.environ, "FACEREC_DEVICE": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_pandas_is_there_again_after_a_command() -> None:
    program = """
import sys, numpy, pyarrow
from facerec.core import without_pandas
with without_pandas():
    pyarrow.array(numpy.zeros(2))
print("pandas" in sys.modules, len(pyarrow.table({"a": [1, 2]}).to_pandas()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False 2\n"


def test_sets_are_read_by_their_kind(tmp_path: Path) -> None:
    rows = [{"image": photo("ann"), "source": "ann.jpg", "identity": "ann", "label": 0}]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "people"))
    assert facerec.read_photos(tmp_path / "photos").sources == ["ann.jpg"]
    with pytest.raises(facerec.core.FormatError):
        facerec.read_faces(tmp_path / "photos")


def test_the_example_of_the_docstring_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "models").mkdir()
    save_model(tmp_path / "models" / "backbone.pt")
    for file, name in (("a.jpg", "ann"), ("b.jpg", "bob")):
        (tmp_path / file).write_bytes(photo(name))
    monkeypatch.chdir(tmp_path)
    used = {"photo": cartoon.photo({"width": 70.0})[0], "numpy": np}
    assert len(ast.parse(example()).body) == 6
    exec(example(), used)  # the docstring is ours
    assert used["embeddings"].shape == (1, 16)  # type: ignore[attr-defined]
    assert "so nothing is decided" in capsys.readouterr().out
