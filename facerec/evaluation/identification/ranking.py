"""MegaFace-style identification: each probe must find its mate among distractors.

Rules: one mate plus all distractors form the gallery, for every ordered pair of probes of one identity; no
other photo of that person is in it. Source: the MegaFace challenge as its devkit computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ParamsError, track
from facerec.evaluation.identification import devkit
from facerec.evaluation.identification.devkit import traditional_ranks
from facerec.evaluation.identification.impostors import CountsAbove, HighestScores, SubsetCounts, SubsetSweeps
from facerec.evaluation.identification.result import (
    IdentificationResult,
    Separation,
    SubsetResult,
    allowed_false_positives,
    count_false_positives,
    supports_rate,
)
from facerec.evaluation.identification.scoring import (
    BLOCK,
    NEAREST,
    Engine,
    FeatureRows,
    Features,
    Floats,
    Ints,
    MatePairs,
    MateScores,
    checked_features,
    feature_blocks,
    pair_mates,
)

_TAIL = 1 << 18  # negatives kept exactly, at least: up to FPR 7e-5 at the full size of MegaFace


@dataclass(frozen=True)
class DistractorScan:
    """Counts and scores of one pass over the distractors.

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


def scan_distractors(
    engine: Engine,
    mates: MateScores,
    positives: Floats,
    distractors: FeatureRows,
    tail_size: int,
    rings: SubsetSweeps | None,
) -> DistractorScan:
    """Score the probes against the distractors and count, a block at a time; `rings` is filled on the way."""
    n = len(mates.starts) - 1
    counter, tail, above = engine.counter(mates), HighestScores(tail_size), CountsAbove(positives)
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
    return DistractorScan(counts, nearest, index, *tail.descending(), above.counts(), missing)


def choose_engine(probes: Features) -> Engine:
    """The engine for the device of this machine's settings: numba on the CPU, else torch."""
    from facerec.core import torch_device

    chosen = torch_device()
    if chosen.type == "cpu":
        from facerec.evaluation.identification.engines import NumbaEngine

        return NumbaEngine(probes)
    from facerec.evaluation.identification.engines import TorchEngine

    return TorchEngine(probes, chosen)


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
        distractors: (m, d) features of strangers: an array, or `on_files.NpyRows` where they do not fit in
            memory; 1024 rows are read at a time.
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
    positives, mates = run.pairs.positives, run.pairs.by_probe[1]
    size = min(run.negatives, max(_TAIL, 2 * allowed_false_positives(max(fprs, default=0), run.negatives) + 1))
    rings = None
    if sweeps:
        most = allowed_false_positives(max(fprs, default=0), run.negatives) + 1
        rings = SubsetSweeps(engine, mates, run.distractors, sweeps, most, seed)
    found = scan_distractors(engine, mates, run.pairs.scores[positives], others, size, rings)
    return _result(run, found, positives, size, rings.subsets() if rings else [])


def _result(
    run: _Run, found: DistractorScan, positives: Ints, size: int, subsets: list[SubsetCounts]
) -> IdentificationResult:
    """The result that follows from the counts."""
    pairs, total = run.pairs, run.negatives
    ranks = np.where(run.lost(), run.distractors, run.from_mates(found.beaten))
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
        sweeps=tuple(_subset(run, scores, each) for each in subsets),
        pairs=len(ranks),
        probes=len(pairs.identity),
        distractors=run.distractors,
        failures=(int(run.ready.missing.sum()), found.missing),
    )


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


def _subset(run: _Run, positives: Floats, counted: SubsetCounts) -> SubsetResult:
    ranks = run.from_mates(counted.beaten)
    negatives = len(run.ready.rows) * counted.size
    beaten = count_false_positives(positives, counted.tail)
    enrolled = np.isfinite(positives)
    tpr = {
        fpr: float(np.mean((beaten <= allowed_false_positives(fpr, negatives)) & enrolled))
        for fpr in run.fprs
        if supports_rate(fpr, negatives)
    }
    rank1 = float(np.mean((ranks == 0) & ~run.lost()))
    return SubsetResult(counted.size, counted.set, rank1, tpr)


def _devkit(run: _Run, found: DistractorScan, ranks: Ints) -> dict[str, object]:
    negatives = min(devkit.PROBES_AS_NEGATIVES, len(run.ready.rows)) * run.distractors
    drawn = traditional_ranks(run.engine, run.ready, run.pairs, ranks, run.distractors, run.seed)
    last = run.distractors + int(run.pairs.identity.max())
    return {
        "cmc": devkit.devkit_cmc(ranks, run.distractors),
        "roc": devkit.devkit_roc(found.devkit_above, negatives),
        "traditional_cmc": devkit.devkit_cmc(drawn, last),
        "matches": devkit.devkit_matches(found.nearest, found.nearest_index, run.pairs.probe, run.pairs.mate, ranks),
    }
