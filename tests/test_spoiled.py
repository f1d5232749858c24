"""Spoiled networks, declarations and documents: every wrong key, type, number and depth is one sentence."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper

import facerec
from facerec import backbones, embedding, params
from facerec.backbones import storage
from facerec.catalog import entries
from facerec.core import AcquireError, FacerecError, FormatError, ParamsError, local_setting, parse_json, parse_yaml
from facerec.inspection import inspect
from facerec.params import profiles
from facerec.store import shards
from facerec.store.model_metadata import Preprocessing
from tests.conftest import ROOT
from tests.models import SIZE, TEMPLATE, Small, faces_of, write_set

SMALL = Preprocessing(size=SIZE, template=TEMPLATE)
DIGITS = "9" * 6000
DEEP = 100_000
ODD: list[Any] = [
    None, True, -1, 0, 1e308, float("nan"), 10**30, "", "x" * 10_000, b"x", [], [1], {}, {"a": 1}, {1: 2},
    torch.zeros(1), torch.zeros(2, 3, dtype=torch.complex64), torch.zeros(3).to_sparse(), torch.zeros(2, device="meta"),
]  # fmt: skip
"""Values that belong nowhere in a backbone.pt, or only in other places."""


def content() -> dict[str, Any]:
    """What a small backbone.pt holds."""
    torch.manual_seed(4)
    with mock.patch.dict(backbones.BACKBONES, small=Small):
        made = storage.create_backbone("small", 16, {"width": 0.25}, SMALL)
    return {
        "format": storage.FORMAT,
        "backbone": {"name": made.name, "dim": made.dim, "options": made.options},
        "preprocessing": made.preprocessing.to_dict(),
        "trained_on": [{"name": "one", "rendered": True}],
        "state_dict": dict(made.network.state_dict()),
    }


def places(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key; of the weights only the first three."""
    for number, (key, value) in enumerate(tree.items()):
        if above != ("state_dict",) or number < 3:
            yield (*above, key)
            if isinstance(value, dict):
                yield from places(value, (*above, key))


def parent(tree: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    for key in place[:-1]:
        tree = tree[key]
    return tree


def opened(file: Path) -> str:
    """What opening the network and embedding a face gives: "" or the sentence of a refusal; anything else is a defect."""
    try:
        embedding.load_embedder(file).embed(faces_of(1, 1))
    except FacerecError as error:
        return str(error)
    return ""


@pytest.mark.attack("Programs in files", "wrong keys in `backbone.pt`", "one sentence")
@pytest.mark.parametrize("place", list(places(content())), ids=".".join)
def test_a_backbone_with_a_wrong_key_is_one_sentence(
    place: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "small", Small)
    file = tmp_path / "backbone.pt"

    def judge(tree: dict[str, Any]) -> str:
        torch.save(tree, file)
        said = opened(file)
        with suppress(FormatError):
            inspect(file)
        return said

    missing, strange = content(), content()
    del parent(missing, place)[place[-1]]
    parent(strange, place)["strange" if len(place) > 1 else "format"] = "strange"
    if place[0] != "trained_on" and place[:2] not in (("backbone", "options"), ("preprocessing", place[-1])):
        assert str(file) in judge(missing)
    assert str(file) in judge(strange)
    refused = 0
    for value in ODD:
        spoiled = content()
        parent(spoiled, place)[place[-1]] = value
        said = judge(spoiled)
        assert len(said) < 1500 + len(str(file))
        refused += bool(said)
    assert refused >= len(ODD) - 4  # None, "" or {} are right in some places


@pytest.mark.attack("Programs in files", "weights that ask for a terabyte", "refused before memory is taken")
def test_a_backbone_that_asks_for_a_terabyte_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    file = tmp_path / "backbone.pt"
    for name, dim, options in (
        ("mobilefacenet", 1 << 16, {"width": 100_000.0}),
        ("mobilefacenet", 10**12, {}),
        ("iresnet100", 1 << 16, {}),
        ("mobilefacenet", 16, {"width": 1e30}),
    ):
        tree = content()
        tree["backbone"] = {"name": name, "dim": dim, "options": options}
        torch.save(tree, file)
        assert "damaged or not a backbone" in opened(file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "[0, 0]"), ("size", "[-1, 112]"), ("size", "[1000000, 1000000]"), ("size", "112"),
        ("size", f"[{DIGITS}, 112]"), ("size", f"[0x{DIGITS}, 112]"), ("mean", "[.nan, 1, 1]"), ("std", "[.inf, 9, 9]"),
        ("mean", "[1e300, 1, 1]"), ("crop", "[5, 5]"), ("flip", "[" * DEEP), ("flip", "!!int ''"), ("flip", "!!bool x"),
        ("template", "!!timestamp x"), ("template", "!!python/object/apply:os.system [touch OWNED]"),
    ],
)  # fmt: skip
def test_a_spoiled_declaration_is_one_sentence(key: str, value: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"linear7.conv.weight": torch.zeros(2)}, tmp_path / "net.pt")
    (tmp_path / "preprocessing.yaml").write_text(f"{key}: {value}\n")
    with pytest.raises(FormatError, match="preprocessing") as caught:
        embedding.load_embedder("net.pt")
    assert len(str(caught.value)) < 1500
    assert not (tmp_path / "OWNED").exists()


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
DOCUMENTS = [
    "[" * DEEP,
    "{a: " * DEEP,
    f"a: {DIGITS}",
    f"a: 0x{DIGITS}",
    f"{DIGITS}: 1",
    LAUGHS,
    "a: &a [*a]",
    "\x00",
    "? ",
]


