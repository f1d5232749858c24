"""What multiplies probes with blocks of distractors and looks through the scores.

This is the interface of two engines with equal answers: numba on the CPU, torch on any torch device. Both take
their dot products from torch.mm, whose float32 sums may differ in the last bit between devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification.scores import Features, Floats, Ints

NEAREST = 5  # distractors remembered for each probe, as in the devkit's `matches`


@dataclass(frozen=True)
class Mates:
    """Scores of each probe's mates: probe i's are the ascending scores[starts[i]:starts[i + 1]]."""

    scores: Floats
    starts: Ints


class Block(Protocol):
    """Scores of all n probes against b distractors, valid until the next block is loaded."""

    def columns(self, chosen: Ints) -> Block:
        """The block of some of its distractors."""

    def count_beaten(self, mates: Mates, counter: Any) -> None:
        """Add to an engine's counter, for every mate, the scores of its probe that are strictly above it."""

    def keep_nearest(self, first: int, nearest: Floats, index: Ints) -> None:
        """Merge each row's greatest scores into the descending (n, NEAREST) lists; column 0 is number `first`."""

    def above(self, threshold: float) -> tuple[Floats, NDArray[np.int32]]:
        """(scores, probes) of all scores strictly above `threshold`."""

    def scores(self, rows: int | None = None) -> Floats:
        """(rows, b) scores of the first rows, or of all."""


class Engine(Protocol):
    """Multiplies the probes that it was made with."""

    def load(self, others: Features) -> Block:
        """The block of these distractors."""

    def counter(self, mates: Mates) -> Any:
        """Zeros for `count_beaten` to add to."""

    def counts(self, counter: Any, mates: Mates) -> Ints:
        """What was counted, in the order of mates.scores."""
