"""`Layout`: how a published form of weights is recognised, and how its entries are named in this project's networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Weights = dict[str, Tensor]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern in the name of an entry, and its replacement."""


@dataclass(frozen=True)
class Layout:
    """A published form of weights.

    Attributes:
        name: who published it.
        mark: an entry that only this layout has.
        rules: replacements, applied in turn to the name of every entry.
        network: the name of the network in `backbones.BACKBONES`, or renamed entries -> that name; ValueError if there
            is none.
        adapt: changes entries before they are renamed.
        last: the renamed entry whose first dimension is the length of the embedding.
        lacks: an entry that another layout with the same mark has, and this one has not.
        ambiguous: whether these entries are published both for networks that divide their embedding by its norm and
            for others.
    """

    name: str
    mark: str
    rules: tuple[Rule, ...]
    network: str | Callable[[Weights], str]
    adapt: Callable[[Weights], Weights] = dict
    last: str = "output.3.weight"
    lacks: str = ""
    ambiguous: bool = False

    def fits(self, state: Mapping[str, object]) -> bool:
        """Whether entries of these names are of this layout."""
        return self.mark in state and self.lacks not in state

    def rename(self, key: str) -> str:
        """The name of the entry `key` in this project's network."""
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


def renamed(names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Rules from patterns and replacements, both without the dot that ends them."""
    return tuple((rf"{theirs}\.", f"{ours}.") for theirs, ours in names.items())


def members(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Rules for the members of our sequence `ours`: their names, in its order, "-" for one without weights.

    The names are matched at the beginning of an entry, or anywhere in it if `ours` is empty or begins with a dot.
    """
    start = "^" if ours[:1].isalpha() else r"\."
    places = enumerate(theirs.split())
    return renamed({f"{start}{re.escape(name)}": f"{ours}.{place}" for place, name in places if name != "-"})


def counted(prefix: str, first: int) -> Rule:
    """The rule that renames `prefix`N. to body.M. with M = N + `first`."""
    return rf"^{prefix}(\d+)\.", lambda match: f"body.{int(match[1]) + first}."


def below(prefix: str, state: Weights) -> Weights:
    """The entries whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


CONV_NORM = members("", "conv bn prelu")
"""Convolution, normalisation and activation by the names that several publishers give them."""
