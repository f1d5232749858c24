"""`Embedder`: a network of any kind with its preprocessing, and `load_embedder`, which opens one from a file.

A network comes as backbone.pt or a published folder of this project, as .onnx or as weights in a published layout (.pt,
.pth, .ckpt, .safetensors; see `facerec.backbones.published`). Its preprocessing is in our own files, in the metadata of an ONNX file, or in
preprocessing.yaml beside the file. A network that declares none is refused, since a wrong guess would cost accuracy
without any error.

TorchScript (.pt, .ts) is a program that can read, change and delete the files of whoever runs it. It runs only where
the caller allows it for the one file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facerec.backbones import model_folders, published, storage
from facerec.backbones.storage import StoredBackbone
from facerec.core import (
    FormatError,
    free_batch,
    is_torchscript,
    map_in_threads,
    open_session,
    parse_json,
    parse_yaml,
    require_path,
    reused_memory,
    sha256_of_bytes,
    sha256_of_file,
    short_reason,
    track,
)
from facerec.store.face_dataset import FaceDataset
from facerec.store.model_metadata import Preprocessing, TrainingSet, parse_training_sets, training_sets_to_plain
from facerec.store.shards import Shards

CPU = torch.device("cpu")

METADATA_KEY = "facerec.preprocessing"
"""Key of an ONNX file's metadata for the preprocessing, as JSON."""
DIGEST_KEY = "facerec.model"
"""Key for the digest of the exported backbone (`StoredBackbone.digest`)."""
TRAINED_ON_KEY = "facerec.trained_on"
"""Key for the training sets of the exported backbone, as JSON."""

