"""Sampling of genuine and impostor pairs from photos of known people, in ten folds with equally many of each.

As in LFW no person is in two folds, so a threshold chosen on nine folds is tested on new people in the tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from facerec.core import FormatError

FOLDS = 10
_MOST_OF_ONE = 50  # photos of one person that pairs are sampled from
_TRIES = 50  # samples for each wanted impostor pair before it is given up that an unused one exists

Named = tuple[str, str, bool]


@dataclass(frozen=True)
class SampledPairs:
    """Pairs fold after fold, each fold's genuine pairs first.

    Attributes:
        pairs: paths of two photos, and whether they show one person.
        apart: whether every person is in one fold only, which is impossible with few people.
    """

    pairs: list[Named]
    apart: bool


@dataclass(frozen=True)
class _Sampler:
    """Photos by identity, the pairs that were taken from them, and the random numbers."""

    photos: Mapping[str, Sequence[str]]
    random: np.random.Generator
    taken: set[frozenset[str]] = field(default_factory=set)


def sample_pairs(photos: Mapping[str, Sequence[str]], most: int, seed: int = 1) -> SampledPairs:
    """Sample at most `most` pairs from `photos` (identity -> paths), each pair of photos once.

    Equal arguments give equal pairs. Raises FormatError where there is not one pair of each kind for every fold.

    >>> photos = {f"p{i}": [f"p{i}/{j}.jpg" for j in range(3)] for i in range(20)}
    >>> sampled = sample_pairs(photos, most=40)
    >>> len(sampled.pairs), sampled.apart
    (40, True)
    """
    random = np.random.default_rng(seed)
    photos = {name: _some(sorted(paths), random) for name, paths in sorted(photos.items())}
    several = sorted(name for name, paths in photos.items() if len(paths) > 1)
    apart = len(several) >= 2 * FOLDS
    order = [several[place] for place in random.permutation(len(several))]
    groups = [order[fold::FOLDS] for fold in range(FOLDS)] if apart else [order] * FOLDS
    sampler = _Sampler(photos, random)
    possible = sum(math.comb(len(photos[name]), 2) for name in several)
    wanted = max(1, min(most // 2, possible) // FOLDS)
    genuine = [_sample_genuine(sampler, group, wanted) for group in groups]
    size = min(map(len, genuine))
    impostors = [_sample_impostors(sampler, group, size) for group in groups]
    size = min(map(len, impostors))
    if not size:
        raise FormatError(
            f"{len(several)} people with two or more photos are too few for {FOLDS} folds of pairs; add people or photos."
        )
    return SampledPairs(
        [pair for fold in zip(genuine, impostors, strict=True) for kind in fold for pair in kind[:size]], apart
    )


def _some(paths: Sequence[str], random: np.random.Generator) -> Sequence[str]:
    """`paths`, or a random part of them where there are too many."""
    if len(paths) <= _MOST_OF_ONE:
        return paths
    return [paths[place] for place in sorted(random.choice(len(paths), _MOST_OF_ONE, replace=False))]


def _sample_genuine(sampler: _Sampler, people: Sequence[str], count: int) -> list[Named]:
    """At most `count` genuine pairs, spread over the `people` as evenly as their photos allow."""
    choices = []
    for name in people:
        free = [pair for pair in combinations(sampler.photos[name], 2) if frozenset(pair) not in sampler.taken]
        order = sampler.random.permutation(len(free))
        choices += [(turn, *free[place]) for turn, place in enumerate(order)]
    chosen = sorted(choices, key=lambda choice: choice[0])[:count]
    sampler.taken.update(frozenset(pair) for _, *pair in chosen)
    return [(first, second, True) for _, first, second in chosen]


def _sample_impostors(sampler: _Sampler, people: Sequence[str], count: int) -> list[Named]:
    """At most `count` impostor pairs among the `people`."""
    found: list[Named] = []
    for _ in range(_TRIES * count if len(people) > 1 else 0):
        names = sampler.random.choice(len(people), 2, replace=False)
        first, second = (str(sampler.random.choice(sampler.photos[people[name]])) for name in names)
        if frozenset((first, second)) not in sampler.taken:
            sampler.taken.add(frozenset((first, second)))
            found.append((first, second, False))
        if len(found) == count:
            break
    return found
