"""Export of backbone.pt to ONNX: one file with the preprocessing inside, checked against torch.

Equal weights give equal bytes: file names, stack traces and other notes of the exporter are removed.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from facerec import __version__
from facerec.backbones import model_folders, storage
from facerec.backbones.storage import StoredBackbone
from facerec.core import FacerecError, atomic_file, check_place, is_torchscript, sha256_of_file, short_reason, to_onnx
from facerec.embedding import (
    METADATA_KEY,
    Embedder,
    load_embedder,
    load_network,
    onnx_embedder,
    onnx_notes,
    torch_embedder,
)
from facerec.store.embeddings import normalise
from facerec.store.model_metadata import Preprocessing

TOLERANCE = 1e-4
"""Largest accepted difference between the values of a normalised embedding in torch and in ONNX."""

_RANDOM_FACES = 16


class ExportError(FacerecError):
    """The exported network gives other embeddings than the trained one."""


def export_onnx(source: str | Path, target: str | Path, allow_torchscript: bool = False) -> float:
    """Write the network of `source` (backbone.pt or published weights) as ONNX to `target`, atomically.

    With `allow_torchscript` the source may also be TorchScript with its preprocessing beside it, which then runs and
    can do whatever you can.

    The input is "images" (batch, 3, h, w) float32, the output "embeddings" (batch, dim), for any batch. Both files
    embed the same random pixels; returns the largest difference between two values of embeddings of length 1, which
    depends on the processor. Raises ExportError and writes nothing where it is more than TOLERANCE.
    """
    check_place(Path(target), folder=False)
    if allow_torchscript and is_torchscript(source):
        embedder = load_embedder(source, allow_torchscript=True)
        encoded = _encode_script(embedder, str(source))
    else:
        stored = load_network(source)
        embedder, encoded = torch_embedder(stored), encode_onnx(stored)
    difference = _largest_difference(embedder, encoded)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The ONNX export of {source} differs from torch by {difference:.2g}, more than "
            f"{TOLERANCE:g}; {target} was not written. Try another version of torch or onnxruntime."
        )
    with atomic_file(target) as temporary:
        temporary.write_bytes(encoded)
    return difference


def export_folder(source: str | Path, folder: Path) -> dict[str, Any]:
    """Write the network of `source` into `folder` as config.json, model.safetensors and model.onnx.

    Returns the values of config.json with "parameters" and "max_difference", of torch and ONNX. Raises as
    `export_onnx`.
    """
    stored = load_network(source)
    values = model_folders.write_model_folder(stored, folder)
    values["parameters"] = sum(each.numel() for each in stored.network.parameters())
    values["max_difference"] = export_onnx(folder, folder / "model.onnx")
    return values


def digest_before_export(source: str | Path) -> str:
    """The digest of the network in its present form, by which scores name it: for published weights that of their file."""
    return load_embedder(source).digest


def describe_export(source: str | Path, target: str | Path) -> dict[str, Any]:
    """Facts about the network of `source` (backbone.pt) and its export `target`, for JSON and the model card."""
    stored = storage.load_backbone(source)
    files = {path.name: path for path in (Path(source), Path(target))}
    return {
        "digest": stored.digest(),
        "backbone": stored.name,
        "parameters": sum(parameter.numel() for parameter in stored.network.parameters()),
        "dim": stored.dim,
        "preprocessing": stored.preprocessing.to_dict(),
        "input_size": list(stored.preprocessing.input_size),
        "tolerance": TOLERANCE,
        "files": {name: {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)} for name, path in files.items()},
    }


def encode_onnx(stored: StoredBackbone) -> bytes:
    """The network as an ONNX file; its metadata hold preprocessing, digest and training sets."""
    return _encode(stored.network.cpu().eval(), stored.preprocessing, onnx_notes(stored))


def _encode_script(embedder: Embedder, origin: str) -> bytes:
    """A TorchScript network with its preprocessing as an ONNX file."""
    notes = {METADATA_KEY: json.dumps(embedder.preprocessing.to_dict(), sort_keys=True)}
    try:
        with redirect_stdout(io.StringIO()):  # the exporter prints what it could not do
            return _encode(embedder.network, embedder.preprocessing, notes)
    except Exception as error:  # of many classes, for operators that ONNX does not have
        raise ExportError(
            f"{origin} cannot be made ONNX ({short_reason(error)}); have its author export it."
        ) from error


def _encode(network: Any, preprocessing: Preprocessing, notes: dict[str, str]) -> bytes:
    example = torch.zeros(2, 3, *preprocessing.input_size)
    model = onnx.load_from_string(to_onnx(network, example, ("embeddings",), free=(0,)))
    _strip(model)
    model.producer_name, model.producer_version = "facerec", __version__
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _strip(message: Any) -> None:
    """Remove stack traces, file names and other notes of the exporter, at every level of a protobuf."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                _strip(child)


def _largest_difference(embedder: Embedder, encoded: bytes) -> float:
    """Between the values of normalised embeddings of random pixels by torch and by the ONNX file `encoded`."""
    pixels = np.random.default_rng(0).integers(0, 256, (_RANDOM_FACES, *embedder.preprocessing.size, 3), np.uint8)
    embedders = embedder, onnx_embedder(encoded, "the export")
    by_torch, by_onnx = (normalise(each.embed(pixels)) for each in embedders)
    return float(np.abs(by_torch - by_onnx).max())