_TORCH = (".pt", ".pth", ".ckpt", ".ts", ".tar", ".safetensors")
_DECLARATION = "preprocessing.yaml"
_DIGEST = re.compile(r"[0-9a-f]{64}")

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Input (b, 3, h, w) float32 on the device of the images -> embeddings (b, dim) float32."""


@dataclass(frozen=True)
class Embedder:
    """A network and its preprocessing; usually made by `load_embedder`.

    >>> embedder = Embedder(lambda images: images.mean(dim=(2, 3)), 3, Preprocessing())
    >>> embedder.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape
    (2, 3)

    Attributes:
        network: maps images (b, 3, h, w) float32 to embeddings (b, network_dim).
        network_dim: length of the network's output.
        preprocessing: size, colours, normalisation and flip of the faces.
        device: where the network runs.
        digest: 64 hexadecimal digits that identify the network with its preprocessing; "" where unknown.
        trained_on: the face sets it was trained on; None where unknown.
    """

    network: Network
    network_dim: int
    preprocessing: Preprocessing
    device: torch.device = CPU
    digest: str = ""
    trained_on: tuple[TrainingSet, ...] | None = None

    @property
    def dim(self) -> int:
        """Length of an embedding, after the fusion with that of the mirrored face."""
        return self.network_dim * (2 if self.preprocessing.flip == "concat" else 1)

    def embed(self, images: Shards | NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """Embeddings (n, dim) float32 of a face set or of RGB uint8 images (n, h, w, 3).

        They are not normalised. The last batch is padded, so that an embedding does not depend on the number of
        faces. Raises FormatError for faces of another size or template than the network takes and ImageError for
        bytes that cannot be decoded.
        """
        with reused_memory():
            rows = self._rows(images, batch)
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    def _rows(self, images: Shards | NDArray[np.uint8], batch: int) -> list[NDArray[np.float32]]:
        order = index_batches(range(len(images)), batch)
        if isinstance(images, Shards):
            self.preprocessing.check(images.meta)
            faces = FaceDataset([images], self.preprocessing.size)
            embedded = self.embed_faces(faces, order, batch)
            return list(track(embedded, f"embedding {images.meta.dataset}", len(order), "batches"))
        if images.dtype != np.uint8 or images.shape[1:] != (*self.preprocessing.size, 3):
            height, width = self.preprocessing.size
            raise FormatError(
                f"The network takes RGB uint8 images (n, {height}, {width}, 3), not {images.dtype} {images.shape}."
            )
        return [self._embed_batch(images[indices], batch, indices, "Face {}".format) for indices in order]

    def embed_faces(
        self, faces: FaceDataset, order: Sequence[NDArray[np.int64]], batch: int
    ) -> Iterator[NDArray[np.float32]]:
        """The embeddings of the faces at every index array of `order`, each at most `batch` long.

        On the CPU every batch is the work of one thread, several at a time: sums depend on the number of threads that
        share them, and it is quicker.
        """
        if self.device.type != "cpu":
            decoded = zip(order, faces.batches(order), strict=True)
            return (self._embed_batch(pixels, batch, indices, faces.name) for indices, pixels in decoded)
        alone = partial(torch.set_num_threads, 1)

        return map_in_threads(partial(self.embed_batch, faces, batch), order, 0, alone)

    def embed_batch(self, faces: FaceDataset, batch: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The embeddings of the faces at `indices`, at most `batch` of them."""
        return self._embed_batch(faces.batch(indices), batch, indices, faces.name)

    def _embed_batch(
        self, pixels: NDArray[np.uint8], batch: int, indices: NDArray[np.int64], name: Callable[[int], str]
    ) -> NDArray[np.float32]:
        full = np.zeros((batch, *pixels.shape[1:]), np.uint8)
        full[: len(pixels)] = pixels
        faces = torch.from_numpy(full).to(self.device)
        embeddings = self._fuse(faces)[: len(pixels)].cpu().numpy()
        if not (finite := np.isfinite(embeddings).all(axis=1)).all():
            raise FormatError(_broken(finite, indices, name))
        return np.asarray(embeddings, np.float32)

    @torch.inference_mode()
    def _fuse(self, faces: Tensor) -> Tensor:
        """Embeddings of faces (b, h, w, 3) uint8, fused with those of the mirrored faces as declared."""
        original = self._run(faces)
        if self.preprocessing.flip == "none":
            return original
        mirrored = self._run(faces.flip(2))
        if self.preprocessing.flip == "concat":
            return torch.cat([original, mirrored], dim=1)
        if self.preprocessing.flip == "sum-normalised":
            return functional.normalize(original) + functional.normalize(mirrored)
        return original + mirrored

    def _run(self, faces: Tensor) -> Tensor:
        embeddings = self.network(self.preprocessing.apply(faces))
        return functional.normalize(embeddings) if self.preprocessing.normalised else embeddings


def index_batches(rows: range, batch: int) -> list[NDArray[np.int64]]:
    """The numbers of consecutive rows, `batch` at a time; the last may be fewer.

    >>> [each.tolist() for each in index_batches(range(3, 8), 2)]
    [[3, 4], [5, 6], [7]]
    """
    return [np.arange(start, min(start + batch, rows.stop)) for start in range(rows.start, rows.stop, batch)]


def _broken(finite: NDArray[np.bool_], indices: NDArray[np.int64], name: Callable[[int], str]) -> str:
    """What is wrong where embeddings of a batch are not finite: the network, or what it makes of some faces."""
    if not finite.any():
        return "The network gives values that are not finite; its weights are damaged."
    others = f" and of {(~finite).sum() - 1} more in its batch" if (~finite).sum() > 1 else ""
    return (
        f"{name(int(indices[~finite][0]))}: the network gives values that are not finite of this face{others}, although "
        "not of others; take them out of the set or use another network."
    )


