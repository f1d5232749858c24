"""The MegaFace devkit's JSON, number for number: its thinned CMC and ROC, and its matches.

The devkit's ROC counts only the first 100 probes as negatives and keeps a point where the curve has risen
by more than .01 since the last, so it is for comparison with published files; the exact figures are in
`facerec.evaluation.identification.IdentificationResult`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from facerec.evaluation.identification.engines import Engine
from facerec.evaluation.identification.pairing import MatePairs, score_blocks
from facerec.evaluation.identification.scores import Features, Floats, Ints

PROBES_AS_NEGATIVES = 100
_STEP = np.float32(0.01)


def devkit_cmc(ranks: Ints, distractors: int) -> list[list[float]]:
    """[[0-based ranks], [cumulative shares]], thinned to rises of at least .01, and the last point."""
    shares = np.cumsum(np.bincount(ranks, minlength=distractors + 1)).astype(np.float32)
    shares /= np.float32(len(ranks))
    x: list[float] = []
    y: list[float] = []
    last = np.float32(0)
    for rank in np.unique(np.append(ranks, distractors)):
        if shares[rank] - last >= _STEP or rank == distractors:
            x.append(int(rank))
            y.append(float(shares[rank]))
            last = shares[rank]
    return [x, y]


def devkit_roc(false_positives: Ints, negatives: int) -> list[list[float]]:
    """[[fpr], [tpr]] from (p,) negatives above each positive, thinned to rises above .01, and the last."""
    x: list[float] = []
    y: list[float] = []
    last = np.float32(0)
    counts = np.sort(false_positives)
    steps = np.unique(np.append(counts, negatives))
    found = np.searchsorted(counts, steps, side="right").astype(np.float32) / np.float32(len(counts))
    for count, share in zip(steps, found, strict=True):
        if share - last > _STEP or count == negatives:
            x.append(float(np.float32(count) / np.float32(negatives)))
            y.append(float(share))
            last = share
    return [x, y]


def matches(nearest: Floats, index: Ints, probe: Ints, mate: Ints, ranks: Ints) -> list[dict[str, Any]]:
    """For each probe j its five best distractors, and j's own rank when i, of the same identity, looks for it."""
    order = np.lexsort((probe, mate))
    bounds = np.searchsorted(mate[order], np.arange(len(nearest) + 1))
    seekers, places = probe[order].tolist(), ranks[order].tolist()
    known = (index >= 0).sum(axis=1).tolist()
    columns, scores = index.tolist(), nearest.tolist()
    return [
        {
            "distractors": {"idx": columns[j][: known[j]], "score": scores[j][: known[j]]},
            "probes": {"idx": seekers[low:high], "rank": places[low:high]},
        }
        for j, (low, high) in enumerate(pairwise(bounds.tolist()))
    ]


TRIALS = 10


def traditional_ranks(
    engine: Engine, ready: Features, pairs: MatePairs, found: Ints, distractors: int, seed: int
) -> Ints:
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
