"""The one pass over the distractors, from which every figure is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.identification import devkit
from facerec.identification.engines import NEAREST, Engine, Mates
from facerec.identification.negatives import Above, Tail
from facerec.identification.scores import BLOCK, Floats, Ints, Rows, feature_blocks
from facerec.identification.sweeps import Rings
from facerec.progress import track


@dataclass(frozen=True)
class Scan:
    """What one pass yields.

    Attributes:
        beaten: (p,) scores strictly above each mate, in the order of the mates.
        nearest, nearest_index: (n, NEAREST) greatest scores of each probe and their columns, -1 for none.
        tail, tail_probe: the greatest scores of all, descending, and the probes they belong to.
        devkit_above: for each positive, the scores above it that the devkit counts.
        missing: distractors without features.
    """

    beaten: Ints
    nearest: Floats
    nearest_index: Ints
    tail: Floats
    tail_probe: NDArray[np.int32]
    devkit_above: Ints
    missing: int


def scan(
    engine: Engine, mates: Mates, positives: Floats, distractors: Rows, tail_size: int, rings: Rings | None
) -> Scan:
    """Multiply, count and forget, a block of distractors at a time; `rings` is filled on the way."""
    n = len(mates.starts) - 1
    counter, tail, above = engine.counter(mates), Tail(tail_size), Above(positives)
    nearest = np.full((n, NEAREST), -np.inf, dtype=np.float32)
    index = np.full((n, NEAREST), -1, dtype=np.int64)
    missing = 0
    blocks = feature_blocks(distractors, "distractors")
    total = -(-distractors.shape[0] // BLOCK)
    for start, others in track(blocks, "identify", total=total, unit="blocks"):
        block = engine.load(others)
        block.count_beaten(mates, counter)
        block.keep_nearest(start, nearest, index)
        tail.add(*block.above(tail.threshold))
        above.add(block.scores(devkit.PROBES_AS_NEGATIVES))
        if rings is not None:
            rings.add(start, len(others.rows), block)
        missing += int(others.missing.sum())
    counts = engine.counts(counter, mates)
    return Scan(counts, nearest, index, *tail.descending(), above.counts(), missing)
