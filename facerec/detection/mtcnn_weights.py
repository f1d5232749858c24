"""Read the MTCNN weights shipped in the wheel of `mtcnn`, without importing it (it needs TensorFlow).

A weight file is an LZ4 frame around a joblib dump: a pickle of a list of array descriptions, each
followed, inside the stream, by one byte of padding length, the padding and the raw array. A pickle runs
code when loaded, so ours may build nothing but such arrays.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from math import prod
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
from numpy.typing import NDArray

from facerec.errors import FacerecError, FormatError


def folder() -> Path:
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


def read(path: Path) -> list[NDArray[np.float32]]:
    """The arrays of one weight file, in the order of the network's layers.

    Raises FormatError when the file is not such a dump or asks for anything but arrays.
    """
    try:
        data = lz4.frame.decompress(path.read_bytes())
        arrays = _Unpickler(_Stream(data)).load()
        return [np.asarray(array.values, dtype=np.float32) for array in arrays]
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise FormatError(
            f"{path} is not a readable MTCNN weight file ({error}); reinstall mtcnn."
        ) from error
