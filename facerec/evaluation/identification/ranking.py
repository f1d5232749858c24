"""MegaFace-style identification: each probe must find its mate among distractors.

Rules: one mate plus all distractors form the gallery, for every ordered pair of probes of one identity; no
other photo of that person is in it. Source: the MegaFace challenge as its devkit computes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ParamsError, device_type, torch_device, track
from facerec.evaluation.curves import allowed_false_accepts, supports_rate
from facerec.evaluation.identification import devkit
from facerec.evaluation.identification.result import (
    IdentificationResult,
    Separation,
    SubsetResult,
    count_false_positives,
)
from facerec.evaluation.identification.scoring import (
    BLOCK,
    NEAREST,
    CountsAbove,
    Engine,
    FeatureRows,
    Features,
    Floats,
    HighestScores,
    Ints,
    MatePairs,
    SubsetSweeps,
    checked_features,
    feature_blocks,
    pair_mates,
    score_blocks,
)

_TAIL = 1 << 18  # negatives kept exactly, at least: up to FPR 7e-5 at the full size of MegaFace
_GALLERIES = 10  # random galleries of the traditional CMC


@dataclass(frozen=True)
class _Scan:
    """Counts and scores of one pass over the distractors."""

    beaten: Ints  # (p,) scores strictly above each mate, in the order of the mates
    nearest: Floats  # (n, NEAREST) greatest scores of each probe
    nearest_index: Ints  # and their columns, -1 for none
    tail: Floats  # the greatest scores of all, descending
    tail_probe: NDArray[np.int32]  # and the probes they belong to
    devkit_above: Ints  # for each positive, the scores above it that the devkit counts
    missing: int  # distractors without features


def _scan(run: _Run, distractors: FeatureRows, tail_size: int, rings: SubsetSweeps) -> _Scan:
    """Score the probes against the distractors and count, a block at a time; `rings` is filled on the way."""
    mates, above = run.pairs.by_probe[1], CountsAbove(run.pairs.scores[run.pairs.positives])
    counter, tail = run.engine.counter(mates), HighestScores(tail_size)
    nearest = np.full((len(run.ready.rows), NEAREST), -np.inf, dtype=np.float32)
    index = np.full(nearest.shape, -1, dtype=np.int64)
    missing = 0
    blocks = feature_blocks(distractors, "distractors")
    for start, others in track(blocks, "identify", total=-(-run.distractors // BLOCK), unit="blocks"):
        block = run.engine.load(others)
        block.count_beaten(mates, counter)
        block.keep_nearest(start, nearest, index)
        tail.add(*block.above(tail.threshold))
        above.add(block.scores(devkit.PROBES_AS_NEGATIVES))
        rings.add(start, len(others.rows), block)
        missing += int(others.missing.sum())
    counts = run.engine.counts(counter, mates)
    return _Scan(counts, nearest, index, *tail.descending(), above.counts(), missing)


def choose_engine(probes: Features) -> Engine:
    """The engine for the device of this machine's settings: numba on the CPU, else torch."""
    if device_type() == "cpu":
        from facerec.evaluation.identification.engines import NumbaEngine

        return NumbaEngine(probes)
    from facerec.evaluation.identification.torch_engine import TorchEngine

    return TorchEngine(probes, torch_device())


def score_faces(probes: NDArray[np.floating], faces: FeatureRows, what: str) -> Iterator[tuple[int, Floats]]:
    """(first column, (n, b) scores) of (n, d) `probes` against `faces`, which errors call `what`, block after block."""
    return score_blocks(choose_engine(checked_features(probes, "probes")), faces, what)


@dataclass(frozen=True)
class _Run:
    """The probes and pairs that are ranked, the engine, and the options."""

    engine: Engine
    ready: Features
    pairs: MatePairs
    distractors: int
    fprs: Sequence[float]
    seed: int

    @property
    def negatives(self) -> int:
        return len(self.ready.rows) * self.distractors

    def from_mates(self, beaten: Ints) -> Ints:
        """Ranks in the order of the pairs from counts in the order of the mates; missing faces rank last."""
        ranks = np.empty(len(beaten), dtype=np.int64)
        ranks[self.pairs.by_probe[0]] = beaten
        return ranks

    @cached_property
    def lost(self) -> NDArray[np.bool_]:
        """(p,) pairs with a missing face."""
        return np.asarray(self.ready.missing[self.pairs.probe] | self.ready.missing[self.pairs.mate])


