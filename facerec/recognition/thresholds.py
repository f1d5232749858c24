"""Decision thresholds: from a benchmark's scores and a false accept rate to "same person or not".

`dvc repro` writes the scores to data/scores/<benchmark>, with the model, photos and protocol they belong to. Distances
are squared, |a - b|^2 = 2 - 2 cos of embeddings of length 1, in [0, 4]. Two photos count as one person when their
distance is strictly below the threshold, as everywhere in `facerec.evaluation.verification`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ParamsError, rate_name
from facerec.evaluation.curves import pairs_needed, supports_rate, threshold_below, wilson
from facerec.store import embeddings

Floats = NDArray[np.float64]

FOLDER = Path("data/scores")
"""Where the default experiment writes the scores of its benchmarks."""

_SQUARED: dict[str, Callable[[Floats], Floats]] = {
    "insightface": lambda distances: distances,
    "youden": lambda negated_cosines: 2 + 2 * negated_cosines,
}
"""Protocol -> how its stored distances become squared distances."""
_NO_FACE = 4.0  # the greatest squared distance, which verification gives to pairs that lack a face
_ROUNDING = 1 + 1e-12  # so that .29 of 100 pairs are 29, not 28.999999999999996


class UnsupportedRateError(ParamsError):
    """There are too few impostor pairs to measure a false accept rate as low as the one asked for."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and its false accept rate.

    Attributes:
        threshold: the greatest squared distance at which at most the share `far` of the impostor pairs is accepted.
        far: the false accept rate asked for.
        accepted: impostor pairs whose distance is below the threshold.
        pairs: all impostor pairs.
        low, high: 95 % interval of the false accept rate on further pairs of that kind.
    """

    threshold: float
    far: float
    accepted: int
    pairs: int
    low: float
    high: float


@dataclass(frozen=True)
class Measurement:
    """The pairs of a benchmark in which both photos have a face, measured with a known model.

    Attributes:
        benchmark: its name.
        rendered: whether its photos are rendered and show no real people.
        distances: (n,) squared.
        same: (n,) whether a pair is genuine.
    """

    benchmark: str
    rendered: bool
    distances: Floats = field(repr=False)
    same: NDArray[np.bool_] = field(repr=False)

    @property
    def different(self) -> int:
        """Number of impostor pairs."""
        return int((~self.same).sum())

    def at(self, far: float) -> Threshold:
        """The threshold at the false accept rate `far`.

        Raises ParamsError for an impossible rate, UnsupportedRateError where the pairs are too few for it.
        """
        try:
            point = threshold_at_far(self.distances[~self.same], far)
        except UnsupportedRateError as error:
            raise UnsupportedRateError(f"{self.benchmark} is too small: {error}.") from error
        return Threshold(self, point)


@dataclass(frozen=True)
class Threshold:
    """The distance below which two photos count as one person, and the measurement it comes from."""

    measured: Measurement
    point: OperatingPoint

    @property
    def distance(self) -> float:
        """The threshold as squared distance."""
        return self.point.threshold

    @property
    def similarity(self) -> float:
        """The threshold as cosine."""
        return 1 - self.point.threshold / 2

    @property
    def tar(self) -> float | None:
        """Share of the benchmark's genuine pairs that are accepted; None where it has none."""
        accepted = self.measured.distances[self.measured.same] < self.distance
        return float(accepted.mean()) if len(accepted) else None

    def accepts(self, similarity: float) -> bool:
        """Whether two embeddings of this cosine count as one person."""
        return squared_distance(similarity) < self.distance

    @property
    def basis(self) -> str:
        """The rate and the benchmark: "a false accept rate of 1e-2 measured on lfw (3,000 different pairs)"."""
        faces = " of synthetic faces" if self.measured.rendered else ""
        pairs = f"{self.point.pairs:,} different pairs{faces}"
        rate = rate_name(float(f"{self.point.far:.3g}"))
        return f"a false accept rate of {rate} measured on {self.measured.benchmark} ({pairs})"

    @property
    def reliability(self) -> str:
        """In words: the interval of the false accept rate, and the share of genuine pairs that are accepted."""
        point, tar = self.point, self.tar
        known = f"{point.accepted:,} of the {point.pairs:,} different pairs are above it"
        truly = "" if tar is None else f", of the same pairs {100 * tar:.1f} %"
        interval = f"{format_percent(point.low)} to {format_percent(point.high)}"
        return f"{known}{truly}; the true rate may be {interval} (95 %)"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        point, measured = self.point, self.measured
        return {
            "similarity": self.similarity,
            "distance": self.distance,
            "far": point.far,
            "benchmark": measured.benchmark,
            "synthetic": measured.rendered,
            "different_pairs": point.pairs,
            "different_accepted": point.accepted,
            "far_low": point.low,
            "far_high": point.high,
            "tar": self.tar,
        }


