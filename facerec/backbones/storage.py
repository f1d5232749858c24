"""backbone.pt files: the weights of a network, how to build it and prepare its input, and what it was trained on.

The file is a torch.save of {"format", "backbone": {"name", "dim", "options"}, "preprocessing", "trained_on",
"state_dict"}, with plain values and tensors only, so it is read with weights_only and cannot run code.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from facerec import backbones
from facerec.core import FormatError, atomic_file, is_torchscript, read_tensors, require_path, short_reason
from facerec.store.model_metadata import (
    Preprocessing,
    TrainingSet,
    merged_training_sets,
    parse_training_sets,
    training_sets_to_plain,
)

FORMAT = "facerec-backbone-1"
_HEAD = 1 << 16  # bytes of the pickle, whose first value is the format
_DAMAGED = f"{{}} is damaged or not a backbone of this project ({FORMAT}); train again or name another file"


@dataclass(frozen=True)
class _Spec:
    """The entry "backbone" of a file."""

    name: Annotated[str, Field(max_length=100)]
    dim: Annotated[int, Field(strict=True, ge=1, le=1 << 16)]
    options: dict[str, int | float | str | bool | None]

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)


_SPEC = TypeAdapter(_Spec)


@dataclass(frozen=True)
class StoredBackbone:
    """A network with all that a backbone.pt file holds.

    Attributes:
        network: the module, images (b, 3, h, w) -> embeddings (b, dim).
        name: its name in `BACKBONES`.
        dim: length of an embedding.
        options: options of its family.
        preprocessing: how its input is prepared.
        trained_on: the face sets it was trained on; None if unknown.
    """

    network: nn.Module
    name: str
    dim: int
    options: dict[str, Any]
    preprocessing: Preprocessing
    trained_on: tuple[TrainingSet, ...] | None = None

    def trained_further(self, sets: Mapping[str, bool]) -> StoredBackbone:
        """With more face sets in `trained_on`: whether their people are rendered, by name."""
        now = [TrainingSet(name, rendered) for name, rendered in sets.items()]
        return replace(self, trained_on=merged_training_sets(self.trained_on, now))

    def digest(self) -> str:
        """SHA-256 of weights, options and preprocessing, 64 hexadecimal digits.

        An ONNX export of the network carries the same digest.
        """
        spec = {"name": self.name, "dim": self.dim, "options": self.options}
        found = hashlib.sha256(_line({**spec, "preprocessing": self.preprocessing.to_dict()}))
        for key, value in sorted(self.network.state_dict().items()):
            plain = value.detach().cpu().contiguous()
            found.update(_line([key, str(plain.dtype), list(plain.shape)]))
            found.update(plain.reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()


def create_backbone(name: str, dim: int, options: dict[str, Any], preprocessing: Preprocessing) -> StoredBackbone:
    """A freshly initialised network for the input size of `preprocessing`."""
    network = backbones.build_backbone(name, dim, preprocessing.input_size, **options)
    return StoredBackbone(network, name, dim, options, preprocessing, trained_on=())


def empty_backbone(name: str, dim: int, options: dict[str, Any], preprocessing: Preprocessing) -> StoredBackbone:
    """Such a network whose weights have shapes but no values and take no memory, on the device `meta`."""
    with torch.device("meta"), _Unfilled():
        return create_backbone(name, dim, options, preprocessing)


def save_backbone(stored: StoredBackbone, path: str | Path) -> None:
    """Write `stored` atomically; equal weights give equal bytes, independent of path and device."""
    content = {
        "format": FORMAT,
        **plain_entries(stored),
        "state_dict": {
            key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for key, value in stored.network.state_dict().items()
        },
    }
    # torch.save to a path stores the file's name inside; to memory it does not.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def plain_entries(stored: StoredBackbone) -> dict[str, Any]:
    """The entries of a file but the weights, as plain values; `restore_backbone` reads them back."""
    return {
        "backbone": {"name": stored.name, "dim": stored.dim, "options": stored.options},
        "preprocessing": stored.preprocessing.to_dict(),
        "trained_on": training_sets_to_plain(stored.trained_on),
    }


def is_backbone_file(path: str | Path) -> bool:
    """Whether `path` was written by `save_backbone`; the weights in it are not read."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(pickles[0]) as file:
                return FORMAT.encode() in file.read(_HEAD)  # a member may unpack to any length
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, LookupError, zlib.error):
        return False  # not written by `save_backbone`


def load_backbone(path: str | Path) -> StoredBackbone:
    """The network in `path`, on the CPU, in eval mode; FormatError if it is no backbone.pt file."""
    require_path(path, "train a network first or name another file")
    if not (is_backbone_file(path) or is_torchscript(path)):
        raise FormatError(_DAMAGED.format(path))
    return restore_backbone(read_tensors(path), str(path))


def restore_backbone(content: Any, origin: str) -> StoredBackbone:
    """The network of the entries `plain_entries` and "state_dict"; FormatError that names `origin` where they are damaged."""
    try:
        spec = _SPEC.validate_python(content["backbone"])
        preprocessing = Preprocessing.from_dict(content["preprocessing"], origin)
        _check_weights(spec, preprocessing, content["state_dict"])
        stored = create_backbone(spec.name, spec.dim, spec.options, preprocessing)
        stored.network.load_state_dict(content["state_dict"])
    except FormatError:
        raise
    except Exception as error:  # networks of wrong options fail with all kinds of errors
        raise FormatError(f"{_DAMAGED.format(origin)} ({short_reason(error)})") from error
    stored.network.eval()
    return replace(stored, trained_on=parse_training_sets(content.get("trained_on"), origin))


def _check_weights(spec: _Spec, preprocessing: Preprocessing, weights: dict[str, Tensor]) -> None:
    """Raise ValueError for weights of another network, before memory is allocated for the one that the file describes."""
    network = empty_backbone(spec.name, spec.dim, spec.options, preprocessing).network
    due = {name: (value.dtype, value.shape) for name, value in network.state_dict().items()}
    if {name: (value.dtype, value.shape) for name, value in weights.items()} != due:
        raise ValueError(f"its weights are not those of {spec.name}")


class _Unfilled(TorchFunctionMode):
    """Leaves tensors on the device `meta` without random values, for which torch would load its compiler in a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init" or func in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _line(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True) + "\n").encode()
