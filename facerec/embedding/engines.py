"""What runs an embedder's network: torch as it is, or a faster way of which docs/speed.md has the figures.

Every engine but the first gives embeddings that differ a little, so it is a choice of the user, never of the machine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from facerec.core import ParamsError, describe_arithmetic, short_reason, to_onnx
from facerec.embedding.embedder import Embedder, OnnxNetwork


def use_engine(embedder: Embedder, engine: str) -> Embedder:
    """The same network run by another engine; its digest stays, so that scores of both can be compared.

    Args:
        embedder: of a torch network, unless `engine` is "torch", which changes nothing.
        engine: "torch"; "fused", batch normalisation folded into the convolutions before it, pixels in channels_last;
            "bf16", the same with weights and activations in bfloat16; or "onnxruntime", on the CPU.

    Raises:
        ParamsError: for an unknown engine, or one that cannot run this network or not on this machine.
    """
    if engine not in ENGINES:
        raise ParamsError(f"No engine {engine!r} for embeddings; choose one of {', '.join(ENGINES)}.")
    if engine == "torch":
        return embedder
    network = embedder.network
    if not isinstance(network, nn.Module) or isinstance(network, torch.jit.ScriptModule):
        kind = "ONNX, which onnxruntime runs" if isinstance(network, OnnxNetwork) else "TorchScript"
        raise ParamsError(f"The network is {kind}, so the engine {engine} cannot run it; leave the engine at torch.")
    try:
        return ENGINES[engine](embedder, network)
    except ParamsError:
        raise
    except Exception as error:  # of many classes, for networks that cannot be traced
        raise ParamsError(
            f"The engine {engine} cannot run this network ({short_reason(error)}); take the engine torch."
        ) from error


def describe_engine(embedder: Embedder) -> str:
    """On what kind of machine the embedder's values come out; see `facerec.core.describe_arithmetic`."""
    if isinstance(embedder.network, OnnxNetwork):
        return "ONNX Runtime on the CPU"
    return describe_arithmetic(embedder.device.type)


class _Fused(nn.Module):
    """A network whose convolutions hold the normalisation behind them, in `dtype` and channels_last."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        from torch.fx.experimental.optimization import fuse  # takes half a second to load

        fused = fuse(copy.deepcopy(network)).eval().requires_grad_(False)
        self.network = fused.to(dtype).to(memory_format=torch.channels_last)
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (b, dim) float32 of images (b, 3, h, w) float32."""
        output: Tensor = self.network(images.to(dtype=self.dtype, memory_format=torch.channels_last))
        return output.float()


def _fused(embedder: Embedder, network: nn.Module) -> Embedder:
    return replace(embedder, network=_Fused(network, torch.float32))


def _bfloat16(embedder: Embedder, network: nn.Module) -> Embedder:
    if embedder.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise ParamsError(
            "The engine bf16 needs a processor with bfloat16 and FACEREC_PORTABLE=no, "
            "since portable arithmetic does not use it; take another engine."
        )
    return replace(embedder, network=_Fused(network, torch.bfloat16))


def _onnxruntime(embedder: Embedder, network: nn.Module) -> Embedder:
    plain = copy.deepcopy(network).cpu()
    encoded = to_onnx(plain, torch.zeros(2, 3, *embedder.preprocessing.input_size), ("embeddings",), free=(0,))
    return replace(embedder, network=OnnxNetwork(encoded, "the network"), device=torch.device("cpu"))


ENGINES: dict[str, Callable[[Embedder, nn.Module], Embedder]] = {
    "torch": lambda embedder, network: embedder,
    "fused": _fused,
    "bf16": _bfloat16,
    "onnxruntime": _onnxruntime,
}
"""Name -> the embedder with its network run that way."""
