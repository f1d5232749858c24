"""Curves of several runs, models or systems in one figure: our own, and those published as the devkit's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from facerec.core import FormatError, ParamsError
from facerec.evaluation.curves import Records
from facerec.evaluation.identification import devkit
from facerec.reporting import figures

_AXES = {"roc": ("fpr", "tpr"), "cmc": ("rank", "rate")}


def overlay(files: Mapping[str, Path], kind: str = "roc", title: str = "") -> Figure:
    """One figure of the "roc" or "cmc" curves in `files`, by the name each is to have in the legend.

    A file is plot data of this project (reports/curves/*_roc.json, *_cmc.json, data/scores/*/*_curves.json) or
    the devkit's cmc_*.json, which has no band. Raises FormatError for other files and ParamsError for another kind.
    """
    if kind not in _AXES:
        raise ParamsError(f"A figure is a roc or a cmc, not {kind!r}.")
    curves = {
        label: records for name, path in files.items() for label, records in _named(name, path, kind).items()
    }
    if kind == "cmc":
        return figures.cmc_figure(curves, **({"title": title} if title else {}))
    return figures.roc_figure(curves, title or "True and false accepts")


def _named(name: str, path: Path, kind: str) -> dict[str, Records]:
    """The curves of one file; where it holds several, their own names follow the file's."""
    found = _read(path, kind)
    if not found:
        raise FormatError(f"{path} holds no {kind} curve; give a file of curves, or another --kind.")
    return {f"{name}: {series}" if len(found) > 1 else name: records for series, records in found.items()}


def _read(path: Path, kind: str) -> dict[str, Records]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"cannot read the curves {path} ({error}).") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} holds no curves: it is no JSON object.")
    if _is_devkit(value):
        curves = devkit.parse_published(value, str(path))
        return {kind: _records(*(curves.cmc if kind == "cmc" else curves.roc), _AXES[kind])}
    wanted = {*_AXES[kind], "lo", "hi"}
    return {
        str(series): records
        for series, records in value.items()
        if isinstance(records, list)
        and records
        and all(isinstance(r, dict) and wanted <= r.keys() for r in records)
    }


def _is_devkit(value: Mapping[str, Any]) -> bool:
    """Whether "cmc" and "roc" are pairs of lists of numbers, not lists of records."""
    return all(
        isinstance(value.get(name), list) and len(value[name]) == 2 and isinstance(value[name][0], list)
        for name in ("cmc", "roc")
    )


def _records(x: ArrayLike, y: ArrayLike, axes: tuple[str, str]) -> Records:
    pairs = zip(np.asarray(x).tolist(), np.asarray(y).tolist(), strict=True)
    return [{axes[0]: a, axes[1]: b, "lo": b, "hi": b} for a, b in pairs]