def identify(
    probes: ArrayLike,
    labels: ArrayLike,
    distractors: ArrayLike | FeatureRows,
    fprs: Sequence[float] = (1e-6,),
    sweeps: int = 0,
    seed: int = 0,
    engine: Engine | None = None,
) -> IdentificationResult:
    """Rank every probe's mates among the distractors.

    Args:
        probes: (n, d) features, L2-normalised (`facerec.store.embeddings.normalise`); they are used as they
            are, because noise removal marks rows by an extra dimension. NaN rows are missing faces.
        labels: (n,) identity of each probe, names or numbers.
        distractors: (m, d) features of strangers: an array or a memory map; 1024 rows are read at a time.
        fprs: false-positive rates at which to give the exact true-positive rate.
        sweeps: how many random orders of the distractors to cut into subsets of 10, 100, 1,000 ...
        seed: of those orders and of the galleries of the traditional CMC.
        engine: multiplies and searches; by default the one for this machine's device.

    >>> identify(np.eye(3)[[0, 0]], ["a", "a"], np.eye(3)[1:]).rank1
    1.0

    Raises:
        FormatError: for shapes that do not fit, infinite values, no distractors, or no identity with two
            probes.
        ParamsError: for a rate outside (0, 1].
    """
    rows, names, others = _check(probes, labels, distractors, fprs)
    ready = checked_features(rows, "probes")
    engine = engine or choose_engine(ready)
    run = _Run(engine, ready, pair_mates(engine, ready, names), others.shape[0], fprs, seed)
    allowed = allowed_false_accepts(max(fprs, default=0), run.negatives)
    size = min(run.negatives, max(_TAIL, 2 * allowed + 1))
    rings = SubsetSweeps(engine, run.pairs.by_probe[1], run.distractors, sweeps, allowed + 1, seed)
    return _result(run, _scan(run, others, size, rings), size, rings)


def _result(run: _Run, found: _Scan, size: int, rings: SubsetSweeps) -> IdentificationResult:
    """The result that follows from the counts."""
    pairs, total, positives = run.pairs, run.negatives, run.pairs.positives
    if found.missing == run.distractors or run.lost.all():
        who = "distractors" if found.missing == run.distractors else "pairs of probes"
        raise FormatError(f"None of the {who} has features, so nothing can be measured; every row is missing (NaN).")
    ranks = np.where(run.lost, run.distractors, run.from_mates(found.beaten))
    k, counts = np.unique(ranks, return_counts=True)
    scores = pairs.scores[positives]
    separation = Separation(
        pair=positives,
        identity=pairs.identity[pairs.probe[positives]],
        enrolled=np.isfinite(scores),
        false_positives=count_false_positives(scores, found.tail),
        tail_identity=pairs.identity[found.tail_probe],
        known=len(found.tail) - int(len(found.tail) == size < total),
        negatives=total,
    )
    return IdentificationResult(
        rank1=float(np.mean(ranks == 0)),
        ranks=ranks,
        probe=pairs.probe,
        mate=pairs.mate,
        identity=pairs.identity,
        tpr={fpr: separation.tpr(fpr) for fpr in run.fprs},
        supported={fpr: supports_rate(fpr, total) for fpr in run.fprs},
        cmc=(k + 1, np.cumsum(counts) / len(ranks)),
        roc=separation.roc(),
        separation=separation,
        devkit=_devkit(run, found, ranks),
        sweeps=tuple(_subset(run, scores, *each) for each in rings.subsets()),
        pairs=len(ranks),
        probes=len(pairs.identity),
        distractors=run.distractors,
        failures=(int(run.ready.missing.sum()), found.missing),
        repeated=_count_repeated(run.ready),
    )


def _count_repeated(probes: Features) -> int:
    """How many probes have the features of an earlier one; missing ones are left out."""
    rows = probes.rows[~probes.missing]
    return len(rows) - len({hash(row.tobytes()) for row in rows})


