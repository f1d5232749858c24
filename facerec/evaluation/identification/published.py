"""Results published as the devkit's JSON, and how to read a rate off its coarse curves.

The devkit keeps a point of the ROC only where it has risen by a point, so "the TPR at FPR 1e-6" is read
between two points that may be a point apart. Published figures do so in at least three ways that differ by
up to half a point, so each is named:

    log     on a straight line over log FPR, as the curve looks on the usual axis
    linear  on a straight line over FPR
    next    the first point at or above the rate asked for
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError
from facerec.evaluation.curves import rate_name

Doubles = NDArray[np.float64]
READINGS = ("log", "linear", "next")


@dataclass(frozen=True)
class PublishedCurves:
    """The curves of one devkit run.

    Attributes:
        cmc, traditional_cmc: (rank, share of pairs found), 1 is best. Traditional: None where there is none.
        roc: (fpr, tpr); the negatives are the distractors against the first 100 probes.
        distractors: how many there were.
    """

    cmc: tuple[Doubles, Doubles]
    roc: tuple[Doubles, Doubles]
    traditional_cmc: tuple[Doubles, Doubles] | None
    distractors: int

    @property
    def rank1(self) -> float:
        """Share of pairs whose mate is above every distractor; 0 where the first point is a later rank."""
        return float(self.cmc[1][0]) if self.cmc[0][0] == 1 else 0.0

    def tpr(self, fpr: float) -> dict[str, float]:
        """The true-positive rate at `fpr` in every reading; between points that do not bracket it, absent."""
        x, y = self.roc
        after = int(np.searchsorted(x, fpr, side="left"))
        if after == len(x):
            return {}
        if x[after] == fpr or after == 0:
            return dict.fromkeys(READINGS if x[after] == fpr else ("next",), float(y[after]))
        low, high = slice(after - 1, after), slice(after, after + 1)
        found = {"linear": _line(fpr, x[low], x[high], y[low], y[high]), "next": float(y[after])}
        if x[after - 1] > 0:
            logs = np.log(fpr), np.log(x[low]), np.log(x[high])
            found["log"] = _line(*logs, y[low], y[high])
        return {name: found[name] for name in READINGS if name in found}

    def metrics(self, fprs: tuple[float, ...]) -> dict[str, Any]:
        """As `facerec megaface published` prints it."""
        rates = {rate_name(fpr): self.tpr(fpr) for fpr in fprs}
        return {"rank1": self.rank1, "tpr": rates, "distractors": self.distractors}


def parse_published(value: Mapping[str, Any], origin: str = "the devkit's JSON") -> PublishedCurves:
    """Curves from {"cmc", "roc"[, "traditional_cmc"]} as the devkit and `Result.devkit` have them."""
    cmc, roc = (_curve(value, name, origin) for name in ("cmc", "roc"))
    traditional = _curve(value, "traditional_cmc", origin) if "traditional_cmc" in value else None
    shifted = None if traditional is None else (traditional[0] + 1, traditional[1])
    return PublishedCurves((cmc[0] + 1, cmc[1]), roc, shifted, int(cmc[0][-1]))


def read_published(path: str | Path) -> PublishedCurves:
    """The curves of a devkit file such as cmc_facescrub_megaface_0_1000000_1.json."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"cannot read the devkit result {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not valid JSON ({error}); give the devkit's cmc_*.json.") from error
    return parse_published(value, str(path))


def _curve(value: Any, name: str, origin: str) -> tuple[Doubles, Doubles]:
    try:
        x, y = (np.array(axis, dtype=np.float64) for axis in value[name])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f'{origin} has no curve "{name}"; give the devkit\'s cmc_*.json.') from error
    if not (x.ndim == y.ndim == 1 and 0 < len(x) == len(y) and np.isfinite([x, y]).all() and x[-1] < 1e12):
        raise FormatError(f'The curve "{name}" of {origin} must be two lists of as many finite numbers.')
    if (np.diff(x) < 0).any() or x[0] < 0:
        raise FormatError(f'The curve "{name}" of {origin} must ascend from 0 or above.')
    return x, y


def _line(at: float, x0: Doubles, x1: Doubles, y0: Doubles, y1: Doubles) -> float:
    share = (at - x0) / (x1 - x0)
    return float((y0 + share * (y1 - y0))[0])
