"""ONNX models as networks, run by onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerec.core import FormatError


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
