"""Rates: which ones so many pairs can show, Wilson's interval, and curves of rates as short lists of records for plots.

A curve has at most 200 points, spaced evenly on its logarithmic axis, with both ends kept. `lo` and `hi` are a 95 %
interval: Wilson's, which takes pairs as independent, unless `banded` replaces it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

POINTS = 200
Records = list[dict[str, float]]
Band = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(low, high) for each record of a curve."""


_ROUNDING = 1 - 1e-12  # so that .29 of 100 pairs are 29, not 28.999999999999996


def supports_rate(rate: float, negatives: int) -> bool:
    """Whether so many impostor pairs can show a false accept rate: at least one of them is a false accept at it.

    This is the one rule for every TAR at FAR and TPR at FPR. One that the pairs do not support is nowhere shown as a
    number: it would be the rate at no false accept at all, under the name of a rate that was not measured.

    >>> supports_rate(1e-3, 1000), supports_rate(1e-3, 999)
    (True, False)
    """
    return negatives >= pairs_needed(rate)


def pairs_needed(rate: float) -> int:
    """The fewest impostor pairs that support a false accept rate: 1 / rate, rounded up.

    >>> pairs_needed(1e-3), pairs_needed(0.3)
    (1000, 4)
    """
    return math.ceil(_ROUNDING / rate)


def allowed_false_accepts(rate: float, negatives: int) -> int:
    """How many of so many impostor pairs a false accept rate allows to be accepted.

    >>> allowed_false_accepts(0.29, 100)
    29
    """
    return min(math.floor(rate * negatives / _ROUNDING), negatives)


def threshold_below(distances: ArrayLike, rate: float) -> float:
    """The greatest threshold below which at most the share `rate` of impostor pairs lies, by their distances (n,).

    With k = floor(rate n) it is the (k + 1)-th smallest distance, exactly; n must support the rate.

    >>> threshold_below([0.5, 1.0, 1.5, 2.0], 0.25)
    1.0
    """
    ordered = np.sort(np.asarray(distances, dtype=np.float64))
    return float(ordered[min(allowed_false_accepts(rate, len(ordered)), len(ordered) - 1)])


def wilson(share: ArrayLike, count: ArrayLike, z: float = 1.959963984540054) -> Band:
    """Wilson score interval (low, high) of a share measured in `count` independent trials; z = 1.96 is 95 %.

    >>> low, high = wilson(0.9, 100)
    >>> round(float(low), 3), round(float(high), 3)
    (0.826, 0.945)
    """
    p, n = np.asarray(share, dtype=np.float64), np.asarray(count, dtype=np.float64)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def roc_records(fpr: ArrayLike, tpr: ArrayLike, positives: int, points: int = POINTS) -> Records:
    """Records {"fpr", "tpr", "lo", "hi"} of an ascending ROC whose rates are shares of `positives` pairs.

    Of several points at one fpr the highest is kept. The first record may be at fpr 0, which a logarithmic
    axis cannot show: it is the rate at no false positive.
    """
    x, y = np.asarray(fpr, dtype=np.float64), np.asarray(tpr, dtype=np.float64)
    highest = np.append(np.flatnonzero(np.diff(x) > 0), len(x) - 1)
    chosen = highest[_thin(x[highest], points)]
    return _with_wilson("fpr", x[chosen], "tpr", y[chosen], positives)


def cmc_records(ranks: ArrayLike, shares: ArrayLike, pairs: int, points: int = POINTS) -> Records:
    """Records {"rank", "rate", "lo", "hi"} of an ascending CMC (rank 1 is best) over `pairs` searches."""
    x, y = np.asarray(ranks, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    chosen = _thin(x, points)
    records = _with_wilson("rank", x[chosen], "rate", y[chosen], pairs)
    return [{**record, "rank": int(record["rank"])} for record in records]


def histogram_records(scores: ArrayLike, same: ArrayLike, bins: int = 60) -> Records:
    """Records {"low", "high", "same", "different"}: counts of both kinds of pairs in equal bins of the score."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    edges = np.histogram_bin_edges(values, bins)
    yes, no = np.histogram(values[truth], edges)[0], np.histogram(values[~truth], edges)[0]
    columns = zip(edges[:-1].tolist(), edges[1:].tolist(), yes.tolist(), no.tolist(), strict=True)
    return [{"low": low, "high": high, "same": s, "different": d} for low, high, s, d in columns]


def banded(records: Records, rate: str, band: Band) -> Records:
    """The records with `lo` and `hi` of the band, which always holds the `rate` itself."""
    low, high = (edge.tolist() for edge in band)
    return [
        {**record, "lo": min(lo, record[rate]), "hi": max(hi, record[rate])}
        for record, lo, hi in zip(records, low, high, strict=True)
    ]


def _thin(x: NDArray[np.float64], points: int) -> NDArray[np.int64]:
    """Indices of at most `points` values of ascending `x`, even in log x; the ends and the first above 0 stay."""
    if len(x) <= points:
        return np.arange(len(x))
    start = int(np.argmax(x > 0))
    targets = np.geomspace(x[start], x[-1], points - 1)
    inner = np.searchsorted(x, targets * (1 + 1e-12), side="right") - 1
    return np.unique(np.concatenate([[0, start], inner[1:-1], [len(x) - 1]]))


def _with_wilson(x_name: str, x: NDArray[np.float64], y_name: str, y: NDArray[np.float64], count: int) -> Records:
    points = [{x_name: a, y_name: b} for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return banded(points, y_name, wilson(y, count))
