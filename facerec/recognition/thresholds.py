"""Thresholds from measured scores: those of a benchmark, by the same model, and never a constant.

`dvc repro` writes them to data/scores/<benchmark>; they remember which model, photos and protocol they are of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from facerec.core import FormatError
from facerec.evaluation.verification.distances import Bools, Floats
from facerec.recognition import decisions
from facerec.recognition.decisions import OperatingPoint
from facerec.store import scores

FOLDER = Path("data/scores")
"""Where the default experiment leaves its benchmarks' scores."""

_SQUARED: dict[str, Callable[[Floats], Floats]] = {
    "insightface": lambda distances: distances,
    "youden": lambda negated_cosines: 2 + 2 * negated_cosines,
}
"""Protocol -> squared distances by those it keeps."""
_NO_FACE = 4.0  # the greatest squared distance, which verification gives to pairs that lack a face


@dataclass(frozen=True)
class Measurement:
    """A benchmark's pairs with two faces, measured by a known model: what thresholds are taken from.

    Attributes:
        benchmark: its name.
        rendered: whether its photos are rendered, so that nobody in them exists.
        distances: (n,) squared. same: (n,) truth.
    """

    benchmark: str
    rendered: bool
    distances: Floats = field(repr=False)
    same: Bools = field(repr=False)

    @property
    def different(self) -> int:
        """Different-person pairs."""
        return int((~self.same).sum())

    def at(self, far: float) -> Threshold:
        """The threshold at the false accept rate `far`.

        Raises ParamsError for an impossible rate, UnsupportedRateError where the pairs are too few for it.
        """
        try:
            point = decisions.at_far(self.distances[~self.same], far)
        except decisions.UnsupportedRateError as error:
            raise decisions.UnsupportedRateError(f"{self.benchmark} is too small: {error}.") from error
        return Threshold(self, point)


@dataclass(frozen=True)
class Threshold:
    """At which distance two photos are taken for one person, and on what that was measured."""

    measured: Measurement
    point: OperatingPoint

    @property
    def distance(self) -> float:
        """Two photos nearer than this, as squared distance, are taken for one person."""
        return self.point.threshold

    @property
    def similarity(self) -> float:
        """The same as a cosine."""
        return 1 - self.point.threshold / 2

    @property
    def tar(self) -> float | None:
        """Share of the benchmark's same-person pairs that are accepted; None where it has none."""
        accepted = self.measured.distances[self.measured.same] < self.distance
        return float(accepted.mean()) if len(accepted) else None

    def accepts(self, similarity: float) -> bool:
        """Whether two embeddings of this cosine are taken for one person."""
        return decisions.squared_distance(similarity) < self.distance


def read_scores_of(path: str | Path, model: str) -> Measurement:
    """What the model of digest `model` measured, in scores.parquet or its directory.

    Raises FormatError where another model did, nobody knows which, or where the protocol shifts embeddings fold by
    fold, so that its distances are no function of two photos.
    """
    scored = scores.read_scores(path)
    origin = None if scored.measured is None else scored.measured.origin
    if scored.measured is None or origin is None:
        raise FormatError(f"{path} does not say which model it was measured with; embed and verify again.")
    if origin.model != model:
        raise FormatError(
            f"{path} was measured with another model ({origin.model[:12]}) than this one ({model[:12]}); name scores "
            "of this one, or none."
        )
    if scored.measured.protocol not in _SQUARED:
        raise FormatError(
            f"{path} is of the protocol {scored.measured.protocol}, which shifts embeddings fold by fold; for a "
            f"threshold verify with {' or '.join(_SQUARED)}."
        )
    distances = _SQUARED[scored.measured.protocol](scored.distance)
    faces = distances < _NO_FACE
    return Measurement(scored.measured.benchmark, origin.rendered, distances[faces], scored.same[faces])


def find_threshold(model: str, folder: Path = FOLDER) -> Measurement | None:
    """What the model of digest `model` measured, in the folders below `folder`; None where it did not.

    Of several benchmarks the one with the most different-person pairs, which can tell the lowest rates; of equals
    the first by name. Raises FormatError for a damaged table.
    """
    found = []
    for path in sorted(folder.glob(f"*/{scores.NAME}")):
        measured = scores.read_scores(path).measured
        if measured and measured.origin and measured.origin.model == model and measured.protocol in _SQUARED:
            found.append(read_scores_of(path, model))
    return max(found, key=lambda each: each.different, default=None)
