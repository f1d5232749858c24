"""Descriptions of weights: a backbone of this project, a torch state dict, safetensors, an ONNX network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from facerec.core import Description, FormatError, is_torchscript, parse_json, read_tensors, size_of, zip_names
from facerec.store.model_metadata import describe_training_sets, parse_training_sets

_TORCH = (".pt", ".pth", ".ckpt", ".safetensors")


def describe_weights(path: Path) -> Description | None:
    """A file of weights, told by its name and content."""
    if path.suffix == ".onnx":
        return _onnx(path)
    if is_torchscript(path):
        warning = "when it runs it can read, change and delete any file of yours; it was not loaded"
        return Description("TorchScript, a program", {"bytes": size_of(path), "warning": warning})
    return _torch(path) if path.suffix in _TORCH or _is_torch_zip(path) else None


def describe_folder(path: Path) -> Description | None:
    """A folder with one ONNX network, as a model of the catalog is."""
    found = sorted(path.glob("*.onnx"))
    return _onnx(found[0]) if len(found) == 1 else None


def _torch(path: Path) -> Description:
    """A torch file, read so that it can run no code."""
    import torch

    content = read_tensors(path, mmap=_is_torch_zip(path))
    tensors, pending = {}, [("", content)]
    while pending:  # nested mappings; a tensor is named by its dotted path
        name, value = pending.pop(0)
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        elif isinstance(value, dict):
            pending += [(f"{name}.{key}" if name else str(key), inner) for key, inner in value.items()]
    count = sum(tensor.numel() for tensor in tensors.values())
    facts: dict[str, Any] = {"tensors": len(tensors), "parameters": count, "bytes": size_of(path)}
    if isinstance(content, dict) and str(content.get("format", "")).startswith("facerec-backbone"):
        made = {key: content.get(key) for key in ("backbone", "preprocessing")}
        trained_on = describe_training_sets(parse_training_sets(content.get("trained_on"), str(path)))
        return Description("backbone of this project", {**made, **facts, "trained_on": trained_on})
    return Description("torch weights", {**facts, "names": list(tensors)[:5]})


def _onnx(path: Path) -> Description:
    """Inputs, outputs and declared preprocessing of a network."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises a class of its own, without a usable base
        raise FormatError(f"{path} is no ONNX file, or it is damaged ({error}).") from error
    if not model.graph.node:
        raise FormatError(f"{path} is no ONNX file: it holds no network.")
    metadata = {each.key: each.value for each in model.metadata_props}
    weights = {each.name for each in model.graph.initializer}
    declared = "preprocessing.yaml" if path.with_name("preprocessing.yaml").is_file() else "not declared"
    trained_on = _parsed(metadata.get("facerec.trained_on"), path)
    facts: dict[str, Any] = {
        "inputs": {each.name: _shape(each) for each in model.graph.input if each.name not in weights},
        "outputs": {each.name: _shape(each) for each in model.graph.output},
        "operators": len(model.graph.node),
        "parameters": sum(math.prod(each.dims) for each in model.graph.initializer),
        "opset": max((each.version for each in model.opset_import), default=0),
        "bytes": size_of(path),
        "preprocessing": _parsed(metadata.get("facerec.preprocessing"), path) or declared,
        "trained_on": describe_training_sets(parse_training_sets(trained_on, str(path))),
    }
    return Description("ONNX network", facts)


def _is_torch_zip(path: Path) -> bool:
    """Whether the file is a zip as torch.save writes it."""
    return any(name.endswith("/data.pkl") for name in zip_names(path))


def _shape(value: Any) -> list[int | str]:
    return [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]


def _parsed(text: str | None, path: Path) -> Any:
    """A value of an ONNX file's metadata, None where it is missing."""
    return None if text is None else parse_json(text, f"what {path} says of itself")
