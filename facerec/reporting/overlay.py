"""Curves of several runs, models or systems in one figure, from our plot data or the devkit's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from facerec.core import FormatError, ParamsError, parse_json
from facerec.evaluation.identification import devkit
from facerec.reporting import figures

Records = Sequence[Mapping[str, float]]
_AXES = {"roc": ("fpr", "tpr"), "cmc": ("rank", "rate")}


def overlay_curves(files: Mapping[str, Path], kind: str = "roc", title: str = "") -> Figure:
    """One figure of the "roc" or "cmc" curves in several files.

    Args:
        files: name in the legend -> our plot data (reports/curves/*_roc.json, data/scores/*/*_curves.json) or the
            devkit's cmc_*.json, which is drawn without a band.
        kind: "roc" or "cmc".
        title: of the figure; by default that of the kind.

    Raises:
        FormatError: a file without such a curve.
        ParamsError: another kind.
    """
    if kind not in _AXES:
        raise ParamsError(f"A figure is a roc or a cmc, not {kind!r}.")
    curves: dict[str, Records] = {}
    for name, path in files.items():
        found = _read_curves(path, kind)
        if not found:
            raise FormatError(f"{path} holds no {kind} curve; give a file of curves, or another --kind.")
        for series, records in found.items():
            curves[f"{name}: {series}" if len(found) > 1 else name] = records
    return (figures.cmc_figure if kind == "cmc" else figures.roc_figure)(curves, title)


def _read_curves(path: Path, kind: str) -> dict[str, Records]:
    try:
        value = parse_json(path.read_bytes(), str(path))
    except (OSError, FormatError) as error:
        raise FormatError(f"cannot read the curves {path} ({error}).") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} holds no curves: it is no JSON object.")
    x, y = _AXES[kind]
    if _is_devkit(value):
        curves = devkit.parse_published(value, str(path))
        points = zip(*(np.asarray(side).tolist() for side in getattr(curves, kind)), strict=True)
        return {kind: [{x: a, y: b, "lo": b, "hi": b} for a, b in points]}
    return {
        str(series): records
        for series, records in value.items()
        if isinstance(records, list)
        and records
        and all(isinstance(r, dict) and {x, y, "lo", "hi"} <= r.keys() for r in records)
    }


def _is_devkit(value: Mapping[str, Any]) -> bool:
    """Whether "cmc" and "roc" are two lists of numbers each, not lists of records."""
    both = (value.get("cmc"), value.get("roc"))
    return all(isinstance(curve, list) and len(curve) == 2 and isinstance(curve[0], list) for curve in both)
