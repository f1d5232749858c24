"""The bootstrap over identities, from which every confidence interval and every comparison of runs is made.

Pairs of one person are not independent: a person who is hard to recognise spoils every pair that shows him. So people
are drawn with replacement, and each pair counts as often as its people were drawn (the vertex bootstrap). Sources:
Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems - the subsets bootstrap", CVIU 2004; Snijders
and Borgatti, "Non-parametric standard errors and tests for network statistics", Connections 1999, for pairs of two
people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Metrics = Callable[[Floats], Floats]
"""(trials, n) weights of n pairs -> (trials, metrics); NaN in a trial that drew nothing to measure."""

LEVEL = 0.95
_CHUNK = 50  # trials at once: a few megabytes for 6,000 pairs
_WEIGHTS = 20_000_000  # weights of pairs in memory at once, where there are so many pairs
_SURPLUS = 2.0  # how many times too often the noise of a pair of two people is in the trials


def identity_weights(identities: int, trials: int, seed: int) -> Floats:
    """Draw as many identities as there are, with replacement, in each trial.

    Returns:
        (trials, identities) how often each was drawn. The same seed gives the same draws on every machine.

    >>> identity_weights(4, trials=2, seed=0).sum(axis=1).tolist()
    [4.0, 4.0]
    """
    shares = np.full(identities, 1 / identities)
    return np.random.default_rng(seed).multinomial(identities, shares, size=trials).astype(np.float64)


def draw_identities(identities: int, trials: int, seed: int, at_once: int) -> Iterator[Floats]:
    """The rows of `identity_weights`, so many `at_once`."""
    shares, random = np.full(identities, 1 / identities), np.random.default_rng(seed)
    for start in range(0, trials, at_once):
        yield random.multinomial(identities, shares, size=min(at_once, trials - start)).astype(np.float64)


def pair_weights(weights: ArrayLike, first: ArrayLike, second: ArrayLike) -> Floats:
    """(trials, n) weight of each of n pairs whose photos show the identities `first` and `second`.

    A pair of two people counts w_a w_b times, a pair of photos of one person w_a times.

    Args:
        weights: (trials, identities) of `identity_weights`.
        first, second: (n,) columns of `weights`.

    >>> pair_weights([[2.0, 3.0]], [0, 0], [0, 1]).tolist()
    [[2.0, 6.0]]
    """
    w, a, b = np.asarray(weights, dtype=np.float64), np.asarray(first), np.asarray(second)
    return w[:, a] * np.where(a == b, 1.0, w[:, b])


def pair_trials(metrics: Metrics, first: ArrayLike, second: ArrayLike, trials: int, seed: int) -> Floats:
    """(trials, metrics) of n pairs when people are drawn; `first` and `second` number the identities of each pair."""
    a, b = np.asarray(first), np.asarray(second)
    people = draw_identities(int(max(a.max(), b.max())) + 1, trials, seed, _at_once(len(a)))
    return np.concatenate([metrics(pair_weights(drawn, a, b)) for drawn in people])


def pair_changes(metrics: Metrics, first: ArrayLike, second: ArrayLike, trials: int, seed: int) -> Floats:
    """(trials, metrics) how far the metrics move from those of all pairs when people are drawn, for p-values.

    The weight w_a w_b of a pair of two people is right for the influence of each person on all of his pairs, but it
    contains the noise of the single pair three times instead of once. Where few pairs share people, as in LFW, trials
    would spread 1.4 times too widely for accuracy, and up to 1.7 times for metrics of impostor pairs alone: equally good
    runs would be told apart in 2 % of cases or fewer where it should be 5 %, and real differences would be missed. So
    that noise is measured by drawing the pairs of two people independently, and its surplus is taken off the variance
    of the trials, which are scaled to match. The variance never falls below that of drawing all pairs independently.
    Sources: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007 (why three times); Aronow, Samii and
    Assenova, "Cluster-robust variance estimation for dyadic data", Political Analysis 2015 (the variance to aim for).
    Arguments as in `pair_trials`.
    """
    a, b = np.asarray(first), np.asarray(second)
    plain = metrics(np.ones((1, len(a))))
    moves = pair_trials(metrics, a, b, trials, seed) - plain
    if np.array_equal(a, b):
        return moves
    alone, mixed = (_independent(metrics, pairs, trials, seed) for pairs in (np.ones(len(a), bool), a != b))
    spread, least, noise = (np.nanvar(each, axis=0) for each in (moves, alone, mixed))
    true = np.minimum(np.maximum(spread - _SURPLUS * noise, least), spread)
    narrowed: Floats = moves * np.sqrt(np.divide(true, spread, out=np.ones_like(spread), where=spread > 0))
    return narrowed


def _independent(metrics: Metrics, some: NDArray[np.bool_], trials: int, seed: int) -> Floats:
    """As `pair_trials` when `some` pairs are drawn independently and the others always count once."""

    def weigh(drawn: Floats) -> Floats:
        weights = np.ones((len(drawn), len(some)))
        weights[:, some] = drawn
        return weights

    pairs = draw_identities(int(some.sum()), trials, seed, _at_once(len(some)))
    return np.concatenate([metrics(weigh(drawn)) for drawn in pairs])


def _at_once(pairs: int) -> int:
    """Trials whose weights are in memory at once."""
    return max(1, min(_CHUNK, _WEIGHTS // max(1, pairs)))


def weighted_shares(weights: ArrayLike, hits: ArrayLike, totals: ArrayLike) -> Floats:
    """(trials, ...) weighted share of hits in each trial; NaN where a trial drew nothing that counts.

    Args:
        weights: (trials, groups) weight of each group, an identity or a pair.
        hits: (groups, ...) hits among the cases of a group, for one or many points of a curve at once.
        totals: (groups,) or (groups, ...) cases of the group.
    """
    w = np.asarray(weights, dtype=np.float64)
    found, cases = (np.asarray(each, dtype=np.float64) for each in (hits, totals))
    below = w @ cases
    below = below.reshape(below.shape + (1,) * (found.ndim - cases.ndim))
    above = w @ found
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def percentile_interval(values: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """(low, high) percentiles over the trials, axis 0, of a statistic; trials of NaN do not count."""
    trials = np.asarray(values, dtype=np.float64)
    if trials.size == 0:  # a statistic of no points, such as rates that no data supports
        return np.empty(trials.shape[1:]), np.empty(trials.shape[1:])
    tail = (1 - level) / 2 * 100
    low, high = np.nanpercentile(trials, [tail, 100 - tail], axis=0)
    return low, high
