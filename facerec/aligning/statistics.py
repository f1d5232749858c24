"""Statistics of aligning a set: how many photos gave a face, by which fallback, and how well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class AlignmentStatistics:
    """What became of the photos of a set; quantiles are None where there are no values.

    Attributes:
        photos: photos in the set.
        faces: photos that gave a face.
        failures: photos that gave none.
        enrolled: faces / photos; 0 for an empty set.
        several: share of the photos in which the detector found more than one face.
        rungs: number of faces from each fallback, in the order of the fallbacks.
        fallbacks: number of faces that do not come from the first fallback.
        reasons: number of failures by category (see facerec.store.failures).
        residual_median: median distance, in crop pixels, of a face's aligned landmarks from the template.
        residual_p95: 95th percentile of the same.
        score_min: lowest detector score of a kept face.
        score_p01: 1st percentile of the same scores.
        score_p05: 5th percentile.
    """

    photos: int
    faces: int
    failures: int
    enrolled: float
    several: float
    rungs: dict[str, int]
    fallbacks: int
    reasons: dict[str, int]
    residual_median: float | None
    residual_p95: float | None
    score_min: float | None
    score_p01: float | None
    score_p05: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def count_outcomes(outcomes: pa.Table, fallbacks: Sequence[str]) -> AlignmentStatistics:
    """Statistics of rows of `facerec.aligning.crops.OUTCOME_SCHEMA`, one a photo; `fallbacks` are those tried."""
    by_fallback, reasons = (_count(outcomes[name]) for name in ("rung", "category"))
    photos, faces = len(outcomes), by_fallback.total()
    median, p95 = _quantiles(outcomes["residual"], 50, 95)
    least, p01, p05 = _quantiles(outcomes["score"], 0, 1, 5)
    return AlignmentStatistics(
        photos=photos,
        faces=faces,
        failures=photos - faces,
        enrolled=faces / max(1, photos),
        several=int((outcomes["found"].to_numpy() > 1).sum()) / max(1, photos),
        rungs={fallback: by_fallback[fallback] for fallback in fallbacks},
        fallbacks=faces - by_fallback[fallbacks[0]],
        reasons=dict(sorted(reasons.items())),
        residual_median=median,
        residual_p95=p95,
        score_min=least,
        score_p01=p01,
        score_p05=p05,
    )


def _count(column: pa.ChunkedArray) -> Counter[str]:
    """How often each text occurs."""
    found = pc.value_counts(column.unify_dictionaries().drop_null())
    return Counter(dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)))


def _quantiles(column: pa.ChunkedArray, *percents: float) -> list[float | None]:
    values = column.drop_null().to_numpy().astype(np.float64)
    return [float(np.percentile(values, percent)) if len(values) else None for percent in percents]
