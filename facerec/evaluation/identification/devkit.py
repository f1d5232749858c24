"""The MegaFace devkit's JSON, number for number: writing its curves and matches, and reading published results.

The devkit's ROC counts only the first 100 probes as negatives and keeps a point where the curve has risen by more than
.01 since the last, so it is for comparison with published files; the exact metrics are in `IdentificationResult`.

"The TPR at FPR 1e-6" of a published file is therefore read between two points that may be a point apart. Published
numbers do so in at least three ways that differ by up to half a point, so each is named:

    log     on a straight line over log FPR, as the curve looks on the usual axis
    linear  on a straight line over FPR
    next    the first point at or above the rate asked for
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, parse_json, rate_name

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
READINGS = ("log", "linear", "next")

PROBES_AS_NEGATIVES = 100
"""Probes whose scores against the distractors are the negatives of the ROC. With fewer probes all of them are taken: that
is our rule, since the devkit then reads beyond its array."""

_STEP = 0.01


def devkit_cmc(ranks: Ints, distractors: int) -> list[list[float]]:
    """[[0-based ranks], [cumulative shares]]: rank 0, each rank with a rise of at least .01, and the last one.

    Args:
        ranks: (p,) rank of every pair, 0 is best.
        distractors: the last rank.

    >>> devkit_cmc(np.array([0] + [1] + [2] * 98), 5)[0]  # from .01 to .02 the float32 share rises by .00999999978
    [0, 2, 5]
    """
    shares = np.cumsum(np.bincount(ranks, minlength=distractors + 1)).astype(np.float32)
    shares /= np.float32(len(ranks))
    steps = np.unique(np.concatenate([ranks, [0, distractors]]))
    kept = _thin(shares[steps], lambda rise: rise >= _STEP)
    return [steps[kept].tolist(), shares[steps][kept].tolist()]


def devkit_roc(false_positives: Ints, negatives: int) -> list[list[float]]:
    """[[fpr], [tpr]] from (p,) negatives above each positive: FPR 0, each rise of more than .01, and the last point."""
    counts = np.sort(false_positives)
    steps = np.unique(np.concatenate([counts, [0, negatives]]))
    found = np.searchsorted(counts, steps, side="right").astype(np.float32) / np.float32(len(counts))
    kept = _thin(found, lambda rise: rise > _STEP)
    return [(steps[kept].astype(np.float32) / np.float32(negatives)).tolist(), found[kept].tolist()]


def _thin(shares: Floats, enough: Callable[[float], bool]) -> list[int]:
    """Places where the float32 share has risen enough since the last such place, from -1 on, and the last place.

    Rises are compared as doubles: a float32 rise of .00999999978 is less than .01.
    """
    kept, last = [], np.float32(-1)
    for place, share in enumerate(shares):
        if enough(float(share - last)) or place == len(shares) - 1:
            kept.append(place)
            last = share
    return kept


def devkit_matches(nearest: Floats, index: Ints, probe: Ints, mate: Ints, ranks: Ints) -> list[dict[str, Any]]:
    """For each probe j its five best distractors, and j's own rank when i, of the same identity, looks for it.

    "probes" is None for a probe without mates.
    """
    order = np.lexsort((probe, mate))
    bounds = np.searchsorted(mate[order], np.arange(len(nearest) + 1))
    seekers, places = probe[order].tolist(), ranks[order].tolist()
    known = (index >= 0).sum(axis=1).tolist()
    columns, scores = index.tolist(), nearest.tolist()
    return [
        {
            "distractors": {"idx": columns[j][: known[j]], "score": scores[j][: known[j]]},
            "probes": {"idx": seekers[low:high], "rank": places[low:high]} if high > low else None,
        }
        for j, (low, high) in enumerate(pairwise(bounds.tolist()))
    ]


@dataclass(frozen=True)
class PublishedCurves:
    """The curves of one devkit run.

    Attributes:
        cmc, traditional_cmc: (rank, share of pairs found), 1 is best. Traditional: None where there is none.
        roc: (fpr, tpr); the negatives are the distractors against the first 100 probes.
        distractors: how many there were.
    """

    cmc: tuple[Doubles, Doubles]
    roc: tuple[Doubles, Doubles]
    traditional_cmc: tuple[Doubles, Doubles] | None
    distractors: int

    @property
    def rank1(self) -> float:
        """Share of pairs whose mate is above every distractor; 0 where the first point is a later rank."""
        return float(self.cmc[1][0]) if self.cmc[0][0] == 1 else 0.0

    def tpr(self, fpr: float) -> dict[str, float]:
        """The true positive rate at `fpr` in every reading; a reading whose two points do not enclose it is absent."""
        x, y = self.roc
        after = int(np.searchsorted(x, fpr, side="left"))
        if after == len(x):
            return {}
        if x[after] == fpr or after == 0:
            return dict.fromkeys(READINGS if x[after] == fpr else ("next",), float(y[after]))
        low, rise = x[after - 1], y[after] - y[after - 1]
        shares = {"linear": (fpr - low) / (x[after] - low)}
        if low > 0:
            start, at, end = np.log([low, fpr, x[after]])
            shares = {"log": (at - start) / (end - start), **shares}
        found = {name: float(y[after - 1] + share * rise) for name, share in shares.items()}
        return {**found, "next": float(y[after])}

    def metrics(self, fprs: tuple[float, ...]) -> dict[str, Any]:
        """As `facerec megaface published` prints it."""
        rates = {rate_name(fpr): self.tpr(fpr) for fpr in fprs}
        return {"rank1": self.rank1, "tpr": rates, "distractors": self.distractors}


def parse_published(value: Mapping[str, Any], origin: str = "the devkit's JSON") -> PublishedCurves:
    """Curves from {"cmc", "roc"[, "traditional_cmc"]} as the devkit and `IdentificationResult.devkit` have them."""
    cmc, roc = (_curve(value, name, origin) for name in ("cmc", "roc"))
    traditional = _curve(value, "traditional_cmc", origin) if "traditional_cmc" in value else None
    shifted = None if traditional is None else (traditional[0] + 1, traditional[1])
    return PublishedCurves((cmc[0] + 1, cmc[1]), roc, shifted, int(cmc[0][-1]))


def read_published(path: str | Path) -> PublishedCurves:
    """The curves of a devkit file such as cmc_facescrub_megaface_0_1000000_1.json."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read the devkit result {path}: {error.strerror}.") from error
    return parse_published(parse_json(text, str(path)), str(path))


def _curve(value: Any, name: str, origin: str) -> tuple[Doubles, Doubles]:
    try:
        x, y = (np.array(axis, dtype=np.float64) for axis in value[name])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f'{origin} has no curve "{name}"; give the devkit\'s cmc_*.json.') from error
    if not (x.ndim == y.ndim == 1 and 0 < len(x) == len(y) and np.isfinite([x, y]).all() and x[-1] < 1e12):
        raise FormatError(f'The curve "{name}" of {origin} must be two lists of as many finite numbers.')
    if (np.diff(x) < 0).any() or x[0] < 0:
        raise FormatError(f'The curve "{name}" of {origin} must ascend from 0 or above.')
    return x, y
