"""A network as a folder in the form of Hugging Face's hub: config.json says what it is, model.safetensors has its weights.

    write_model_folder(stored, folder)
    stored = load_model_folder(folder)

Neither file can hold code. config.json has the entries of backbone.pt (`facerec.backbones.storage`) but the weights, and
the network's digest, which is compared after loading; so a file of another version beside it is noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facerec.backbones.storage import StoredBackbone, plain_entries, restore_backbone
from facerec.core import Description, FormatError, parse_json, read_tensors, require_path, size_of, write_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL_TYPE = "facerec"
_LARGEST_CONFIG = 1 << 20  # bytes; it holds a few lines


def write_model_folder(stored: StoredBackbone, folder: Path) -> dict[str, Any]:
    """Write config.json, whose values are returned, and model.safetensors; equal networks give equal bytes."""
    from safetensors.torch import save  # only here, as it takes a moment to load

    values = {"model_type": MODEL_TYPE, "digest": stored.digest(), **plain_entries(stored)}
    write_json(folder / CONFIG, values)
    weights = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in stored.network.state_dict().items()
    }
    (folder / WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))
    return values


def is_model_folder(path: str | Path) -> bool:
    """Whether `path` is a folder with a config.json of facerec; `load_model_folder` tells whether it is sound."""
    try:
        return (Path(path) / WEIGHTS).is_file() and _read_config(Path(path)).get("model_type") == MODEL_TYPE
    except FormatError:
        return False


def load_model_folder(path: str | Path) -> StoredBackbone:
    """The network in a folder, on the CPU, in eval mode; FormatError where it is damaged or of another kind."""
    folder = Path(path)
    config = _read_config(folder)
    if config.get("model_type") != MODEL_TYPE:
        raise FormatError(f"{folder} is no model folder of facerec: its {CONFIG} has another model_type.")
    require_path(folder / WEIGHTS, "download or publish the model again")
    stored = restore_backbone({**config, "state_dict": read_tensors(folder / WEIGHTS)}, str(folder))
    if stored.digest() != config.get("digest"):
        raise FormatError(f"{folder}: {CONFIG} and {WEIGHTS} do not belong together; download or publish it again.")
    return stored


def describe_model_folder(path: Path) -> Description | None:
    """A folder that `facerec publish` wrote."""
    if not is_model_folder(path):
        return None
    stored = load_model_folder(path)
    scores = sorted(each.parent.name for each in path.glob("scores/*/scores.parquet"))
    facts = {**plain_entries(stored), "digest": stored.digest(), "scores": scores, "bytes": size_of(path)}
    return Description("published model", facts)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    require_path(path, "a model folder of facerec has one")
    if path.stat().st_size > _LARGEST_CONFIG:
        raise FormatError(f"{path} is no description of a model: it is larger than {_LARGEST_CONFIG:,} bytes.")
    config = parse_json(path.read_bytes(), str(path))
    if not isinstance(config, dict):
        raise FormatError(f"{path} is no description of a model, which is a JSON object.")
    return config
