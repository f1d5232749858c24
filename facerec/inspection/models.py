"""What a file of weights is: a backbone of this project, a torch state dict, an ONNX network."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from facerec.core import FormatError
from facerec.inspection.finding import Finding, size_of
from facerec.store import training_sets

_TORCH = (".pt", ".pth", ".ckpt")
_PREPROCESSING, _TRAINED_ON = "facerec.preprocessing", "facerec.trained_on"


def recognise(path: Path) -> Finding | None:
    """What the file `path` is by its name and content; None when it holds no weights."""
    if path.suffix == ".onnx":
        return onnx(path)
    return torch(path) if path.suffix in _TORCH or _is_torch_zip(path) else None


def torch(path: Path) -> Finding:
    """A torch file, read so that it can run no code."""
    import torch as library

    try:
        content = library.load(path, map_location="cpu", weights_only=True, mmap=_is_torch_zip(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise FormatError(
            f"{path} is no torch file of plain tensors, or it is damaged ({str(error).splitlines()[0][:120]})."
        ) from error
    tensors = _tensors(content)
    facts: dict[str, Any] = {
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "bytes": size_of(path),
    }
    if isinstance(content, dict) and str(content.get("format", "")).startswith("facerec-backbone"):
        spec, prepared = content.get("backbone"), content.get("preprocessing")
        facts["trained_on"] = _trained_on(content.get("trained_on"), path)
        return Finding("backbone of this project", {"backbone": spec, "preprocessing": prepared, **facts})
    return Finding("torch weights", {**facts, "names": list(tensors)[:5]})


def onnx(path: Path) -> Finding:
    """An ONNX network: inputs, outputs and the preprocessing it declares."""
    import onnx as library

    try:
        model = library.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises a class of its own, without a usable base
        raise FormatError(f"{path} is no ONNX file, or it is damaged ({error}).") from error
    if not model.graph.node:
        raise FormatError(f"{path} is no ONNX file: it holds no network.")
    metadata = {each.key: each.value for each in model.metadata_props}
    weights = {each.name for each in model.graph.initializer}
    facts: dict[str, Any] = {
        "inputs": {each.name: _shape(each) for each in model.graph.input if each.name not in weights},
        "outputs": {each.name: _shape(each) for each in model.graph.output},
        "operators": len(model.graph.node),
        "parameters": sum(_count(each.dims) for each in model.graph.initializer),
        "opset": max((each.version for each in model.opset_import), default=0),
        "bytes": size_of(path),
        "preprocessing": _declared(metadata.get(_PREPROCESSING), path),
        "trained_on": _trained_on(_json(metadata.get(_TRAINED_ON, "null"), path), path),
    }
    return Finding("ONNX network", facts)


def _is_torch_zip(path: Path) -> bool:
    """Whether the file is a zip as torch.save writes it."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/data.pkl") for name in file.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _tensors(content: Any) -> dict[str, Any]:
    """All tensors of nested mappings by their dotted name."""
    import torch as library

    found, pending = {}, [("", content)]
    while pending:
        name, value = pending.pop(0)
        if isinstance(value, library.Tensor):
            found[name] = value
        elif isinstance(value, dict):
            pending += [(f"{name}.{key}" if name else str(key), inner) for key, inner in value.items()]
    return found


def _shape(value: Any) -> list[int | str]:
    return [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]


def _count(dims: Any) -> int:
    count = 1
    for size in dims:
        count *= size
    return count


def _declared(declared: str | None, path: Path) -> Any:
    """The preprocessing inside the network, the name of the file that has it, or that nothing says it."""
    if declared is not None:
        return _json(declared, path)
    return "preprocessing.yaml" if path.with_name("preprocessing.yaml").is_file() else "not declared"


def _trained_on(plain: Any, path: Path) -> list[str] | str:
    return training_sets.words(training_sets.from_plain(plain, str(path)))


def _json(text: str, path: Path) -> Any:
    """A value of an ONNX file's metadata."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is damaged: its metadata are no JSON.") from error