class OnnxNetwork:
    """An ONNX model (file or content) as a `Network`, run by onnxruntime on the CPU."""

    def __init__(self, model: Path | bytes, origin: str) -> None:
        session = open_session(model, origin)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shapes = [len(each.shape) if each.type == "tensor(float)" else 0 for each in (*inputs, *outputs[:1])]
        if shapes != [4, 2] or not isinstance(outputs[0].shape[1], int):
            raise FormatError(f"{origin} does not map images (b, 3, h, w) to embeddings (b, dim), both float32.")
        self.origin, self.input, self.dim = origin, str(inputs[0].name), int(outputs[0].shape[1])
        self.session = free_batch(session, model, origin)
        batch, _, *self.size = self.session.get_inputs()[0].shape  # names where any number is allowed
        self.fixed_batch = batch if isinstance(batch, int) else None
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings of (b, 3, h, w); a network exported for a fixed batch is run that many at a time."""
        pixels = np.ascontiguousarray(images.numpy())
        size = self.fixed_batch or len(pixels)
        parts = [self._run(pixels[start : start + size], size) for start in range(0, len(pixels), size)]
        return torch.from_numpy(np.concatenate(parts))

    def _run(self, pixels: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        missing = size - len(pixels)
        padded = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else pixels
        try:
            output: NDArray[np.float32] = self.session.run(None, {self.input: padded})[0]
        except Exception as error:  # onnxruntime's own classes; also for more memory than there is
            raise FormatError(f"{self.origin} cannot be run ({short_reason(error)}).") from error
        if output.shape != (size, self.dim):
            raise FormatError(f"{self.origin} promises embeddings ({size}, {self.dim}), but gives {output.shape}.")
        return output[: len(pixels)]


def load_embedder(path: str | Path, device: torch.device = CPU, allow_torchscript: bool = False) -> Embedder:
    """The network at `path`, a file or a directory that holds one model, with its preprocessing.

    Args:
        path: the file or directory.
        device: where a torch network runs; ONNX always runs on the CPU.
        allow_torchscript: whether the file `path`, if it is TorchScript, may run. It is a program that can read,
            change and delete all files of yours: allow it only for a file whose author you trust. In a directory
            it is never run.

    Raises:
        FormatError: for a file that is no model of a known kind, TorchScript that is not allowed, or a network whose
            preprocessing nothing declares.
    """
    allow_torchscript = allow_torchscript and not Path(path).is_dir()
    path = find_model(path)
    if path.suffix == ".onnx":
        return onnx_embedder(path, str(path))
    if is_torchscript(path):
        return _script_embedder(path, device, allow_torchscript)
    if (own := _own_network(path)) is not None:
        return torch_embedder(own, device)
    return _with_digest(torch_embedder(load_network(path), device), path)


def find_model(path: str | Path) -> Path:
    """The file of the model at `path`, which may be a directory that holds one; FormatError if there is none."""
    path = Path(path)
    if model_folders.is_model_folder(path):
        return path / model_folders.WEIGHTS
    if path.is_dir():
        models = sorted(file for file in path.iterdir() if file.suffix in (".onnx", *_TORCH))
        if len(models) != 1:
            raise FormatError(f"{path} must hold exactly one model, but holds {len(models)}; name its file.")
        path = models[0]
    require_path(path, "train, export or download it first")
    if path.suffix not in (".onnx", *_TORCH):
        raise FormatError(f"{path} is no model: a model is .onnx, {', '.join(_TORCH)}, or a directory of one.")
    return path


def load_network(path: str | Path) -> StoredBackbone:
    """The network at `path` with its weights, to be trained further or exported.

    `path` is a backbone.pt, a folder that `facerec publish` wrote, or published weights of a known layout with preprocessing.yaml beside them, or a directory
    that holds one of these. Raises FormatError for anything else.
    """
    path = find_model(path)
    if path.suffix == ".onnx":
        raise FormatError(f"{path} is ONNX, which cannot be trained or exported; name the weights it was made from.")
    own = _own_network(path)
    return published.load_published(path, _declared_beside(path)) if own is None else own


def _own_network(path: Path) -> StoredBackbone | None:
    """The network of a file that this project wrote, which says all of itself; None for any other."""
    if path.name == model_folders.WEIGHTS and model_folders.is_model_folder(path.parent):
        return model_folders.load_model_folder(path.parent)
    return storage.load_backbone(path) if storage.is_backbone_file(path) else None


def torch_embedder(stored: StoredBackbone, device: torch.device = CPU) -> Embedder:
    """An embedder that runs a stored network on `device`."""
    network = _ready(stored.network, device)
    return Embedder(network, stored.dim, stored.preprocessing, device, stored.digest(), stored.trained_on)


def _ready(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    return network.to(device).to(memory_format=torch.channels_last).eval()


def _with_digest(embedder: Embedder, model: Path | bytes) -> Embedder:
    """With a digest of the file's bytes and the preprocessing, for a model that was not made by this project."""
    content = sha256_of_bytes(model) if isinstance(model, bytes) else sha256_of_file(model)
    prepared = json.dumps(embedder.preprocessing.to_dict(), sort_keys=True)
    return replace(embedder, digest=sha256_of_bytes(prepared.encode() + bytes.fromhex(content)))


