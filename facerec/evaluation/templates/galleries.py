"""Search of galleries, 1:N: rank-k, and the true positive identification rate at a false positive identification rate.

IJB-B and IJB-C have two galleries of different people. Every probe searches both, so it has a mate in one and none in the
other. Two ways of counting are in use, and they give different numbers:

    separate   Each gallery is a test of its own: rank-k over the probes with a mate in it, TPIR as the share of them whose
               mate scores above a threshold, FPIR as the share of the others whose best score does. The figure is the mean
               over the galleries. (Maze et al., "IARPA Janus Benchmark - C", ICB 2018; ranks do not limit TPIR there.)
    merged     InsightFace's ijb_1n.py: both galleries together, so that every probe has a mate. The threshold for a rate
               is the ceil(rate * probes)-th highest of all scores of probes with templates of others.

TinyFace (Cheng et al., "Low-resolution face recognition", ACCV 2018) is a search too: its gallery holds several photos a
person, of which the best counts, and 153,428 distractors.

Scores are computed for some probes at a time against the whole gallery, so memory beside the features is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError
from facerec.evaluation.templates.rates import SortedScores

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CELLS = 1 << 22  # scores at once: 34 MB as float64


@dataclass(frozen=True)
class GallerySearch:
    """Outcomes of p searches.

    Attributes:
        mated: (p,) whether the gallery holds the probe's person.
        mate: (p,) the best score with that person; minus infinity where there is none, or no face.
        rank: (p,) 1 and how many entries of other people score above the mate. A mate without a face is last.
        stranger: (p,) the best score with another person.
        highest: the highest scores of all probes with other people, descending, as many as were asked for.
    """

    mated: Bools
    mate: Floats
    rank: Ints
    stranger: Floats
    highest: Floats

    @property
    def separation(self) -> SortedScores:
        """Scores of the mates of mated probes, and the best scores of the others: TPIR and FPIR are their rates."""
        return SortedScores(np.sort(self.mate[self.mated]), np.sort(self.stranger[~self.mated]))


@dataclass(frozen=True)
class SearchRates:
    """Rates of the searches of one gallery, or their means over several.

    Attributes:
        ranks: share of the mated probes whose mate is among the best k, by k.
        tpir: by false positive identification rate; None where the probes without mates are too few for it.
    """

    ranks: dict[int, float]
    tpir: dict[float, float | None]


def search_gallery(
    probes: Floats, people: ArrayLike, gallery: Floats, gallery_people: ArrayLike, highest: int = 0
) -> GallerySearch:
    """Search a gallery for each probe; a tie is won by the mate.

    Args:
        probes, gallery: (p, d) and (g, d) unit rows; a row of NaN has no face.
        people, gallery_people: (p,) and (g,) numbers of people.
        highest: how many of the highest scores with other people are kept.

    Raises:
        FormatError: when the gallery holds nobody, or features of another length.
    """
    wanted, enrolled = np.asarray(people), np.asarray(gallery_people)
    if not len(gallery) or gallery.shape[1:] != probes.shape[1:]:
        raise FormatError(f"a gallery {gallery.shape} cannot be searched for probes {probes.shape}.")
    size = max(1, _CELLS // len(gallery))
    blocks, top = [], np.empty(0, gallery.dtype)
    for start in range(0, len(probes), size):
        scores = probes[start : start + size] @ gallery.T
        scores[np.isnan(scores)] = -np.inf
        own = wanted[start : start + size, None] == enrolled
        mate = np.max(scores, axis=1, where=own, initial=-np.inf)
        scores[own] = -np.inf
        rank = 1 + np.count_nonzero(scores > mate[:, None], axis=1)
        rank[mate == -np.inf] = len(gallery) + 1
        blocks.append((own.any(axis=1), mate, rank, scores.max(axis=1)))
        top = _greatest(
            np.append(top, scores[scores > top.min(initial=np.inf)] if len(top) == highest else scores), highest
        )
    mated, mates, ranks, strangers = (np.concatenate(each) for each in zip(*blocks, strict=True))
    return GallerySearch(mated, mates, ranks, strangers, np.sort(top)[::-1])


def rates_of_search(found: GallerySearch, ranks: Sequence[int], fpirs: Sequence[float]) -> SearchRates:
    """Rates of one gallery, counted `separate`; FormatError where it holds no probe's person."""
    if not found.mated.any():
        raise FormatError("none of the probes shows a person of the gallery.")
    pairs = found.separation
    tpir = {rate: pairs.at_or_below(rate).tar if pairs.supports(rate) else None for rate in fpirs}
    own = found.rank[found.mated]
    return SearchRates({k: float(np.mean(own <= k)) for k in ranks}, tpir)


def rates_of_merged(found: GallerySearch, ranks: Sequence[int], fpirs: Sequence[float]) -> SearchRates:
    """Rates counted `merged`: of probes that all have a mate, with `most_needed` highest scores kept."""
    tpir: dict[float, float | None] = {}
    for rate in fpirs:
        threshold = found.highest[math.ceil(len(found.mate) * rate) - 1]
        tpir[rate] = float(np.mean(found.mate > threshold))
    return SearchRates({k: float(np.mean(found.rank <= k)) for k in ranks}, tpir)


def most_needed(probes: int, fpirs: Sequence[float]) -> int:
    """How many of the highest scores `rates_of_merged` needs."""
    return max(math.ceil(probes * rate) for rate in fpirs)


def mean_rates(several: Sequence[SearchRates]) -> SearchRates:
    """Means over galleries; None where one is."""
    return SearchRates(
        {k: float(np.mean([each.ranks[k] for each in several])) for k in several[0].ranks},
        {rate: _mean([each.tpir[rate] for each in several]) for rate in several[0].tpir},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _greatest(values: Floats, count: int) -> Floats:
    """The `count` greatest values, in no order."""
    return values if len(values) <= count else np.partition(values, len(values) - count)[len(values) - count :]
