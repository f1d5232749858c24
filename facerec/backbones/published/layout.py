"""Layouts of published weights: how to recognise one, and how its entries are named in this project's networks."""

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
"""A pattern in the name of an entry, and its replacement."""


@dataclass(frozen=True)
class Layout:
    """A published form of weights.

    Attributes:
        name: who published it.
        mark: an entry that only this layout has.
        rules: replacements, applied in turn to the name of every entry.
        last: the renamed entry whose first dimension is the length of the embedding.
        build: (renamed entries, dim, input size) -> the network they belong to; ValueError if there is none.
        adapt: changes entries before they are renamed.
        normalised: whether the published network divides its embedding by its norm.
    """

    name: str
    mark: str
    rules: tuple[Rule, ...]
    last: str
    build: Callable[[Weights, int, Size], nn.Module]
    adapt: Callable[[Weights], Weights] = dict
    normalised: bool = False

    def network(self, state: Weights, size: Size) -> tuple[nn.Module, int]:
        """The network for inputs of `size` with these weights, and the length of its embedding.

        Raises KeyError, IndexError, ValueError or RuntimeError if they do not fit.
        """
        renamed = {self._rename(key): value for key, value in self.adapt(state).items()}
        dim = renamed[self.last].shape[0]
        with torch.device("meta"):  # its weights are replaced below
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
    """The rule that renames `prefix`N. to body.M. with M = N + `first`."""
    return rf"^{prefix}(\d+)\.", lambda match: f"body.{int(match[1]) + first}."
