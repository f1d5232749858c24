"""MegaFace-style identification: each probe must find its mate among distractors.

Rules: one mate plus all distractors form the gallery, for every ordered pair of probes of one identity; no
other photo of that person is in it. Source: the MegaFace challenge as its devkit computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.errors import FormatError, ParamsError
from facerec.identification import devkit
from facerec.identification.result import Result
from facerec.identification.scores import (
    BLOCK,
    NEAREST,
    Features,
    Floats,
    Ints,
    Tail,
    against,
    count_beaten,
    features,
    keep_nearest,
)

_TAIL = 1 << 20  # negatives kept exactly, at least, for the ROC


@dataclass(frozen=True)
class _Pairs:
    """All ordered pairs of one identity, with the score of each."""

    probe: Ints
    mate: Ints
    scores: Floats

    @property
    def positives(self) -> Floats:
        """Ascending scores of the unordered pairs, the probe earlier in the list than its mate."""
        return np.sort(self.scores[self.probe < self.mate])


@dataclass(frozen=True)
class _Scan:
    """What one pass over the distractors yields."""

    ranks: Ints
    nearest: Floats
    nearest_index: Ints
    tail: Floats
    devkit_false_positives: Ints
    missing: int


def identify(
    probes: ArrayLike, labels: ArrayLike, distractors: ArrayLike, fprs: Sequence[float] = (1e-6,)
) -> Result:
    """Rank every probe's mates among the distractors.

    Args:
        probes: (n, d) features, L2-normalised (`facerec.identification.normalise`); they are used as they
            are, because noise removal marks rows by an extra dimension. NaN rows are faces not enrolled.
        labels: (n,) identity of each probe, names or numbers.
        distractors: (m, d) features of strangers; may be memory-mapped, 1024 rows are read at a time.
        fprs: false-positive rates at which to give the exact true-positive rate.

    Raises:
        FormatError: for shapes that do not fit, infinite values, no distractors, or no identity with two
            probes.
        ParamsError: for a rate outside (0, 1].
    """
    rows, names, others = _check(probes, labels, distractors, fprs)
    ready = features(rows, "probes")
    pairs = _pair_up(ready, rows, names)
    total = len(rows) * len(others)
    tail = min(total, max(_TAIL, _allowed(max(fprs, default=0), total) + 1))
    scan = _scan(ready, pairs, others, tail)
    last_known = len(scan.tail) - int(len(scan.tail) == tail < total)
    k, counts = np.unique(scan.ranks, return_counts=True)
    false_positives = _false_positives(pairs.positives, scan.tail)
    return Result(
        rank1=float(np.mean(scan.ranks == 0)),
        ranks=scan.ranks,
        probe=pairs.probe,
        mate=pairs.mate,
        tpr={fpr: _tpr(pairs.positives, false_positives, fpr, total) for fpr in fprs},
        supported={fpr: fpr * total >= 1 - 1e-9 for fpr in fprs},
        cmc=(k + 1, np.cumsum(counts) / len(scan.ranks)),
        roc=_roc(pairs.positives, false_positives, last_known, total),
        devkit=_devkit(pairs, scan, len(rows), len(others)),
        pairs=len(scan.ranks),
        probes=len(rows),
        distractors=len(others),
        failures=(int(ready.missing.sum()), scan.missing),
    )


def _check(
    probes: ArrayLike, labels: ArrayLike, distractors: ArrayLike, fprs: Sequence[float]
) -> tuple[NDArray[np.floating], NDArray[np.generic], NDArray[np.floating]]:
    rows, names, others = np.asarray(probes), np.asarray(labels), np.asanyarray(distractors)
    for what, matrix in (("probes", rows), ("distractors", others)):
        if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating) or 0 in matrix.shape:
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


def _pair_up(ready: Features, rows: NDArray[np.floating], names: NDArray[np.generic]) -> _Pairs:
    """Pairs by identity in sorted order, then probe, then mate, with their scores."""
    codes = np.unique(names, return_inverse=True)[1].ravel()
    by_identity = np.argsort(codes, kind="stable")
    groups = np.split(by_identity, np.flatnonzero(np.diff(codes[by_identity])) + 1)
    grids = [np.array([(i, j) for i in group for j in group if i != j]) for group in groups if len(group) > 1]
    if not grids:
        raise FormatError("No identity has two probes, so there is no mate to find.")
    probe, mate = np.concatenate(grids).T.astype(np.int64)
    scores = np.empty(len(probe), dtype=np.float32)
    for start, block in against(ready, rows, "probes"):
        here = np.flatnonzero((mate >= start) & (mate < start + block.shape[1]))
        scores[here] = block[probe[here], mate[here] - start]
    return _Pairs(probe, mate, scores)


def _scan(ready: Features, pairs: _Pairs, distractors: NDArray[np.floating], tail_size: int) -> _Scan:
    """One pass over the distractors in blocks."""
    n = len(ready.rows)
    order = np.lexsort((pairs.scores, pairs.probe))
    starts = np.searchsorted(pairs.probe[order], np.arange(n + 1))
    mates, beaten = pairs.scores[order], np.zeros(len(order), dtype=np.int64)
    nearest = np.full((n, NEAREST), -np.inf, dtype=np.float32)
    index = np.full((n, NEAREST), -1, dtype=np.int64)
    positives = pairs.positives
    above = np.zeros(len(positives), dtype=np.int64)
    everything = np.array([0, len(positives)])
    tail = Tail(tail_size, n * min(BLOCK, len(distractors)))
    missing = 0
    for start, scores in against(ready, distractors, "distractors"):
        best = scores.max(axis=1)
        count_beaten(scores, best, mates, starts, beaten)
        keep_nearest(scores, best, start, nearest, index)
        tail.add(scores, best)
        few = devkit.PROBES_AS_NEGATIVES
        count_beaten(scores[:few].reshape(1, -1), best[:few].max(keepdims=True), positives, everything, above)
        missing += int(np.isnan(distractors[start : start + BLOCK]).any(axis=1).sum())
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = _from_the_top(beaten, starts)
    ranks[ready.missing[pairs.probe] | ready.missing[pairs.mate]] = len(distractors)
    return _Scan(ranks, nearest, index, tail.descending(), _from_the_top(above, everything), missing)


def _from_the_top(counts: Ints, starts: Ints) -> Ints:
    """Sums from each place to the end of its segment: who beats a better mate beats all worse ones."""
    summed = np.append(np.cumsum(counts[::-1])[::-1], 0)
    ends = np.repeat(starts[1:], np.diff(starts))
    return np.asarray(summed[:-1] - summed[ends])


def _false_positives(positives: Floats, tail: Floats) -> Ints:
    """(p,) negatives strictly above each of the positives, which come in ascending order."""
    return np.searchsorted(-tail, -positives, side="left").astype(np.int64)


def _allowed(fpr: float, negatives: int) -> int:
    """False positives that a rate allows; rounding of the product must not lose one."""
    return int(fpr * negatives * (1 + 1e-12))


def _tpr(positives: Floats, false_positives: Ints, fpr: float, negatives: int) -> float:
    enough = false_positives <= _allowed(fpr, negatives)
    return float(np.mean(enough & np.isfinite(positives)))


def _roc(
    positives: Floats, false_positives: Ints, last: int, negatives: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The steps of the curve, up to `last` false positives, behind which the tail had no room."""
    known = np.sort(false_positives[np.isfinite(positives) & (false_positives <= last)])
    steps = np.unique(np.concatenate([[0], known, [last]]))
    return steps / negatives, np.searchsorted(known, steps, side="right") / len(positives)


def _devkit(pairs: _Pairs, scan: _Scan, probes: int, distractors: int) -> dict[str, object]:
    negatives = min(devkit.PROBES_AS_NEGATIVES, probes) * distractors
    return {
        "cmc": devkit.cmc(scan.ranks, distractors),
        "roc": devkit.roc(scan.devkit_false_positives, negatives),
        "matches": devkit.matches(scan.nearest, scan.nearest_index, pairs.probe, pairs.mate, scan.ranks),
    }
