"""Cosines of photos, exact and block by block: of all pairs of a set, and of probes against a gallery.

The numbers of a unit vector are rounded to multiples of 2^-26. Their products and sums then fit into the 53 bits of a
float64, so a matrix product rounds nothing: a score has the same bits on any processor, in blocks of any size, for any
order of the photos. The rounding moves a score by some 1e-8, about as much as keeping unit vectors in float32 does.
A row of NaN or zeros is a photo without a face: it scores minus infinity against everything.

Blocks of scores take 16 MB. Beside them there are the embeddings in float64 (8 bytes a number), the scores of the
genuine pairs, and at most twice as many of the highest impostor scores as the highest false accept rate needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEP = 2.0**-26
_BLOCK = 1 << 21  # scores in memory at once


@dataclass(frozen=True)
class UnitRows:
    """n photos: (n, d) `rows` of length 1 in multiples of 2^-26, and (n,) which have no face; their rows are zeros."""

    rows: Floats
    missing: NDArray[np.bool_]

    def take(self, chosen: Ints | slice) -> UnitRows:
        """The photos of these rows."""
        return UnitRows(self.rows[chosen], self.missing[chosen])

    def at(self, chosen: Ints) -> UnitRows:
        """As `take`, where -1 is a photo that is not there."""
        lost = chosen < 0
        return UnitRows(np.where(lost[:, None], 0.0, self.rows[chosen]), self.missing[chosen] | lost)

    def scores(self, others: UnitRows) -> Floats:
        """(n, m) exact cosines with other photos; minus infinity where a photo has no face."""
        found = self.rows @ others.rows.T
        found[self.missing] = -np.inf
        found[:, others.missing] = -np.inf
        return found


def unit_rows(embeddings: ArrayLike) -> UnitRows:
    """(n, d) embeddings of any length as unit rows; FormatError for an infinite value or another shape."""
    wide = np.asarray(embeddings, dtype=np.float64)
    if wide.ndim != 2:
        raise FormatError(f"embeddings have one row a photo, (n, d); these have the shape {wide.shape}.")
    largest = np.abs(wide).max(axis=1, initial=0.0)  # taken out first, so that no square overflows or vanishes
    if np.isinf(largest).any():
        raise FormatError(f"row {int(np.argmax(np.isinf(largest)))} of the embeddings is infinite; embed again.")
    missing = ~(largest > 0)
    scaled = np.where(missing[:, None], 0.0, wide / np.where(missing, 1.0, largest)[:, None])
    lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    return UnitRows(np.rint(scaled / np.where(missing, 1.0, lengths)[:, None] / _STEP) * _STEP, missing)


def mean_rows(units: UnitRows, groups: Ints) -> UnitRows:
    """One unit row for each group, the direction of the mean of its photos that have a face.

    Args:
        units: n photos, those of a group beside each other.
        groups: (k,) first row of each group, ascending.
    """
    return unit_rows(np.add.reduceat(units.rows, groups, axis=0))


class HighestOf:
    """The `size` highest of all scores shown to it."""

    def __init__(self, size: int) -> None:
        """Hold `size` scores, and up to as many again between two clearances."""
        self._size, self._threshold = size, -np.inf
        self._kept: list[Floats] = []
        self._count = 0

    def add(self, scores: Floats) -> None:
        """Show it scores; minus infinity is never kept."""
        self._kept.append(scores[scores > self._threshold])
        self._count += len(self._kept[-1])
        if self._size and self._count > 2 * self._size:
            everything = np.concatenate(self._kept)
            kept = np.partition(everything, len(everything) - self._size)[len(everything) - self._size :]
            self._kept, self._count, self._threshold = [kept], len(kept), float(kept.min())

    def descending(self) -> Floats:
        """Up to `size` scores, the highest first."""
        return -np.sort(-np.concatenate([np.empty(0), *self._kept]))[: self._size]


@dataclass(frozen=True)
class PairScores:
    """All pairs of some photos.

    Attributes:
        genuine: (g,) scores of the pairs of one person, ascending; minus infinity for a photo without a face.
        impostors: how many pairs of two people there are.
        highest: the highest impostor scores, in descending order, as many as the highest rate needs.
    """

    genuine: Floats
    impostors: int
    highest: Floats

    def rate(self, far: float) -> float:
        """Share of the genuine pairs that score at least the round(far x impostors)-th highest impostor score."""
        place = rounded(far * self.impostors) - 1
        threshold = self.highest[place] if place < len(self.highest) else -np.inf
        return float(np.mean((self.genuine >= threshold) & np.isfinite(self.genuine)))


def rounded(count: float) -> int:
    """The nearest whole number; halves are rounded up, as MATLAB does, in which BLUFR is written.

    >>> rounded(2.5), round(2.5)
    (3, 2)
    """
    return int(np.floor(count + 0.5))


def score_pairs(units: UnitRows, people: ArrayLike, far: float) -> PairScores:
    """Score all pairs of n photos.

    Args:
        units: the photos.
        people: (n,) number of the person in each.
        far: highest false accept rate that is asked for, from which follows how many impostor scores are kept.

    Raises:
        FormatError: where there are no two photos of one person, or none of two people.
    """
    persons = np.asarray(people)
    order = np.argsort(persons, kind="stable")
    persons, sorted_units = persons[order], units.take(order)
    counts = np.unique(persons, return_counts=True)[1].astype(np.int64)
    genuine, pairs = int((counts * (counts - 1) // 2).sum()), len(persons) * (len(persons) - 1) // 2
    if not 0 < genuine < pairs:
        raise FormatError("the photos make no pairs of one person, or none of two people; nothing can be verified.")
    highest = HighestOf(rounded(far * (pairs - genuine)))
    found: list[Floats] = []
    start, rows = 0, max(1, _BLOCK // len(persons))
    while start < len(persons):
        stop = min(start + rows, len(persons))
        block = sorted_units.take(slice(start, stop)).scores(sorted_units.take(slice(start, None)))
        found.append(_take_genuine(block, persons[start:], stop - start))
        highest.add(block)
        start = stop
    return PairScores(np.sort(np.concatenate(found)), pairs - genuine, highest.descending())


def _take_genuine(block: Floats, persons: NDArray[np.generic], rows: int) -> Floats:
    """Scores of the genuine pairs in a block whose rows are the first of its columns.

    These scores, and those of a photo with itself or with one before it, become minus infinity in the block.
    """
    near = int(np.searchsorted(persons, persons[rows - 1], side="right"))
    same = persons[:rows, None] == persons[None, :near]
    later = np.arange(near)[None, :] > np.arange(rows)[:, None]
    genuine: Floats = block[:, :near][same & later]
    block[:, :near][same | ~later] = -np.inf
    return genuine


@dataclass(frozen=True)
class GalleryScores:
    """Probes against a gallery.

    Attributes:
        mate: (g,) score of each genuine probe with its own person; minus infinity where a face is missing.
        rank: (g,) 1 + how many other people score strictly above that, so a person who ties with the mate is behind it.
        tied: (g,) whether another person has the mate's score.
        unknown: (u,) the highest score of each probe of somebody who is not in the gallery, in descending order.
    """

    mate: Floats
    rank: Ints
    tied: NDArray[np.bool_]
    unknown: Floats

    def rate(self, far: float, rank: int = 1) -> float:
        """Share of the genuine probes found at this rank or better with a score of at least the threshold for `far`.

        The threshold is the round(far x unknown probes)-th highest score of the unknown probes.
        """
        place = rounded(far * len(self.unknown)) - 1
        return float(np.mean((self.mate >= self.unknown[place]) & self._found(rank)))

    def closed_rate(self, rank: int = 1) -> float:
        """Share of the genuine probes found at this rank or better, whatever their score."""
        return float(np.mean(self._found(rank)))

    def _found(self, rank: int) -> NDArray[np.bool_]:
        return (self.rank <= rank) & np.isfinite(self.mate)


def score_gallery(
    units: UnitRows, people: Ints, gallery: Ints, genuine: Ints, unknown: Ints, fusion: str
) -> GalleryScores:
    """Score probes against everybody in a gallery.

    Args:
        units: n photos.
        people: (n,) number of the person in each.
        gallery, genuine, unknown: rows of the photos enrolled and of both kinds of probes.
        fusion: how several photos of a person are enrolled: "max", the best of their scores, or "mean", one
            template of their mean direction.
    """
    ordered = gallery[np.argsort(people[gallery], kind="stable")]
    persons, first = np.unique(people[ordered], return_index=True)
    enrolled = units.take(ordered)
    if fusion == "mean":
        enrolled, first = mean_rows(enrolled, first), np.arange(len(persons))
    column = np.searchsorted(persons, people[genuine])
    mates, ranks, ties, best = [], [], [], []
    probes, rows = np.concatenate([genuine, unknown]), max(1, _BLOCK // len(enrolled.rows))
    for start in range(0, len(probes), rows):
        chosen = probes[start : start + rows]
        scores = units.take(chosen).scores(enrolled)
        if len(first) < scores.shape[1]:
            scores = np.maximum.reduceat(scores, first, axis=1)
        known = max(0, min(len(chosen), len(genuine) - start))
        mate = scores[np.arange(known), column[start : start + known]]
        mates.append(mate)
        ranks.append(1 + (scores[:known] > mate[:, None]).sum(axis=1))
        ties.append((scores[:known] == mate[:, None]).sum(axis=1) > 1)
        best.append(scores[known:].max(axis=1))
    highest = -np.sort(-np.concatenate(best))
    return GalleryScores(np.concatenate(mates), np.concatenate(ranks), np.concatenate(ties), highest)
