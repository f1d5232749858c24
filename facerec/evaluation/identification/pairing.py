"""Which probes are each other's mates, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError
from facerec.evaluation.identification.engines import Engine, Mates
from facerec.evaluation.identification.scores import Features, Floats, Ints, Rows, feature_blocks


@dataclass(frozen=True)
class MatePairs:
    """All ordered pairs of one identity: by identity in sorted order, then probe, then mate.

    Attributes:
        identity: (n,) number of each probe's identity, in sorted order of their names.
        probe, mate: (p,) rows of the probes.
        scores: (p,) of those pairs.
    """

    identity: Ints
    probe: Ints
    mate: Ints
    scores: Floats

    @cached_property
    def by_probe(self) -> tuple[Ints, Mates]:
        """The order that sorts the pairs by probe and score, and the mates in that order."""
        order = np.lexsort((self.scores, self.probe))
        starts = np.searchsorted(self.probe[order], np.arange(len(self.identity) + 1))
        return order, Mates(self.scores[order], starts.astype(np.int64))

    @cached_property
    def positives(self) -> Ints:
        """Unordered pairs, the probe earlier in the list than its mate, by ascending score."""
        chosen = np.flatnonzero(self.probe < self.mate)
        return chosen[np.argsort(self.scores[chosen], kind="stable")]


def pair_up(engine: Engine, ready: Features, names: NDArray[np.generic]) -> MatePairs:
    """Pair the probes by name; FormatError where no identity has two."""
    identity = np.unique(names, return_inverse=True)[1].ravel()
    by_identity = np.argsort(identity, kind="stable")
    groups = np.split(by_identity, np.flatnonzero(np.diff(identity[by_identity])) + 1)
    grids = [_ordered_pairs(group) for group in groups if len(group) > 1]
    if not grids:
        raise FormatError("No identity has two probes, so there is no mate to find.")
    probe, mate = np.concatenate(grids, axis=1)
    scores = np.empty(len(probe), dtype=np.float32)
    for start, block in score_blocks(engine, np.where(ready.missing[:, None], np.nan, ready.rows), "probes"):
        here = np.flatnonzero((mate >= start) & (mate < start + block.shape[1]))
        scores[here] = block[probe[here], mate[here] - start]
    return MatePairs(identity, probe, mate, scores)


def score_blocks(engine: Engine, others: Rows, what: str) -> Iterator[tuple[int, Floats]]:
    """(first column, (n, b) scores) of the engine's probes against `others`, block after block."""
    for start, block in feature_blocks(others, what):
        yield start, engine.load(block).scores()


def _ordered_pairs(group: Ints) -> Ints:
    first, second = np.meshgrid(group, group, indexing="ij")
    return np.stack([first[first != second], second[first != second]])