@pytest.mark.parametrize("text", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_every_yaml_document_we_read_is_refused_in_one_sentence(text: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "name.yaml").write_text(text)
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path))
    calls: list[tuple[type[FacerecError], Callable[[], object]]] = [
        (ParamsError, lambda: params.load_params(tmp_path / "name.yaml")),
        (ParamsError, lambda: profiles.compose_params(tmp_path, "name")),
        (AcquireError, lambda: entries.load_entry("name")),
        (FormatError, lambda: Preprocessing.from_dict(parse_yaml(text, "a file"), "a file")),
    ]
    for kind, call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("text", ["[" * DEEP, '{"a":' * DEEP, f'{{"a": {DIGITS}}}', f'{{"path": [{DIGITS}]}}', "\xff{"])
def test_every_json_document_is_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError):
        inspect(file)
    with pytest.raises(FormatError, match="is not valid JSON"):
        parse_json(file.read_bytes(), "x.json")


@pytest.mark.parametrize(
    "text", [f"a = {'[' * DEEP}", f"device = {DIGITS}", f"device = 0x{DIGITS}", "\x00", "a = \xff"]
)
def test_settings_of_the_machine_that_cannot_be_read_are_one_sentence(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEREC_DEVICE", raising=False)
    Path("facerec.local.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ParamsError, match="correct or delete it"):
        local_setting("device", "auto")


@pytest.mark.parametrize(
    "note", ["[" * DEEP, f'{{"kind": {DIGITS}}}', f'{{"kind":"faces","dataset":"d","version":{DIGITS}}}']
)
def test_shards_with_spoiled_metadata_are_one_sentence(note: str, tmp_path: Path, monkeypatch) -> None:
    import pyarrow as pa

    made = write_set(tmp_path / "set", range(1), 1)
    table = made.table.replace_schema_metadata({"facerec": note})
    with pa.OSFile(str(tmp_path / "set/part-00000.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(FormatError, match="does not say what set it is part of"):
        shards.read_shards(tmp_path / "set")


def write_onnx(path: Path, *nodes: onnx.NodeProto, output: tuple[int, int] = (1, 3), **others: Any) -> Path:
    """An ONNX file that maps "x" (1, 3, h, w) to "y" with these nodes; "huge" is the shape (10**6, 10**6)."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *SIZE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    known = [
        helper.make_tensor("huge", TensorProto.INT64, [2], [10**6, 10**6]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
        *others.get("weights", []),
    ]
    graph = helper.make_graph(list(nodes), "graph", [x], [y], known)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.custom", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    path.with_name("preprocessing.yaml").write_text(yaml.safe_dump(SMALL.to_dict()))
    return path


MEAN = helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0)


@pytest.mark.slow
def test_an_onnx_file_that_asks_for_a_terabyte_is_one_sentence(tmp_path: Path) -> None:
    """In a process of its own, where memory is limited as it is on any machine without overcommitment."""
    fixed = write_onnx(
        tmp_path / "fixed.onnx",
        helper.make_node("ConstantOfShape", ["huge"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        MEAN,
        helper.make_node("Add", ["mean", "sum"], ["y"]),
    )
    code = f"""
import resource, sys
from facerec import embedding
from facerec.core import run_command
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (32 << 30, 32 << 30))
sys.exit(run_command(lambda: embedding.load_embedder({str(fixed)!r}).embed(np.zeros((1, 32, 32, 3), np.uint8))))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert f"error: {fixed} cannot be" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_onnx_file_with_custom_operators_or_data_elsewhere_is_refused(tmp_path: Path) -> None:
    custom = write_onnx(tmp_path / "custom.onnx", helper.make_node("Run", ["x"], ["y"], domain="ai.custom"))
    assert "cannot be read as ONNX" in opened(custom)
    (tmp_path / "secret").write_bytes(np.ones(3, np.float32).tobytes())
    (tmp_path / "in").mkdir()
    for place in ("../secret", str(tmp_path / "secret"), "link"):
        outside = helper.make_tensor("outside", TensorProto.FLOAT, [3], [0.0, 0.0, 0.0])
        outside.ClearField("float_data")
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value=place)
        (tmp_path / "in/link").unlink(missing_ok=True)
        (tmp_path / "in/link").symlink_to("../secret")
        file = write_onnx(
            tmp_path / "in/net.onnx", MEAN, helper.make_node("Add", ["mean", "outside"], ["y"]), weights=[outside]
        )
        assert "cannot be read as ONNX" in opened(file), place
        assert inspect(file).kind == "ONNX network"


def test_an_onnx_file_that_is_no_network_of_faces_is_one_sentence(tmp_path: Path) -> None:
    text = helper.make_node("Constant", [], ["y"], value=helper.make_tensor("v", TensorProto.STRING, [1, 1], [b"x"]))
    shape = helper.make_node("Shape", ["x"], ["y"])
    wide = helper.make_node("Concat", ["mean", "mean"], ["y"], axis=1)
    for number, nodes in enumerate(([text], [shape], [MEAN, wide])):
        assert str(tmp_path) in opened(write_onnx(tmp_path / f"{number}.onnx", *nodes))


@pytest.mark.attack("Programs in files", "a loader in our code that could run files", "this test fails")
def test_every_loader_that_could_run_code_is_the_safe_one() -> None:
    """By the calls in the source; the two unpicklers of our own are subclasses that allow a few names."""
    unsafe = {"pickle.load", "pickle.loads", "joblib.load", "yaml.load", "yaml.unsafe_load", "eval", "exec"}
    unsafe |= {"torch.hub.load", "torch.package.PackageImporter", "marshal.loads", "shelve.open", "os.system"}
    where: dict[str, set[str]] = {}
    for folder in ("facerec", "stages", "synthfaces", "tools"):
        for file in (ROOT / folder).rglob("*.py"):
            calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
            for call in calls:
                name, text = ast.unparse(call.func), ast.unparse(call)
                assert name not in unsafe, (file, text)
                assert "allow_pickle=True" not in text, (file, text)
                assert name != "torch.load" or "weights_only=True" in text, (file, text)
                where.setdefault(name, set()).add(file.relative_to(ROOT).as_posix())
    assert where["torch.load"] == {"facerec/core/reading.py"}
    assert where["torch.jit.load"] == {"facerec/embedding/embedder.py"}
    assert where["yaml.safe_load"] <= {"facerec/core/reading.py", "stages/report.py", "tools/graph.py", "tools/lock.py"}
    assert where["onnxruntime.InferenceSession"] == {"facerec/core/onnx_sessions.py"}


@pytest.mark.attack("Programs in files", "names of timm that lead to hubs or folders", "refused, no connection")
@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:timm/resnet18.a1_in1k",
        "hf_hub:timm/resnet18",
        "local-dir:/etc",
        "resnet18.hf-hub:x",
        "resnet18/../x",
        "timm/resnet18",
    ],
)
def test_names_of_timm_fetch_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ParamsError):
        backbones.build_backbone(f"timm/{name}", 16, (64, 64))
    with pytest.raises(ParamsError, match="takes dropout, not pretrained"):
        backbones.build_backbone("timm/resnet18", 16, (64, 64), pretrained=True)
    assert facerec.backbone("timm/resnet18", 16, (64, 64)) is not None
