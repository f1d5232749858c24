"""Confidence intervals by bootstrap over identities.

Pairs of one person are not independent: a person who is hard to recognise spoils all pairs he is in. So
people are drawn with replacement, and every pair counts as often as the people in it were drawn (the
vertex bootstrap). Source: Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems - the
subsets bootstrap", CVIU 2004; Snijders and Borgatti, "Non-parametric standard errors and tests for
network statistics", Connections 1999, for pairs of two people.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95


def identity_weights(identities: int, trials: int, seed: int) -> Floats:
    """(trials, identities) how often each identity is drawn when as many are drawn as there are.

    A row sums to `identities`. The same seed gives the same draws on every machine.
    """
    shares = np.full(identities, 1 / identities)
    return np.random.default_rng(seed).multinomial(identities, shares, size=trials).astype(np.float64)


def pair_weights(weights: ArrayLike, first: ArrayLike, second: ArrayLike) -> Floats:
    """(trials, n) weight of each of n pairs whose photos show the identities `first` and `second`.

    A pair of two people counts w_a w_b times, a pair of photos of one person w_a times.

    Args:
        weights: (trials, identities) of `identity_weights`.
        first, second: (n,) columns of `weights`.
    """
    w, a, b = np.asarray(weights, dtype=np.float64), np.asarray(first), np.asarray(second)
    return w[:, a] * np.where(a == b, 1.0, w[:, b])


def shares(weights: ArrayLike, hits: ArrayLike, totals: ArrayLike) -> Floats:
    """(trials, ...) weighted share of hits in each trial; NaN where a trial drew nothing that counts.

    Args:
        weights: (trials, groups) weight of each group, an identity or a pair.
        hits: (groups, ...) hits among the group's cases, for one or many curves' points at once.
        totals: (groups,) or (groups, ...) cases of the group.
    """
    w = np.asarray(weights, dtype=np.float64)
    found, cases = (np.asarray(each, dtype=np.float64) for each in (hits, totals))
    below = w @ cases
    below = below.reshape(below.shape + (1,) * (found.ndim - cases.ndim))
    above = w @ found
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def interval(values: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """(low, high) percentiles over the trials, axis 0, of a statistic; trials of NaN do not count."""
    trials = np.asarray(values, dtype=np.float64)
    if trials.size == 0:  # a statistic of no points, such as rates that no data supports
        return np.empty(trials.shape[1:]), np.empty(trials.shape[1:])
    tail = (1 - level) / 2 * 100
    low, high = np.nanpercentile(trials, [tail, 100 - tail], axis=0)
    return low, high
