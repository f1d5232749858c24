"""From numbers to decisions: a threshold for a false accept rate, the rate of a search, people in order.

Distances are squared, |a - b|^2 = 2 - 2 cos of embeddings scaled to length 1, in [0, 4]; two photos are taken for
one person when their distance is strictly below the threshold, as everywhere in `facerec.evaluation.verification`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facerec.core import ParamsError
from facerec.evaluation.curves import rate_name, wilson
from facerec.evaluation.verification.distances import Floats

_ROUNDING = 1 + 1e-12
"""So that .29 of 100 pairs are 29, not 28.999999999999996."""


class UnsupportedRateError(ParamsError):
    """There are too few different-person pairs to tell a false accept rate as low as the one asked for."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what is known of its false accept rate.

    Attributes:
        threshold: the greatest at which at most the share `far` of the different-person pairs is accepted.
        far: the false accept rate asked for.
        accepted: different-person pairs whose distance is below the threshold.
        pairs: all different-person pairs.
        low, high: 95 % interval of the false accept rate that the threshold has on further pairs of that kind.
    """

    threshold: float
    far: float
    accepted: int
    pairs: int
    low: float
    high: float


def at_far(distances: ArrayLike, far: float) -> OperatingPoint:
    """The operating point for the rate `far` by the distances (n,) of different-person pairs.

    With k = floor(far n) the threshold is the (k + 1)-th smallest distance, exactly. The interval is Wilson's, which
    takes pairs as independent. Raises ParamsError unless 0 < far < 1, UnsupportedRateError where n < 1 / far.
    """
    ordered = np.sort(np.asarray(distances, np.float64))
    count = len(ordered)
    if not 0 < far < 1:
        raise ParamsError(f"A false accept rate lies between 0 and 1, such as 1e-2, not {far:g}.")
    if far * count * _ROUNDING < 1:
        raise UnsupportedRateError(
            f"a false accept rate of {rate_name(float(f'{far:.3g}'))} needs {math.ceil(1 / far / _ROUNDING):,} different-person "
            f"pairs, and there are {count:,}{_lowest(count)}"
        )
    position = min(math.floor(far * count * _ROUNDING), count - 1)
    threshold = float(ordered[position])
    # Where distances tie, fewer than `position`.
    accepted = int(np.searchsorted(ordered, threshold, side="left"))
    low, high = wilson(accepted / count, count)
    return OperatingPoint(threshold, far, accepted, count, float(low), float(high))


def _lowest(count: int) -> str:
    return f"; the lowest rate they can tell is {rate_name(lowest_rate(count))}" if count > 1 else ""


def lowest_rate(count: int) -> float:
    """The lowest false accept rate that `count` different-person pairs can tell, 1 / count, to two digits upwards."""
    return upwards(1 / count)


def upwards(rate: float) -> float:
    """The rate to two significant digits, never less."""
    exponent = math.floor(math.log10(rate)) - 1
    return float(f"{math.ceil(rate / 10.0**exponent / _ROUNDING)}e{exponent}")


def search_rate(far: float, comparisons: int) -> float:
    """Chance that a stranger is taken for anybody in a search of so many comparisons: 1 - (1 - far)^n.

    The false positive identification rate (FPIR, ISO/IEC 19795-1) of independent comparisons; where they are not,
    such as those with several photos of one person, it is lower.
    """
    return -math.expm1(comparisons * math.log1p(-far))


def comparison_rate(fpir: float, comparisons: int) -> float:
    """The false accept rate of one comparison that gives a search of so many the rate `fpir`; undoes `search_rate`."""
    if not 0 < fpir < 1:
        raise ParamsError(
            f"A false positive identification rate lies between 0 and 1, such as 1e-1, not {fpir:g}."
        )
    return -math.expm1(math.log1p(-fpir) / max(comparisons, 1))


def similarities(probes: ArrayLike, gallery: ArrayLike) -> Floats:
    """Cosines (n, m) of embeddings (n, d) and (m, d), in float64 and [-1, 1]; lengths do not matter."""
    first, second = (_unit(rows) for rows in (probes, gallery))
    return np.asarray(np.clip(first @ second.T, -1, 1), np.float64)


def _unit(rows: ArrayLike) -> Floats:
    wide = np.atleast_2d(np.asarray(rows, np.float64))
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), np.float64)


def squared_distance(similarity: float) -> float:
    """|a - b|^2 of two embeddings of length 1 by their cosine."""
    return 2 - 2 * similarity


def ranked(similarity: ArrayLike, names: Sequence[str], every_photo: bool = False) -> list[int]:
    """Rows of a gallery by descending similarity (m,), ties in gallery order.

    Of each person, `names` (m,), only the best row counts, unless `every_photo` is asked for.
    """
    order: list[int] = np.argsort(-np.asarray(similarity, np.float64), kind="stable").tolist()
    if every_photo:
        return order
    best: dict[str, int] = {}
    for row in order:
        best.setdefault(names[row], row)
    return list(best.values())
