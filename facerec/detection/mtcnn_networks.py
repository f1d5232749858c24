"""The three networks of MTCNN (Zhang et al. 2016, arXiv:1604.02878), with weights in Keras layout.

Input: RGB, (x - 127.5) / 128, (n, 3, h, w). PNet looks at every 12x12 window in steps of 2 pixels, RNet at
24x24 crops, ONet at 48x48. Outputs: box corrections in units of the window's side, face probability, and
from ONet landmarks as fractions of the window, first the five x, then the five y.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.detection import mtcnn_weights
from facerec.errors import FormatError


def _block(inputs: int, outputs: int, kernel: int, pool: int = 0) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]
    return [*layers, nn.MaxPool2d(pool, 2, ceil_mode=True)] if pool else layers


class _ColumnsFirst(nn.Module):
    """Flatten (n, c, h, w) in the order w, h, c, which the dense weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


class Network(nn.Module):
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


def pnet() -> Network:
    """Proposals: (n, 3, h, w) -> boxes (n, 4, i, j), scores (n, i, j)."""
    trunk = [*_block(3, 10, 3, pool=2), *_block(10, 16, 3), *_block(16, 32, 3)]
    return Network(trunk, [nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)])


def rnet() -> Network:
    """Refinement: (n, 3, 24, 24) -> boxes (n, 4), scores (n,)."""
    trunk = [*_block(3, 28, 3, pool=3), *_block(28, 48, 3, pool=3), *_block(48, 64, 2)]
    trunk += [_ColumnsFirst(), nn.Linear(576, 128), nn.PReLU(128)]
    return Network(trunk, [nn.Linear(128, 4), nn.Linear(128, 2)])


def onet() -> Network:
    """Output: (n, 3, 48, 48) -> boxes (n, 4), landmarks (n, 10), scores (n,)."""
    trunk = [*_block(3, 32, 3, pool=3), *_block(32, 64, 3, pool=3), *_block(64, 64, 3, pool=2)]
    trunk += [*_block(64, 128, 2), _ColumnsFirst(), nn.Linear(1152, 256), nn.PReLU(256)]
    return Network(trunk, [nn.Linear(256, 4), nn.Linear(256, 10), nn.Linear(256, 2)])


def _torch_layout(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keras -> torch: convolution kernels HWIO -> OIHW, dense (in, out) -> (out, in), PReLU to a vector."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 3:
        return array.reshape(-1)
    return array.T


def load(network: Network, path: Path) -> Network:
    """Fill `network` from a weight file; every parameter must be there, in order and with its shape."""
    arrays: Iterator[NDArray[np.float32]] = map(_torch_layout, mtcnn_weights.read(path))
    parameters = list(network.parameters())
    values = [torch.from_numpy(np.array(array)) for array in arrays]
    if [v.shape for v in values] != [p.shape for p in parameters]:
        raise FormatError(f"{path} holds weights of another network; reinstall mtcnn 1.x.")
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
    network.to(memory_format=torch.channels_last)  # max pooling on a CPU is 3 to 8 times as fast
    return network.eval().requires_grad_(False)
