"""Templates out of the features of single faces: media pooling, then template pooling, then length 1.

All frames of one video are one medium, and a photo is a medium of its own. The faces of a medium are averaged, the media
of a template are added, and the sum is scaled to length 1. So a video of 300 frames counts as much as a photo. The rules
are those of InsightFace's evaluation of IJB-B and IJB-C (recognition/_evaluation_/ijb), which goes back to Cao et al.,
"VGGFace2", FG 2018; everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

MISSING = -1.0
"""Score of a pair with a template that has no face: the lowest cosine there is, so an error where it is genuine."""

_FACES = 4096  # gathered at once as float64; 17 MB at 512 numbers a face
_PAIRS = 2048  # multiplied at once where pairs are few
_CELLS = 1 << 21  # scores of a block of all with all where they are many: 17 MB
_NUMBERS = 1 << 18  # of templates looked up at once
_DENSE = 64  # so many scores of all with all are as quick as one pair alone


@dataclass(frozen=True)
class Templates:
    """t templates.

    Attributes:
        ids: (t,) their numbers, ascending.
        matrix: (t, d) float64 rows of length 1; NaN for a template without a face.
        media: how many media they are made of.
    """

    ids: Ints
    matrix: Doubles
    media: int

    def rows(self, wanted: ArrayLike) -> NDArray[np.int32]:
        """(n,) rows of the templates with the `wanted` numbers; FormatError for one that is not there."""
        numbers = np.asarray(wanted)
        places = place_numbers(self.ids, numbers)
        lacking = np.flatnonzero(places < 0)
        if len(lacking):
            raise FormatError(
                f"template {numbers[lacking[0]]} is not in the list of templates and media, which has {len(self.ids):,} "
                "templates; use the lists of one data set."
            )
        return places


def place_numbers(ascending: NDArray[np.integer], numbers: NDArray[np.integer]) -> NDArray[np.int32]:
    """(n,) place of each number among the `ascending` ones, -1 where it is not there; 4 bytes a number."""
    places = np.empty(len(numbers), dtype=np.int32)
    for start in range(0, len(numbers), _NUMBERS):
        some = numbers[start : start + _NUMBERS]
        found = np.minimum(np.searchsorted(ascending, some), len(ascending) - 1)
        places[start : start + _NUMBERS] = np.where(ascending[found] == some, found, -1)
    return places


def pool_templates(
    features: NDArray[np.floating],
    template: ArrayLike,
    medium: ArrayLike,
    weights: ArrayLike | None = None,
    rows: ArrayLike | None = None,
) -> Templates:
    """Make templates of n faces.

    Args:
        features: (n, d) float, an array or a memory map. A row of NaN or zeros is a face that is missing and left out.
        template, medium: (n,) whole numbers. A face that belongs to two templates has two rows. Media are told apart
            within a template only.
        weights: (n,) that the features are multiplied by first, see `face_weights`. The mean over a medium divides by
            its faces, not by their weights.
        rows: (n,) row of the features that each face has, -1 for a face that is missing; face i has row i by default.

    Raises:
        FormatError: when shapes do not fit, or a feature or weight is infinite.

    >>> found = pool_templates(np.eye(3), [7, 7, 7], [1, 1, 2])  # two frames of a video, and a photo
    >>> found.ids.tolist(), found.matrix.round(2).tolist()
    ([7], [[0.41, 0.41, 0.82]])
    """
    groups, media = np.asarray(template), np.asarray(medium)
    places = np.arange(len(features)) if rows is None else np.asarray(rows)
    factors = np.ones(len(places)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(features, places, groups, media, factors)
    order = np.lexsort((media, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))
    ids = groups[order][starts].astype(np.int64)
    matrix, total = np.empty((len(ids), features.shape[1])), 0
    for first, last in _blocks(np.append(starts, len(order))):
        chosen = order[starts[first] : starts[last] if last < len(starts) else None]
        sums, counted = _sum_media(_gather(features, places[chosen]), factors[chosen], groups[chosen], media[chosen])
        total += counted
        matrix[first:last] = _unit(sums)
    return Templates(ids, matrix, total)


def face_weights(features: NDArray[np.floating], scores: ArrayLike | None, unit: bool) -> Doubles:
    """(n,) factors for `pool_templates`.

    Args:
        features: (n, d) of the faces.
        scores: (n,) detector's scores that faces are weighted by; None for none (InsightFace's D1 and D0).
        unit: whether the faces are scaled to length 1 first (N0), so that the length of a feature, which is lower for
            poor photos, does not weigh it; InsightFace keeps the length (N1).
    """
    factors = np.ones(len(features)) if scores is None else np.asarray(scores, dtype=np.float64)
    if not unit:
        return factors
    lengths = np.concatenate(
        [
            np.linalg.norm(np.asarray(features[start : start + _FACES], np.float64), axis=1)
            for start in range(0, len(features), _FACES)
        ]
    )
    return np.asarray(np.divide(factors, lengths, out=np.zeros(len(features)), where=lengths > 0))


def score_pairs(matrix: Doubles, first: NDArray[np.integer], second: NDArray[np.integer]) -> Doubles:
    """(n,) cosines of the rows `first` and `second` of unit rows; MISSING where one is NaN.

    Where the list has a good part of all pairs of its templates, as IJB-C's has, the scores of all with all are computed
    block by block and the listed ones taken. Memory beside the result is a copy of the second templates, a sorted order of
    the pairs and a block.
    """
    left, right = (_present(each, len(matrix)) for each in (first, second))
    dense = len(left) * len(right) <= _DENSE * len(first)
    scores = _score_blocks(matrix, first, second, left, right) if dense else _score_rows(matrix, first, second)
    scores[np.isnan(scores)] = MISSING
    return scores


def _score_rows(matrix: Doubles, first: NDArray[np.integer], second: NDArray[np.integer]) -> Doubles:
    scores = np.empty(len(first))
    for start in range(0, len(first), _PAIRS):
        here = slice(start, start + _PAIRS)
        np.einsum("ij,ij->i", matrix[first[here]], matrix[second[here]], out=scores[here])
    return scores


def _score_blocks(
    matrix: Doubles, first: NDArray[np.integer], second: NDArray[np.integer], left: Ints, right: Ints
) -> Doubles:
    """Scores of pairs of the templates `left` and `right`, ascending, taken from products of blocks of them."""
    scores, order = np.empty(len(first)), np.argsort(first, kind="stable")
    row, column = np.empty((2, len(matrix)), dtype=np.int64)
    row[left], column[right] = np.arange(len(left)), np.arange(len(right))
    others, size = matrix[right].T, max(1, _CELLS // len(right))
    bounds = np.searchsorted(first, left[::size], sorter=order)
    for start, end, block in zip(bounds, [*bounds[1:], len(order)], range(0, len(left), size), strict=True):
        here = order[start:end]
        products = matrix[left[block : block + size]] @ others
        scores[here] = products[row[first[here]] - block, column[second[here]]]
    return scores


def _present(rows: NDArray[np.integer], count: int) -> Ints:
    """Which of the numbers below `count` occur, ascending."""
    found = np.zeros(count, dtype=bool)
    found[rows] = True
    return np.flatnonzero(found)


def _check(features: NDArray[np.floating], rows: Ints, template: Ints, medium: Ints, weights: Doubles) -> None:
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        raise FormatError(f"features must be a float matrix with a row a face, not {features.dtype} {features.shape}.")
    if not rows.shape == template.shape == medium.shape == weights.shape:
        counts = f"{template.size:,} templates, {medium.size:,} media and {weights.size:,} weights"
        raise FormatError(f"{len(rows):,} rows of features do not fit a list of {counts}, a line a face.")
    if not np.isfinite(weights).all():
        raise FormatError(f"the weight of face {np.flatnonzero(~np.isfinite(weights))[0] + 1} is no finite number.")


def _blocks(bounds: Ints) -> Iterator[tuple[int, int]]:
    """(first, last) templates of blocks that have about _FACES faces, at least one template."""
    first, count = 0, len(bounds) - 1
    while first < count:
        last = max(int(np.searchsorted(bounds, bounds[first] + _FACES, side="right")) - 1, first + 1)
        yield first, last
        first = last


def _gather(features: NDArray[np.floating], places: Ints) -> Doubles:
    """The rows of some faces; NaN for those that are missing."""
    rows = np.asarray(features[places], dtype=np.float64)
    if np.isinf(rows).any():
        bad = int(np.flatnonzero(np.isinf(rows).any(axis=1))[0])
        raise FormatError(f"row {places[bad]} of the features, counted from 0, holds an infinite value.")
    rows[(places < 0) | ~rows.any(axis=1)] = np.nan
    return rows


def _sum_media(rows: Doubles, factors: Doubles, template: Ints, medium: Ints) -> tuple[Doubles, int]:
    """(templates, d) sums over media of the means of their faces, which are in order, and how many media there are."""
    missing = np.isnan(rows).any(axis=1)
    rows[missing] = 0
    rows *= factors[:, None]
    new_template = np.diff(template, prepend=template[0] - 1) != 0
    starts = np.flatnonzero(new_template | (np.diff(medium, prepend=medium[0] - 1) != 0))
    faces = np.add.reduceat((~missing).astype(np.int64), starts)
    means = np.add.reduceat(rows, starts, axis=0) / np.maximum(faces, 1)[:, None]
    return np.add.reduceat(means, np.flatnonzero(new_template[starts]), axis=0), int((faces > 0).sum())


def _unit(rows: Doubles) -> Doubles:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.full_like(rows, np.nan), where=norms > 0))
