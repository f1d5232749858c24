"""The devkit's traditional CMC: one gallery photo an identity, beside all distractors.

Ten times, one photo of every identity is drawn into the gallery; all other probes look for theirs, among the
distractors and the other people's photos. The devkit draws unseeded; here the draw is seeded.
"""

from __future__ import annotations

import numpy as np

from facerec.identification.engines import Engine
from facerec.identification.pairing import Pairs, score_blocks
from facerec.identification.scores import Features, Ints

TRIALS = 10


def ranks(engine: Engine, ready: Features, pairs: Pairs, found: Ints, distractors: int, seed: int) -> Ints:
    """(TRIALS * (probes - identities),) 0-based ranks; `found` are the ranks of `pairs` among the distractors."""
    rng = np.random.default_rng(seed)
    keys = pairs.probe * len(ready.rows) + pairs.mate
    order = np.argsort(keys)
    trials = []
    for _ in range(TRIALS):
        gallery = _draw(pairs.identity, rng)
        searching = np.setdiff1d(np.arange(len(ready.rows)), gallery)
        own = gallery[pairs.identity[searching]]
        place = order[np.searchsorted(keys, searching * len(ready.rows) + own, sorter=order)]
        better = _better_in_gallery(engine, ready, gallery, pairs.identity)[searching]
        lost = ready.missing[searching] | ready.missing[own]
        trials.append(np.where(lost, distractors + len(gallery) - 1, found[place] + better))
    return np.concatenate(trials)


def _draw(identity: Ints, rng: np.random.Generator) -> Ints:
    """(identities,) one random probe of each."""
    order = np.lexsort((rng.random(len(identity)), identity))
    return order[np.searchsorted(identity[order], np.arange(identity.max() + 1))]


def _better_in_gallery(engine: Engine, ready: Features, gallery: Ints, identity: Ints) -> Ints:
    """(n,) gallery photos that each probe scores strictly above its own."""
    rows = np.where(ready.missing[gallery, None], np.nan, ready.rows[gallery])
    scores = np.concatenate([block for _, block in score_blocks(engine, rows, "probes")], axis=1)
    own = scores[np.arange(len(identity)), identity]
    return np.asarray((scores > own[:, None]).sum(axis=1), dtype=np.int64)