def _check(
    probes: ArrayLike, labels: ArrayLike, distractors: ArrayLike | FeatureRows, fprs: Sequence[float]
) -> tuple[NDArray[np.floating], NDArray[np.generic], FeatureRows]:
    rows, names = np.asarray(probes), np.asarray(labels)
    others: Any = distractors if hasattr(distractors, "shape") else np.asarray(distractors)
    for what, matrix in (("probes", rows), ("distractors", others)):
        if len(matrix.shape) != 2 or matrix.dtype.kind != "f" or 0 in matrix.shape:
            raise FormatError(
                f"The {what} must be a float matrix with a row a face, not {matrix.dtype} {matrix.shape}."
            )
    if rows.shape[1] != others.shape[1]:
        raise FormatError(
            f"Probes have {rows.shape[1]} dimensions and distractors {others.shape[1]}; use one model for both."
        )
    if names.shape != (len(rows),):
        raise FormatError(f"{len(rows)} probes need as many labels, not an array of shape {names.shape}.")
    if not all(0 < fpr <= 1 for fpr in fprs):
        raise ParamsError(f"False-positive rates must lie above 0 and not above 1, not {list(fprs)}.")
    return rows, names, others


def _subset(run: _Run, positives: Floats, size: int, number: int, beaten: Ints, tail: Floats) -> SubsetResult:
    negatives = len(run.ready.rows) * size
    above, enrolled = count_false_positives(positives, tail), np.isfinite(positives)
    tpr = {
        fpr: float(np.mean((above <= allowed_false_accepts(fpr, negatives)) & enrolled))
        for fpr in run.fprs
        if supports_rate(fpr, negatives)
    }
    return SubsetResult(size, number, float(np.mean((run.from_mates(beaten) == 0) & ~run.lost)), tpr)


def _devkit(run: _Run, found: _Scan, ranks: Ints) -> dict[str, object]:
    negatives = min(devkit.PROBES_AS_NEGATIVES, len(run.ready.rows)) * run.distractors
    last = run.distractors + int(run.pairs.identity.max())
    return {
        "cmc": devkit.devkit_cmc(ranks, run.distractors),
        "roc": devkit.devkit_roc(found.devkit_above, negatives),
        "traditional_cmc": devkit.devkit_cmc(_traditional_ranks(run, ranks), last),
        "matches": devkit.devkit_matches(found.nearest, found.nearest_index, run.pairs.probe, run.pairs.mate, ranks),
    }


def _traditional_ranks(run: _Run, found: Ints) -> Ints:
    """Ranks among distractors and one photo of every person: the gallery of the devkit's traditional CMC.

    Returns:
        (_GALLERIES * (probes - identities),) 0-based ranks. `found` are the ranks of the pairs among the distractors.
    """
    rng = np.random.default_rng(run.seed)
    count, identity = len(run.ready.rows), run.pairs.identity
    keys = run.pairs.probe * count + run.pairs.mate
    order = np.argsort(keys)
    trials = []
    for _ in range(_GALLERIES):
        gallery = _draw_gallery(identity, rng)
        searching = np.setdiff1d(np.arange(count), gallery)
        own = gallery[identity[searching]]
        place = order[np.searchsorted(keys, searching * count + own, sorter=order)]
        better = _better_in_gallery(run, gallery)[searching]
        lost = run.ready.missing[searching] | run.ready.missing[own]
        trials.append(np.where(lost, run.distractors + len(gallery) - 1, found[place] + better))
    return np.concatenate(trials)


def _draw_gallery(identity: Ints, rng: np.random.Generator) -> Ints:
    """(identities,) one random probe of each."""
    order = np.lexsort((rng.random(len(identity)), identity))
    return order[np.searchsorted(identity[order], np.arange(identity.max() + 1))]


def _better_in_gallery(run: _Run, gallery: Ints) -> Ints:
    """(n,) gallery photos that each probe scores strictly above its own."""
    rows = np.where(run.ready.missing[gallery, None], np.nan, run.ready.rows[gallery])
    scores = np.concatenate([block for _, block in score_blocks(run.engine, rows, "probes")], axis=1)
    own = scores[np.arange(len(scores)), run.pairs.identity]
    return np.asarray((scores > own[:, None]).sum(axis=1), dtype=np.int64)
