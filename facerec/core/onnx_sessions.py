"""ONNX Runtime on the CPU: sessions of one quiet thread, and torch networks handed to it.

Its arithmetic depends on the processor, and `use_portable_arithmetic` has no hold on it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facerec.core.errors import FormatError
from facerec.core.reading import short_reason

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def open_session(model: Path | bytes, origin: str, many_sizes: bool = False, quiet: bool = False) -> Any:
    """An `onnxruntime.InferenceSession` of the model (file or content) on one thread; FormatError names `origin`.

    With `many_sizes` no plan of memory is kept for each size of input, of which photos have thousands; a `quiet` one
    prints no warnings.
    """
    import onnxruntime  # only here, since most commands do not need it

    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait halve the speed of the others where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = not many_sizes
    if quiet:
        options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes, without a common base
        raise FormatError(f"{origin} cannot be read as ONNX ({short_reason(error)}).") from error


def free_batch(session: Any, model: Path | bytes, origin: str) -> Any:
    """A session of the same model for any batch, where its file fixes a batch of one; else `session` itself.

    The first axis of the input and the outputs is set free, and so are reshapes to a first axis of one. Where the
    network fails on three images then or gives other outputs, it is run as it is.
    """
    shape = session.get_inputs()[0].shape
    if shape[0] != 1 or not all(isinstance(side, int) for side in shape):
        return session
    import numpy as np  # not before portable arithmetic is turned on

    images = np.random.default_rng(0).random((3, *shape[1:]), np.float32)
    try:
        freed = open_session(_freed(model), origin, quiet=True)
        expected = np.concatenate([_run(session, image[None]) for image in images])
        fits = np.allclose(_run(freed, images), expected, rtol=1e-3, atol=1e-4)
    except Exception:  # onnxruntime's and protobuf's own classes, and shapes that do not fit
        return session
    return freed if fits else session


def _freed(model: Path | bytes) -> bytes:
    """The ONNX model with a free first axis."""
    import onnx

    loaded = onnx.load(model) if isinstance(model, Path) else onnx.load_from_string(model)
    graph = loaded.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of the layers within
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for name, tensor in (constants | {each.name: each for each in graph.initializer}).items():
        sides = onnx.numpy_helper.to_array(tensor) if name in shapes else []
        if len(sides) and sides[0] == 1:
            tensor.CopyFrom(
                onnx.helper.make_tensor(name, tensor.data_type, [len(sides)], [0, *sides[1:]])
            )  # 0: as it is
    return bytes(loaded.SerializeToString())


def _run(session: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    output: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: images})[0]
    return output


_AXES = ("batch", "channels", "height", "width")


def to_onnx(network: torch.nn.Module, example: torch.Tensor, outputs: Sequence[str], free: Sequence[int]) -> bytes:
    """A torch network in eval mode, or TorchScript, as ONNX: input "images", of any length along the axes `free`.

    Made by torch's tracing exporter, in a third of a second where the other takes six and a library of its own. What
    is traced holds for other sizes only where the network does not count on its own: compare outputs, or free none but
    the axes that convolutions go along.
    """
    import torch

    encoded, axes = io.BytesIO(), {axis: _AXES[axis] for axis in free}
    of_images = {axis: name for axis, name in axes.items() if axis == 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older exporter, and that shapes are traced
        torch.onnx.export(
            network,
            (example,),
            encoded,  # type: ignore[arg-type]  # it takes files too
            input_names=["images"],
            output_names=list(outputs),
            dynamic_axes={"images": axes, **dict.fromkeys(outputs, of_images)},
            opset_version=18,
            # Else it folds normalisations into convolutions, by a square root that depends on the processor;
            # ONNX Runtime does that when it opens the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamo=False,
        )
    return encoded.getvalue()
