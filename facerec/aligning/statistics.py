"""What an enrolment did, in numbers: nothing that could not be enrolled goes unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

_COLUMNS = ("rung", "residual", "score", "found", "category")


@dataclass(frozen=True)
class AlignmentStatistics:
    """Totals of a set; quantiles are None where there is nothing to take them of."""

    photos: int
    faces: int
    failures: int
    enrolled: float
    """Faces / photos; 0 for an empty set."""
    several: float
    """Share of the photos in which the detector found more than one face."""
    rungs: dict[str, int]
    """Faces by the rung they come from, for every rung that was to be tried."""
    fallbacks: int
    """Faces that do not come from the first rung."""
    reasons: dict[str, int]
    """Failures by category (see formats.failures)."""
    residual_median: float | None
    """Of the mean distance of a face's aligned landmarks from the template, in crop pixels."""
    residual_p95: float | None
    score_min: float | None
    """Of the scores of the faces that were kept."""
    score_p01: float | None
    score_p05: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class Tally:
    """Gathers the rows of enrolment.faces.SCHEMA, job by job."""

    rungs: Sequence[str]
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, rows: pa.Table) -> None:
        """Count the photos of one job."""
        for name, values in self.columns.items():
            values += rows[name].to_pylist()

    def counts(self) -> AlignmentStatistics:
        """The totals so far."""
        photos = len(self.columns["found"])
        rungs = Counter(rung for rung in self.columns["rung"] if rung is not None)
        reasons = Counter(category for category in self.columns["category"] if category)
        faces = rungs.total()
        median, p95 = self._quantiles("residual", 50, 95)
        least, p01, p05 = self._quantiles("score", 0, 1, 5)
        return AlignmentStatistics(
            photos=photos,
            faces=faces,
            failures=photos - faces,
            enrolled=faces / max(1, photos),
            several=sum(found > 1 for found in self.columns["found"]) / max(1, photos),
            rungs={rung: rungs[rung] for rung in self.rungs},
            fallbacks=faces - rungs[self.rungs[0]],
            reasons=dict(sorted(reasons.items())),
            residual_median=median,
            residual_p95=p95,
            score_min=least,
            score_p01=p01,
            score_p05=p05,
        )

    def _quantiles(self, column: str, *percents: float) -> list[float | None]:
        values = [value for value in self.columns[column] if value is not None]
        return [float(np.percentile(values, percent)) if values else None for percent in percents]
