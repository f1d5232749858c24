"""Verification pairs drawn from photos of known people, in ten folds, half of each showing one person.

As in LFW the people of a fold are in no other, so that thresholds chosen on nine folds meet strangers in the tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from facerec.core import FormatError

FOLDS = 10
_MOST_OF_ONE = 50  # photos of one person
_TRIES = 50  # draws of a different pair before one that was not drawn yet is held to be none

Named = tuple[str, str, bool]


@dataclass(frozen=True)
class SampledPairs:
    """Pairs fold after fold, each fold's same pairs first."""

    pairs: list[Named]
    """Paths of two photos, and whether they show one person."""
    apart: bool
    """Whether every person is in one fold only; with few people they cannot be."""


def sample_pairs(photos: Mapping[str, Sequence[str]], most: int, seed: int = 1) -> SampledPairs:
    """At most `most` pairs among `photos` (identity -> paths), no two of one person twice.

    Equal arguments give equal pairs. Raises FormatError where not even one pair of each kind a fold can be drawn.
    """
    random = np.random.default_rng(seed)
    photos = {name: _some(sorted(paths), random) for name, paths in sorted(photos.items())}
    several = sorted(name for name, paths in photos.items() if len(paths) > 1)
    apart = len(several) >= 2 * FOLDS
    order = [several[place] for place in random.permutation(len(several))]
    groups = [order[fold::FOLDS] for fold in range(FOLDS)] if apart else [order] * FOLDS
    taken: set[frozenset[str]] = set()
    possible = sum(math.comb(len(photos[name]), 2) for name in several)
    wanted = max(1, min(most // 2, possible) // FOLDS)
    same = [_same(photos, group, taken, wanted, random) for group in groups]
    size = min(map(len, same))
    other = [_different(photos, group, taken, size, random) for group in groups]
    size = min(map(len, other))
    if not size:
        raise FormatError(
            f"{len(several)} people with two or more photos are too few for {FOLDS} folds of pairs; add people or photos."
        )
    return SampledPairs(
        [pair for fold in zip(same, other, strict=True) for kind in fold for pair in kind[:size]], apart
    )


def _some(paths: Sequence[str], random: np.random.Generator) -> Sequence[str]:
    """`paths`, or as many of them as one person's pairs are drawn from."""
    if len(paths) <= _MOST_OF_ONE:
        return paths
    return [paths[place] for place in sorted(random.choice(len(paths), _MOST_OF_ONE, replace=False))]


def _same(
    photos: Mapping[str, Sequence[str]],
    people: Sequence[str],
    taken: set[frozenset[str]],
    count: int,
    random: np.random.Generator,
) -> list[Named]:
    """At most `count` pairs of one person, as even over the `people` as they allow."""
    choices = []
    for name in people:
        free = [pair for pair in combinations(photos[name], 2) if frozenset(pair) not in taken]
        choices += [(turn, *free[place]) for turn, place in enumerate(random.permutation(len(free)))]
    found = [
        (first, second, True) for _, first, second in sorted(choices, key=lambda choice: choice[0])[:count]
    ]
    taken.update(frozenset(pair[:2]) for pair in found)
    return found


def _different(
    photos: Mapping[str, Sequence[str]],
    people: Sequence[str],
    taken: set[frozenset[str]],
    count: int,
    random: np.random.Generator,
) -> list[Named]:
    """At most `count` pairs of two of the `people`."""
    found: list[Named] = []
    for _ in range(_TRIES * count if len(people) > 1 else 0):
        names = random.choice(len(people), 2, replace=False)
        first, second = (str(random.choice(photos[people[name]])) for name in names)
        if frozenset((first, second)) not in taken:
            taken.add(frozenset((first, second)))
            found.append((first, second, False))
        if len(found) == count:
            break
    return found
