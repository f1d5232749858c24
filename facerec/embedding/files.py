"""From a model's file to an `Embedder`.

A network comes as backbone.pt of this project, as .onnx, as TorchScript (.pt, .ts) or as weights in a published
layout (.pt, .pth, .ckpt; see `facerec.backbones.published`). Its preprocessing stands in our own files, in the
metadata of an ONNX file, or in preprocessing.yaml beside the file; what declares none is refused, since a
wrong guess costs points without a word.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from facerec.backbones import published, storage
from facerec.backbones.storage import StoredBackbone
from facerec.core import FormatError, digests
from facerec.embedding.embedder import CPU, Embedder
from facerec.embedding.onnx_network import OnnxNetwork
from facerec.store.preprocessing import Preprocessing
from facerec.store.training_sets import TrainingSet, parse_training_sets

METADATA_KEY = "facerec.preprocessing"
"""Key of an ONNX file's metadata that holds the preprocessing as JSON."""
DIGEST_KEY = "facerec.model"
"""Key of the digest of the backbone that the file was exported from (`StoredBackbone.digest`)."""
TRAINED_ON_KEY = "facerec.trained_on"
"""Key of that backbone's training sets, as JSON."""

_TORCH = (".pt", ".pth", ".ckpt", ".ts", ".tar")
_DECLARATION = "preprocessing.yaml"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def load_embedder(path: str | Path, device: torch.device | None = None) -> Embedder:
    """The network at `path`, a file or a directory that holds one model, with its preprocessing.

    `device` is where a torch network runs (default: the CPU); ONNX always runs on the CPU. Raises
    FormatError when the file is no model of a known kind or nothing declares its preprocessing.
    """
    path = Path(path)
    if path.is_dir():
        path = _only_model(path)
    if not path.is_file():
        raise FormatError(f"{path} does not exist; train, export or download it first.")
    if path.suffix == ".onnx":
        return onnx_embedder(path, str(path))
    if path.suffix not in _TORCH:
        raise FormatError(
            f"{path} is no model: a model is .onnx, {', '.join(_TORCH)}, or a directory of one."
        )
    if _is_script(path):
        return _script_embedder(path, device or CPU)
    if storage.is_backbone_file(path):
        return torch_embedder(storage.load_backbone(path), device or CPU)
    preprocessing = _beside(path)
    network, dim = published.load_published(path, preprocessing.input_size)
    return _identified(_torch(network, dim, preprocessing, device or CPU), path)


def torch_embedder(stored: StoredBackbone, device: torch.device = CPU) -> Embedder:
    """An embedder that runs a stored network on `device`."""
    embedder = _torch(stored.network, stored.dim, stored.preprocessing, device)
    return replace(embedder, digest=stored.digest(), trained_on=stored.trained_on)


def _identified(embedder: Embedder, model: Path | bytes) -> Embedder:
    """With the digest of a model that others made: of the bytes of its file and the preprocessing beside it."""
    prepared = json.dumps(embedder.preprocessing.to_dict(), sort_keys=True)
    content = digests.of_bytes(model) if isinstance(model, bytes) else digests.of_file(model)
    return replace(embedder, digest=digests.of_bytes(prepared.encode() + bytes.fromhex(content)))


def _torch(
    network: torch.nn.Module, dim: int, preprocessing: Preprocessing, device: torch.device
) -> Embedder:
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    return Embedder(network, dim, preprocessing, device)


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _script_embedder(path: Path, device: torch.device) -> Embedder:
    """An embedder of a TorchScript file, its output length found by trying it on one grey face."""
    preprocessing = _beside(path)
    try:
        network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            output = network(torch.zeros(1, 3, *preprocessing.input_size, device=device))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FormatError(
            f"{path} cannot be run on faces of {preprocessing.input_size} ({reason})."
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise FormatError(f"{path} does not map images (b, 3, h, w) to embeddings (b, dim).")
    return _identified(Embedder(network, output.shape[1], preprocessing, device), path)


def onnx_embedder(model: Path | bytes, origin: str) -> Embedder:
    """An embedder of an ONNX file, or of its content; `origin` names it in errors."""
    network = OnnxNetwork(model, origin)
    preprocessing = _declared(network, model if isinstance(model, Path) else None, origin)
    due = preprocessing.input_size
    if any(isinstance(side, int) and side != wanted for side, wanted in zip(network.size, due, strict=True)):
        raise FormatError(f"{origin} takes {network.size} pixels, but its preprocessing makes {due}.")
    embedder = Embedder(network, network.dim, preprocessing, trained_on=_trained_on(network.metadata, origin))
    digest = network.metadata.get(DIGEST_KEY)
    if digest is None:
        return _identified(embedder, model)
    if not _DIGEST.fullmatch(digest):
        raise FormatError(f"{origin} is damaged: its {DIGEST_KEY} is no digest; export it again.")
    return replace(embedder, digest=digest)


def _trained_on(metadata: dict[str, str], origin: str) -> tuple[TrainingSet, ...] | None:
    return parse_training_sets(_json(metadata.get(TRAINED_ON_KEY, "null"), origin), origin)


def _json(text: str, origin: str) -> Any:
    """A value of an ONNX file's metadata."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{origin} is damaged: its metadata are no JSON; export it again.") from error


def _only_model(directory: Path) -> Path:
    found = sorted(path for path in directory.iterdir() if path.suffix in (".onnx", *_TORCH))
    if len(found) != 1:
        raise FormatError(f"{directory} must hold exactly one model, but holds {len(found)}; name its file.")
    return found[0]


def _declared(network: OnnxNetwork, path: Path | None, origin: str) -> Preprocessing:
    """The preprocessing inside an ONNX model, or else that in preprocessing.yaml beside its file."""
    inside = network.metadata.get(METADATA_KEY)
    if inside is not None:
        return Preprocessing.from_dict(_json(inside, origin), origin)
    if path is None:
        raise FormatError(f"Nothing says how faces are prepared for {origin}.")
    return _beside(path)


def _beside(path: Path) -> Preprocessing:
    """The preprocessing declared in preprocessing.yaml beside the model `path`."""
    declaration = path.with_name(_DECLARATION)
    if not declaration.is_file():
        raise FormatError(
            f"Nothing says how faces are prepared for {path}; put a {_DECLARATION} beside it (size, crop, colour, "
            "mean, std, flip)."
        )
    try:
        return Preprocessing.from_dict(
            yaml.safe_load(declaration.read_text(encoding="utf-8")), str(declaration)
        )
    except yaml.YAMLError as error:
        raise FormatError(f"{declaration} is not valid YAML: {' '.join(str(error).split())}.") from error