def read_measurement(path: str | Path, model: str | None) -> Measurement:
    """The measurement in scores.parquet, or its folder, of the model with the digest `model`; of any model for None.

    Raises FormatError where the scores are of another or an unknown model, or where the protocol shifts embeddings
    fold by fold, so that its distances depend on more than the two photos.
    """
    scored = embeddings.read_scores(path)
    measured = scored.measured
    if measured is None or measured.origin is None:
        raise FormatError(f"{path} does not say which model it was measured with; embed and verify again.")
    if model is not None and measured.origin.model != model:
        raise FormatError(
            f"{path} was measured with another model ({measured.origin.model[:12]}) than this one ({model[:12]}); name "
            "scores of this one, or none."
        )
    if measured.protocol not in _SQUARED:
        raise FormatError(
            f"{path} is of the protocol {measured.protocol}, which shifts embeddings fold by fold; for a threshold "
            f"verify with {' or '.join(_SQUARED)}."
        )
    distances = _SQUARED[measured.protocol](scored.distance)
    faces = distances < _NO_FACE
    return Measurement(measured.benchmark, measured.origin.rendered, distances[faces], scored.same[faces])


def find_measurement(model: str, folder: Path = FOLDER) -> Measurement | None:
    """The measurement of the model with the digest `model` in the folders below `folder`; None where there is none.

    Of several benchmarks the one with the most impostor pairs, since it supports the lowest rates; the first by name
    among equals. Raises FormatError for a damaged table.
    """
    return max(find_measurements(model, folder).values(), key=lambda each: each.different, default=None)


def find_measurements(model: str, folder: Path = FOLDER) -> dict[Path, Measurement]:
    """All measurements of the model with the digest `model` in the folders below `folder`, by the path of their scores."""
    found = {}
    for path in sorted(folder.glob(f"*/{embeddings.SCORES}")):
        measured = embeddings.read_scores(path).measured
        if measured and measured.origin and measured.origin.model == model and measured.protocol in _SQUARED:
            found[path] = read_measurement(path, model)
    return found


def threshold_at_far(distances: ArrayLike, far: float) -> OperatingPoint:
    """The operating point at the false accept rate `far`, by the distances (n,) of impostor pairs.

    The threshold is `facerec.evaluation.curves.threshold_below`. The interval is Wilson's, which
    takes pairs as independent. Raises ParamsError unless 0 < far < 1, UnsupportedRateError where the pairs do not support
    the rate (`facerec.evaluation.curves.supports_rate`).

    >>> threshold_at_far([0.5, 1.0, 1.5, 2.0], far=0.25).threshold
    1.0
    """
    impostors = np.asarray(distances, np.float64)
    count = len(impostors)
    if not 0 < far < 1:
        raise ParamsError(f"A false accept rate lies between 0 and 1, such as 1e-2, not {far:g}.")
    if not supports_rate(far, count):
        lowest = f"; the lowest rate they can tell is {rate_name(lowest_far(count))}" if count > 1 else ""
        raise UnsupportedRateError(
            f"a false accept rate of {rate_name(float(f'{far:.3g}'))} needs {pairs_needed(far):,} different-person "
            f"pairs, and there are {count:,}{lowest}"
        )
    threshold = threshold_below(impostors, far)
    accepted = int((impostors < threshold).sum())  # fewer than floor(far n) where distances tie
    low, high = wilson(accepted / count, count)
    return OperatingPoint(threshold, far, accepted, count, float(low), float(high))


def describe_rates(measured: Measurement) -> list[tuple[str, str, str]]:
    """False accept rate, threshold (cosine) and 95 % interval of the rate, for each decade that the pairs support."""
    rows = []
    for rate in (10.0**-decade for decade in range(1, 9)):
        if supports_rate(rate, measured.different):
            found = measured.at(rate)
            interval = f"{format_percent(found.point.low)} to {format_percent(found.point.high)}"
            rows.append((rate_name(rate), f"{found.similarity:.3f}", interval))
    return rows


def lowest_far(count: int) -> float:
    """The lowest false accept rate that `count` impostor pairs can measure, 1 / count, to two digits upwards."""
    return round_up(1 / count)


def round_up(rate: float) -> float:
    """The rate to two significant digits, never less.

    >>> round_up(0.001234)
    0.0013
    """
    exponent = math.floor(math.log10(rate)) - 1
    return float(f"{math.ceil(rate / 10.0**exponent / _ROUNDING)}e{exponent}")


def search_fpir(far: float, comparisons: int) -> float:
    """Chance that a search of so many comparisons names a person who is not in the gallery: 1 - (1 - far)^n.

    The false positive identification rate (FPIR, ISO/IEC 19795-1) of independent comparisons. It is lower where they
    depend on each other, as those with several photos of one person do.
    """
    return -math.expm1(comparisons * math.log1p(-far))


def far_for_fpir(fpir: float, comparisons: int) -> float:
    """The false accept rate of one comparison at which a search of so many has the rate `fpir`; undoes `search_fpir`."""
    if not 0 < fpir < 1:
        raise ParamsError(f"A false positive identification rate lies between 0 and 1, such as 1e-1, not {fpir:g}.")
    return -math.expm1(math.log1p(-fpir) / max(comparisons, 1))


def squared_distance(similarity: float) -> float:
    """|a - b|^2 of two embeddings of length 1 by their cosine."""
    return 2 - 2 * similarity


def format_percent(share: float) -> str:
    """A share in per cent: two significant digits, and as many decimals as they need."""
    value = 100 * share
    return f"{value:.2g} %" if value < 99.5 else f"{value:.4g} %"