def _script_embedder(path: Path, device: torch.device, allowed: bool) -> Embedder:
    """An embedder of a TorchScript file; its output length is measured on one grey face."""
    if not allowed:
        raise FormatError(
            f"{path} is TorchScript, a program that can read, change and delete your files; if you trust its author, "
            f"make it a plain network with `facerec onnx {path} NAME.onnx --allow-torchscript`."
        )
    preprocessing = _declared_beside(path)
    try:
        network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            output = network(torch.zeros(1, 3, *preprocessing.input_size, device=device))
    except Exception as error:  # a program can fail in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise FormatError(f"{path} cannot be run on faces of {preprocessing.input_size} ({reason}).") from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise FormatError(f"{path} does not map images (b, 3, h, w) to embeddings (b, dim).")
    return _with_digest(Embedder(network, output.shape[1], preprocessing, device), path)


def onnx_embedder(model: Path | bytes, origin: str) -> Embedder:
    """An embedder of an ONNX file or its content; `origin` names it in errors."""
    network = OnnxNetwork(model, origin)
    known = network.metadata
    if METADATA_KEY in known:
        preprocessing = Preprocessing.from_dict(parse_json(known[METADATA_KEY], f"{METADATA_KEY} of {origin}"), origin)
    else:
        preprocessing = _declared_beside(Path(origin))
    due = preprocessing.input_size
    if any(isinstance(side, int) and side != wanted for side, wanted in zip(network.size, due, strict=True)):
        raise FormatError(f"{origin} takes {tuple(network.size)} pixels, but its preprocessing makes {due}.")
    trained_on = parse_training_sets(
        parse_json(known.get(TRAINED_ON_KEY, "null"), f"{TRAINED_ON_KEY} of {origin}"), origin
    )
    embedder = Embedder(network, network.dim, preprocessing, trained_on=trained_on)
    digest = known.get(DIGEST_KEY)
    if digest is None:
        return _with_digest(embedder, model)
    if not _DIGEST.fullmatch(digest):
        raise FormatError(f"{origin} is damaged: its {DIGEST_KEY} is no digest; export it again.")
    return replace(embedder, digest=digest)


def onnx_notes(stored: StoredBackbone) -> dict[str, str]:
    """The metadata that an ONNX file of a stored network carries, which `onnx_embedder` reads."""
    return {
        METADATA_KEY: json.dumps(stored.preprocessing.to_dict(), sort_keys=True),
        DIGEST_KEY: stored.digest(),
        TRAINED_ON_KEY: json.dumps(training_sets_to_plain(stored.trained_on), sort_keys=True),
    }


def _declared_beside(path: Path) -> Preprocessing:
    """The preprocessing declared in preprocessing.yaml beside the model `path`."""
    declaration = path.with_name(_DECLARATION)
    if not declaration.is_file():
        raise FormatError(
            f"Nothing says how faces are prepared for {path}; put a {_DECLARATION} beside it (size, crop, colour, "
            "mean, std, flip)."
        )
    return Preprocessing.from_dict(parse_yaml(declaration.read_bytes(), str(declaration)), str(declaration))
