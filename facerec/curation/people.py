"""People of a face set by the embeddings of a network: robust centres, and cuts that the network itself calibrates.

A centre is the geometric median of the unit embeddings of an identity (Weiszfeld, 1937), so that it stays with the
majority while less than half of the photos show others. Which cosine means the same person depends on the network and
on how many people are compared, so it is no constant here: `impostor_cut` takes it from the comparisons themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from facerec.store.embeddings import normalise

_ROUNDS = 10  # of Weiszfeld's iteration
_NEAREST = 0.1  # distance from which on a photo weighs no more, so that none takes a centre for itself
_BLOCK = 65_536  # faces whose centres are computed at a time
_ROWS = 2048  # rows of a block of cosines
BINS = 20_000
"""Of a histogram of cosines, over -1 to 1."""
_FIT = (0.2, 0.002)  # shares of the comparisons above the quantiles to which the tail is fitted

Cosines = NDArray[np.float32]


@dataclass(frozen=True)
class People:
    """The faces of a set as people.

    Attributes:
        names: k identities, sorted.
        members: (n,) number of the identity of each face.
        unit: (n, d) embeddings of length 1.
        centres: (k, d) of length 1.
        own: (n,) cosine between a face and the centre of the other faces of its identity; NaN where there is no other.
    """

    names: list[str]
    members: NDArray[np.int64]
    unit: NDArray[np.float32]
    centres: NDArray[np.float32]
    own: NDArray[np.float64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(k,) faces of each identity."""
        return np.bincount(self.members, minlength=len(self.names))

    def nearest(self, number: int, count: int) -> list[int]:
        """Up to `count` faces of identity `number`, those nearest to its centre first."""
        mine = np.flatnonzero(self.members == number)
        return [int(row) for row in mine[np.argsort(-self.unit[mine] @ self.centres[number], kind="stable")[:count]]]


def group_people(matrix: NDArray[np.float32], identities: Sequence[str]) -> People:
    """The people in embeddings (n, d), by the name of each face."""
    unit = normalise(matrix)
    names, members = np.unique(np.array(identities, dtype=object).astype(str), return_inverse=True)
    members = members.astype(np.int64)
    order = np.argsort(members, kind="stable")
    starts = np.searchsorted(members[order], np.arange(len(names) + 1))
    centres, own = np.empty((len(names), unit.shape[1]), np.float32), np.full(len(unit), np.nan)
    for first, last in _blocks(starts):
        rows = order[starts[first] : starts[last]]
        centres[first:last], own[rows] = _centres(unit[rows], starts[first : last + 1] - starts[first])
    return People(names.tolist(), members, unit, centres, own)


def _blocks(starts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of identities with about `_BLOCK` faces each."""
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK, side="right")) - 1)
        yield first, last
        first = last


def _centres(faces: NDArray[np.float32], starts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of the identities whose faces follow one another, and the cosine of each face to that of the others."""
    wide, weights = faces.astype(np.float64), np.ones(len(faces))
    people = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    for _ in range(_ROUNDS):
        sums = np.add.reduceat(wide * weights[:, None], starts[:-1])
        centres = _unit(sums)
        squared = 2 - 2 * np.einsum("nd,nd->n", wide, centres[people])
        weights = 1 / np.sqrt(np.maximum(squared, _NEAREST**2))
    sums = np.add.reduceat(wide * weights[:, None], starts[:-1])
    others = _unit(sums[people] - wide * weights[:, None])
    own = np.einsum("nd,nd->n", wide, others)
    own[np.diff(starts)[people] == 1] = np.nan
    return _unit(sums), own


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit


def cosine_blocks(first: Cosines, second: Cosines) -> Iterator[tuple[int, Cosines]]:
    """The cosines of unit rows (n, d) with unit rows (m, d), in blocks (b, m) with the number of their first row."""
    for start in range(0, len(first), _ROWS):
        yield start, first[start : start + _ROWS] @ second.T


def count_cosines(cosines: Cosines) -> NDArray[np.int64]:
    """Histogram of cosines over `BINS`; NaN is left out."""
    places = np.clip((cosines[~np.isnan(cosines)] + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    return np.bincount(places, minlength=BINS)


def quantiles(histogram: NDArray[np.int64], above: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosines that shares `above` of a histogram exceed, to the width of a bin."""
    reached = np.cumsum(histogram) / max(1, histogram.sum())
    return np.asarray((np.searchsorted(reached, 1 - above) + 1) * (2 / BINS) - 1)


def impostor_cut(histogram: NDArray[np.int64], expected: float) -> float:
    """The cosine that so many (`expected`) of the comparisons of different people exceed by chance.

    It lies beyond nearly all comparisons, and the few of the same person hide among the highest. So a normal tail is
    fitted to the quantiles that 20 % to 0.2 % of all comparisons exceed, a straight line against those of the normal
    distribution, and continued to the share expected / comparisons. At least 1,000 comparisons are needed for a tail;
    with fewer the fit starts where 2 of them are left. Rounded up to three decimals.
    """
    total = int(histogram.sum())
    if total < 10:
        return 1.0
    shares = np.geomspace(_FIT[0], max(_FIT[1], min(0.1, 2 / total)), 20)
    normal = np.array([-NormalDist().inv_cdf(share) for share in shares])
    slope, offset = np.polyfit(normal, quantiles(histogram, shares), 1)
    beyond = -NormalDist().inv_cdf(min(0.5, expected / total))
    return float(np.clip(np.ceil(1000 * (offset + slope * beyond)) / 1000, -1.0, 1.0))
