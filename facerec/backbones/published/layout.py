"""What a layout is: how to tell a published form of weights, and where each of its entries goes in our networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = dict[str, Tensor]
Size = tuple[int, int]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern in the name of an entry, and what takes its place."""


@dataclass(frozen=True)
class Layout:
    """A published form of weights.

    Attributes:
        name: who published it.
        mark: an entry that this layout has and the others lack.
        rules: applied one after the other to the name of every entry.
        last: the entry, renamed, whose first dimension is the embedding's length.
        build: (renamed entries, dim, input size) -> the network they belong to; ValueError where there is none.
        adapt: changes before renaming.
        normalised: whether the published network ends by dividing its embedding by its norm.
    """

    name: str
    mark: str
    rules: tuple[Rule, ...]
    last: str
    build: Callable[[Weights, int, Size], nn.Module]
    adapt: Callable[[Weights], Weights] = dict
    normalised: bool = False

    def network(self, state: Weights, size: Size) -> tuple[nn.Module, int]:
        """The network for inputs of `size`, with these weights, and its dim.

        Raises KeyError, IndexError, ValueError or RuntimeError where they do not fit.
        """
        renamed = {self._rename(key): value for key, value in self.adapt(state).items()}
        dim = renamed[self.last].shape[0]
        with torch.device("meta"):  # weights that are replaced need no memory
            network = self.build(renamed, dim, size)
        network.load_state_dict(renamed, assign=True)
        network = network.float().eval()
        return Normalised(network) if self.normalised else network, dim

    def _rename(self, key: str) -> str:
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


class Normalised(nn.Module):
    """A network whose embeddings have length one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, dim) of length one, of images (b, 3, h, w)."""
        return functional.normalize(self.network(x))


def counted(prefix: str, first: int) -> Rule:
    """The rule that `prefix`N. becomes body.M. with M = N + `first`."""
    return rf"^{prefix}(\d+)\.", lambda match: f"body.{int(match[1]) + first}."
