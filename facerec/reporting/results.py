"""What the stages of a run left: small metrics, curves and scores, read into one nested mapping."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.errors import FormatError
from facerec.params import Params
from facerec.reporting import summary

Groups = dict[str, Iterable[str]]


@dataclass(frozen=True)
class Sources:
    """The parameters of a run, which say what belongs to it, and where its results lie."""

    params: Params
    metrics: Path
    curves: Path
    scores: Path


def collect(sources: Sources) -> dict[str, Any]:
    """All metrics of the run in one nested mapping of scalars: group, then name, then figure."""
    params = sources.params
    judged: Groups = {"verification": params.benchmarks, "identification": params.identification}
    others: Groups = {
        "align": params.photos,
        "denoise": params.identification,
        "detect": params.photos,
        "download": params.download,
        "train": params.networks,
        "unpack": params.packs,
    }
    groups: dict[str, dict[str, Any]] = {
        group: {name: load(sources.scores / name / "result.json") for name in names}
        for group, names in judged.items()
    }
    for group, names in others.items():
        groups[group] = {}
        for name in names:
            groups[group] |= load(sources.metrics / group / f"{name}.json")
    return summary.gather(**groups)


def load(path: Path) -> Any:
    """The JSON a stage wrote to `path`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read the result {path} ({error}); run `dvc repro`.") from error
