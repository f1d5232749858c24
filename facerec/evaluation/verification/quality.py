"""Error versus reject: how many false non-matches vanish when the faces or pairs of the worst quality are rejected.

The threshold is the one at a false match rate (FMR) of all impostor pairs, and stays fixed. A good measure of quality rejects
the genuine pairs first that fall below it, so the false non-match rate (FNMR) of the rest falls; one that knows nothing
leaves it where it was. Rejected are either photos, and with each of them all its pairs ("photos"), or pairs by the lower
quality of their two photos ("pairs"). Qualities that are equal are rejected together or not at all.

Sources: Grother and Tabassi, "Performance of biometric quality measures", PAMI 2007 (the curve, the minimum of both photos);
Meng et al., "MagFace", CVPR 2021 (the length of an embedding as quality).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, ParamsError, rate_name
from facerec.evaluation.curves import Records, pairs_needed, supports_rate, threshold_below, wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
UNITS = ("photos", "pairs")
"""What is rejected: photos with all their pairs, or pairs by the lower quality of their photos."""
_MOST = 0.5  # of the photos or pairs, in steps of one per cent
_EVEN = 1e-3  # relative spread below which all lengths count as 1


@dataclass(frozen=True)
class RatedPairs:
    """n pairs of photos with qualities.

    Attributes:
        quality: (photos,) of each photo, higher is better; NaN where unknown.
        first, second: (n,) rows of the photos in `quality`, -1 for a photo without a face.
        distances: (n,) smaller is more alike.
        same: (n,) truth.
    """

    quality: Floats
    first: Ints
    second: Ints
    distances: Floats
    same: Bools

    def lower(self) -> Floats:
        """(n,) the lower quality of the two photos; NaN where one is unknown."""
        rated = np.append(self.quality, np.nan)
        lower: Floats = np.minimum(rated[self.first], rated[self.second])
        return lower


@dataclass(frozen=True)
class RejectCurves:
    """Error-versus-reject curves at one threshold.

    Attributes:
        far: the false match rate asked for.
        threshold: on the distances; fixed.
        unrated: pairs that are left out, because a photo has no face or no quality.
        curves: by unit, records {"rejected", "fnmr", "lo", "hi", "genuine"}: share rejected, FNMR of the genuine pairs
            that are left, its 95 % interval (Wilson's, which takes pairs as independent), and how many they are.
    """

    far: float
    threshold: float
    unrated: int
    curves: dict[str, Records]

    def metrics(self) -> dict[str, float]:
        """Flat scalars: FNMR of all pairs, and where at most a tenth and a fifth of the photos or pairs are rejected."""
        found: dict[str, float] = {"far": self.far, "threshold": self.threshold, "unrated_pairs": self.unrated}
        found["fnmr"] = self.curves[UNITS[0]][0]["fnmr"]
        for unit, records in self.curves.items():
            for share in (0.1, 0.2):
                last = [record for record in records if record["rejected"] <= share + 1e-9][-1]
                found[f"fnmr_without_{100 * share:.0f}%_of_{unit}"] = last["fnmr"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the curves by what is rejected."""
        return {**self.metrics(), "curves": self.curves}


def embedding_norms(matrix: NDArray[np.floating]) -> Floats:
    """(n,) lengths of embeddings (n, d) as quality; FormatError where all are alike, since they were normalised.

    >>> embedding_norms(np.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [5.0, 1.0]
    """
    lengths: Floats = np.linalg.norm(np.asarray(matrix, np.float64), axis=1)
    known = lengths[np.isfinite(lengths)]
    if not len(known) or np.ptp(known) <= _EVEN * known.max():
        raise FormatError(
            "the embeddings all have one length, so it says nothing of quality: the network or whoever wrote them has "
            "normalised them; name a column of a table of qualities instead."
        )
    lengths[~(lengths > 0)] = np.nan
    return lengths


def error_versus_reject(pairs: RatedPairs, far: float) -> RejectCurves:
    """The curves of both units.

    Raises:
        ParamsError: the impostor pairs do not support the rate `far`.
        FormatError: no genuine pair has two qualities.
    """
    impostors = pairs.distances[~pairs.same]
    if not 0 < far < 1:
        raise ParamsError(f"a false match rate lies between 0 and 1, such as 1e-3, not {far:g}.")
    if not supports_rate(far, len(impostors)):
        needed = f"{pairs_needed(far):,} impostor pairs, and there are {len(impostors):,}"
        raise ParamsError(f"a false match rate of {rate_name(far)} needs {needed}; name a higher one.")
    threshold = threshold_below(impostors, far)
    lower = pairs.lower()
    rated = ~np.isnan(lower)
    genuine = pairs.same & rated
    if not genuine.any():
        raise FormatError("no genuine pair has a quality of both photos; look whether the table is of these photos.")
    photos = np.unique(np.concatenate([pairs.first[rated], pairs.second[rated]]))
    populations = {"photos": pairs.quality[photos], "pairs": lower[rated]}
    missed = pairs.distances[genuine] >= threshold
    return RejectCurves(
        far, threshold, int((~rated).sum()), {unit: _curve(populations[unit], lower[genuine], missed) for unit in UNITS}
    )


def _curve(population: Floats, lower: Floats, missed: Bools) -> Records:
    """FNMR of the genuine pairs whose `lower` quality is left when the worst of the `population` are rejected.

    A pair is rejected with its worse photo, so for both units the pairs left are those whose lower quality is not below
    the one at which rejection ends.
    """
    ordered = np.sort(population)
    records: Records = []
    for step in range(round(_MOST * 100) + 1):
        least = ordered[min(int(step * len(ordered) / 100 + 1e-9), len(ordered) - 1)]
        left = lower >= least
        if not left.any():
            break
        rejected = float(np.searchsorted(ordered, least) / len(ordered))
        if records and rejected == records[-1]["rejected"]:
            continue  # all of the next are equal, and they are too many for this step
        fnmr, count = float(missed[left].mean()), int(left.sum())
        low, high = wilson(fnmr, count)
        records.append({"rejected": rejected, "fnmr": fnmr, "lo": float(low), "hi": float(high), "genuine": count})
    return records
