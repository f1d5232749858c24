"""The three networks of MTCNN (Zhang et al. 2016, arXiv:1604.02878), with weights in Keras layout.

Input: RGB, (x - 127.5) / 128, (n, 3, h, w). PNet looks at every 12x12 window in steps of 2 pixels, RNet at
24x24 crops, ONet at 48x48. Outputs: box corrections in units of the window's side, face probability, and
from ONet landmarks as fractions of the window, first the five x, then the five y.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.core import FacerecError, FormatError


def _block(inputs: int, outputs: int, kernel: int, pool: int = 0) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]
    return [*layers, nn.MaxPool2d(pool, 2, ceil_mode=True)] if pool else layers


class _ColumnsFirst(nn.Module):
    """Flatten (n, c, h, w) in the order w, h, c, which the dense weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


class MTCNNNetwork(nn.Module):
    """A trunk and its outputs: a list of heads, the last of which is the face score."""

    def __init__(self, trunk: list[nn.Module], heads: list[nn.Module]) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*trunk)
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs in the order of the heads; the last is the probability of a face, its axis 1 dropped."""
        features = self.trunk(x)
        *values, scores = (head(features) for head in self.heads)
        return *values, scores.softmax(dim=1)[:, 1]


def pnet() -> MTCNNNetwork:
    """Proposals: (n, 3, h, w) -> boxes (n, 4, i, j), scores (n, i, j)."""
    trunk = [*_block(3, 10, 3, pool=2), *_block(10, 16, 3), *_block(16, 32, 3)]
    return MTCNNNetwork(trunk, [nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)])


def rnet() -> MTCNNNetwork:
    """Refinement: (n, 3, 24, 24) -> boxes (n, 4), scores (n,)."""
    trunk = [*_block(3, 28, 3, pool=3), *_block(28, 48, 3, pool=3), *_block(48, 64, 2)]
    trunk += [_ColumnsFirst(), nn.Linear(576, 128), nn.PReLU(128)]
    return MTCNNNetwork(trunk, [nn.Linear(128, 4), nn.Linear(128, 2)])


def onet() -> MTCNNNetwork:
    """Output: (n, 3, 48, 48) -> boxes (n, 4), landmarks (n, 10), scores (n,)."""
    trunk = [*_block(3, 32, 3, pool=3), *_block(32, 64, 3, pool=3), *_block(64, 64, 3, pool=2)]
    trunk += [*_block(64, 128, 2), _ColumnsFirst(), nn.Linear(1152, 256), nn.PReLU(256)]
    return MTCNNNetwork(trunk, [nn.Linear(256, 4), nn.Linear(256, 10), nn.Linear(256, 2)])


def _torch_layout(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keras -> torch: convolution kernels HWIO -> OIHW, dense (in, out) -> (out, in), PReLU to a vector."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 3:
        return array.reshape(-1)
    return array.T


def load_mtcnn_weights(network: MTCNNNetwork, path: Path) -> MTCNNNetwork:
    """Load a weight file into `network`; FormatError unless it has every parameter, in order and with its shape."""
    arrays: Iterator[NDArray[np.float32]] = map(_torch_layout, read_mtcnn_weights(path))
    parameters = list(network.parameters())
    values = [torch.from_numpy(np.array(array)) for array in arrays]
    if [v.shape for v in values] != [p.shape for p in parameters]:
        raise FormatError(f"{path} holds weights of another network; reinstall mtcnn 1.x.")
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
    network.to(memory_format=torch.channels_last)  # max pooling on a CPU is 3 to 8 times as fast
    return network.eval().requires_grad_(False)


def weights_folder() -> Path:
    """Where the installed `mtcnn` package keeps pnet.lz4, rnet.lz4 and onet.lz4."""
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise FacerecError("The MTCNN weights are missing: install the Python package mtcnn (1.x).")
    return Path(spec.submodule_search_locations[0]) / "assets" / "weights"


class _Stream:
    """A file without `peek`, so that the unpickler reads no byte more than it needs."""

    def __init__(self, data: bytes) -> None:
        file = io.BytesIO(data)
        self.read, self.readline, self.readinto = file.read, file.readline, file.readinto


class _Unpickler(pickle.Unpickler):
    """Builds a list of arrays; any other class in the pickle is an error."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)

        class Array:
            """Stands for joblib's NumpyArrayWrapper; unpickling its state reads the raw array behind it."""

            values: NDArray[Any]

            def __setstate__(self, state: dict[str, Any]) -> None:
                self.values = _read_array(stream, state)

        self._allowed: dict[tuple[str, str], type] = {
            ("joblib.numpy_pickle", "NumpyArrayWrapper"): Array,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def _read_array(stream: _Stream, state: dict[str, Any]) -> NDArray[Any]:
    dtype, shape = state["dtype"], state["shape"]
    if dtype.hasobject:
        raise pickle.UnpicklingError("arrays of objects are not allowed")
    if state.get("numpy_array_alignment_bytes") is not None:
        stream.read(stream.read(1)[0])
    raw = stream.read(prod(shape) * dtype.itemsize)
    return np.frombuffer(raw, dtype).reshape(shape, order=state["order"])


def read_mtcnn_weights(path: Path) -> list[NDArray[np.float32]]:
    """The arrays of one weight file, in the order of the network's layers.

    Raises FormatError when the file is not such a dump or asks for anything but arrays.
    """
    try:
        data = lz4.frame.decompress(path.read_bytes())
        arrays = _Unpickler(_Stream(data)).load()
        return [np.asarray(array.values, dtype=np.float32) for array in arrays]
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise FormatError(f"{path} is not a readable MTCNN weight file ({error}); reinstall mtcnn.") from error
