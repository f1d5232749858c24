"""Faces to embeddings: a torch or ONNX network and its declared preprocessing behind one `Embedder`.

A network comes as backbone.pt of this project, as .onnx with the preprocessing in its metadata, or as
.onnx with preprocessing.yaml beside it (a downloaded model: name the file, or the directory of both).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facerec.backbones import storage
from facerec.backbones.storage import StoredBackbone
from facerec.errors import FormatError
from facerec.formats.shards import Shards
from facerec.loading import Faces
from facerec.preprocessing import Preprocessing
from facerec.progress import track

CPU = torch.device("cpu")
METADATA_KEY = "facerec.preprocessing"
"""Key of an ONNX file's metadata that holds the preprocessing as JSON."""

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Input (b, 3, h, w) float32 on the device of the images -> embeddings (b, dim) float32."""


@dataclass(frozen=True)
class Embedder:
    """A network with everything needed to feed it; made by `load`."""

    network: Network
    network_dim: int
    preprocessing: Preprocessing
    device: torch.device = CPU

    @property
    def dim(self) -> int:
        """Length of an embedding after the fusion of both flips."""
        return self.network_dim * (2 if self.preprocessing.flip == "concat" else 1)

    def embed(self, images: Shards | NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """Embeddings (n, dim) float32 of a face set or of RGB uint8 images (n, h, w, 3).

        They are not normalised. The last batch is filled up, so that a face's embedding does not
        depend on how many others there are. Raises FormatError for faces of another size or
        template than the network takes and ImageError for bytes that cannot be decoded.
        """
        rows = [self._embed_batch(pixels, batch) for pixels in self._pixels(images, batch)]
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    def _pixels(self, images: Shards | NDArray[np.uint8], batch: int) -> Iterator[NDArray[np.uint8]]:
        starts = range(0, len(images), batch)
        if isinstance(images, Shards):
            self.preprocessing.check(images.meta)
            order = [np.arange(start, min(start + batch, len(images))) for start in starts]
            batches = Faces([images], self.preprocessing.size).batches(order)
            yield from track(batches, f"embedding {images.meta.dataset}", total=len(order), unit="batches")
            return
        if images.dtype != np.uint8 or images.shape[1:] != (*self.preprocessing.size, 3):
            height, width = self.preprocessing.size
            raise FormatError(
                f"The network takes RGB uint8 images (n, {height}, {width}, 3), not {images.dtype} {images.shape}."
            )
        yield from (images[start : start + batch] for start in starts)

    def _embed_batch(self, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        full = np.zeros((batch, *pixels.shape[1:]), np.uint8)
        full[: len(pixels)] = pixels
        faces = torch.from_numpy(full).to(self.device)
        embeddings = self._fuse(faces)[: len(pixels)].cpu().numpy()
        if not np.isfinite(embeddings).all():
            raise FormatError("The network gives values that are not finite; its weights are damaged.")
        return np.asarray(embeddings, np.float32)

    @torch.inference_mode()
    def _fuse(self, faces: Tensor) -> Tensor:
        """Embeddings of faces (b, h, w, 3) uint8, those of their mirror images fused in as declared."""
        original = self.network(self.preprocessing.apply(faces))
        if self.preprocessing.flip == "none":
            return original
        mirrored = self.network(self.preprocessing.apply(faces.flip(2)))
        if self.preprocessing.flip == "concat":
            return torch.cat([original, mirrored], dim=1)
        if self.preprocessing.flip == "sum-normalised":
            return functional.normalize(original) + functional.normalize(mirrored)
        return original + mirrored


class OnnxNetwork:
    """An ONNX model, a file or its content, as a `Network`, run by onnxruntime on the CPU."""

    def __init__(self, model: Path | bytes, origin: str) -> None:
        try:
            self.session = onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            raise FormatError(f"{origin} cannot be read as ONNX ({str(error).splitlines()[0]}).") from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
            raise FormatError(f"{origin} does not map images (b, 3, h, w) to embeddings (b, dim).")
        self.input: str = inputs[0].name
        self.fixed_batch = inputs[0].shape[0] if isinstance(inputs[0].shape[0], int) else None
        self.size = tuple(inputs[0].shape[2:])  # a name where any size goes
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.dim = int(outputs[0].shape[1])

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings of (b, 3, h, w); a network exported for a fixed batch is run that many at a time."""
        pixels = np.ascontiguousarray(images.numpy())
        size = self.fixed_batch or len(pixels)
        parts = [self._run(pixels[start : start + size], size) for start in range(0, len(pixels), size)]
        return torch.from_numpy(np.concatenate(parts))

    def _run(self, pixels: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        missing = size - len(pixels)
        padded = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else pixels
        output: NDArray[np.float32] = self.session.run(None, {self.input: padded})[0]
        return output[: len(pixels)]


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Threads that wait in a loop halve the speed of all the others where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def load(path: str | Path, device: torch.device | None = None) -> Embedder:
    """The network at `path` (.pt, .onnx or a directory with one .onnx) with its preprocessing.

    `device` is where a torch network runs (default: the CPU); ONNX always runs on the CPU. Raises
    FormatError when the file is none of these or nothing declares its preprocessing.
    """
    path = Path(path)
    if path.is_dir():
        path = _only_onnx(path)
    if not path.is_file():
        raise FormatError(f"{path} does not exist; train, export or download it first.")
    if path.suffix == ".pt":
        return torch_embedder(storage.load(path), device or CPU)
    if path.suffix == ".onnx":
        return onnx_embedder(path, str(path))
    raise FormatError(f"{path} is neither a .pt nor an .onnx file, nor a directory that holds one .onnx.")


def torch_embedder(stored: StoredBackbone, device: torch.device = CPU) -> Embedder:
    """An embedder that runs a stored network on `device`."""
    network = stored.network.to(device).to(memory_format=torch.channels_last).eval()
    return Embedder(network, stored.dim, stored.preprocessing, device)


def onnx_embedder(model: Path | bytes, origin: str) -> Embedder:
    """An embedder of an ONNX file, or of its content; `origin` names it in errors."""
    network = OnnxNetwork(model, origin)
    preprocessing = _declared(network, model if isinstance(model, Path) else None, origin)
    due = preprocessing.input_size
    if any(isinstance(side, int) and side != wanted for side, wanted in zip(network.size, due, strict=True)):
        raise FormatError(f"{origin} takes {network.size} pixels, but its preprocessing makes {due}.")
    return Embedder(network, network.dim, preprocessing)


def _only_onnx(directory: Path) -> Path:
    found = sorted(directory.glob("*.onnx"))
    if len(found) != 1:
        raise FormatError(f"{directory} must hold exactly one .onnx file, but holds {len(found)}.")
    return found[0]


def _declared(network: OnnxNetwork, path: Path | None, origin: str) -> Preprocessing:
    """The preprocessing inside the model, or else that in preprocessing.yaml beside its file."""
    inside = network.metadata.get(METADATA_KEY)
    if inside is not None:
        return Preprocessing.from_dict(json.loads(inside), origin)
    beside = None if path is None else path.with_name("preprocessing.yaml")
    if beside is None or not beside.is_file():
        raise FormatError(
            f"Nothing says how faces are prepared for {origin}; put a preprocessing.yaml beside it."
        )
    try:
        return Preprocessing.from_dict(yaml.safe_load(beside.read_text(encoding="utf-8")), str(beside))
    except yaml.YAMLError as error:
        raise FormatError(f"{beside} is not valid YAML: {' '.join(str(error).split())}.") from error
