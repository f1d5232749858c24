"""One summary of a run out of the metrics of its stages: the file people diff.

DVC compares scalars only: a list vanishes from `dvc metrics diff` without a word, so it is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.core import PORTABLE, FormatError, note, parse_json, write_json
from facerec.params import Params

ARITHMETIC = "arithmetic"
"""Key of the kinds of machine that a run was computed on (`facerec.core.describe_arithmetic`), not of a benchmark."""

VERIFICATION = ("accuracy", "accuracy_low", "accuracy_high", "accuracy_std", "auc", "tar", "failures")
"""Numbers of a verification benchmark that the summary holds, with the 95 % interval of the accuracy."""

DECIDED = {
    "overlap": ("identities", "images", "identities_c", "images_c", "test_identities", "test_identities_c"),
    "disjoint": ("pairs_c", "accuracy_c", "accuracy_c_low", "accuracy_c_high"),
    "clean": ("identities", "images", "identities_c", "images_c", "two_names", "unusable", "duplicate", "foreign"),
}
"""Counts of training faces with and without ("_c") those that decisions leave out, and results without their people."""


def gather_summary(**groups: Mapping[str, Any]) -> dict[str, Any]:
    """Nest metrics by group, in the order given: gather_summary(verification={"lfw": {"accuracy": .99}}, training={...}).

    Groups that are empty are left out, and so are values of None. FormatError names a value that is not a
    finite number, a truth value or a text.
    """
    return {name: _scalars(groups[name], name) for name in groups if groups[name]}


def _scalars(group: Mapping[str, Any], where: str) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, value in group.items():
        place = f"{where}.{key}"
        if isinstance(value, Mapping):
            clean[key] = _scalars(value, place)
        elif isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            clean[key] = value
        elif value is not None:
            raise FormatError(
                f"Metric {place} is {value!r}; a summary holds finite numbers and texts, so that runs compare."
            )
    return clean


def write_summary(found: Mapping[str, Any], path: Path) -> None:
    """Write the `headline` of all metrics of a run as JSON, and note where its bytes can only be those of one machine."""
    lines = headline(found)
    if lines.get(ARITHMETIC, PORTABLE) != PORTABLE:
        note(
            f"this run was computed on {lines[ARITHMETIC]}, so its bytes differ from those of other machines, and its "
            "figures do a little; see docs/reproducing.md"
        )
    write_json(path, lines)


def headline(found: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers by which runs are compared, nested by benchmark, and the kind of machine they were made on."""
    lines: dict[str, Any] = {}
    for name, values in found.get("verification", {}).items():
        lines[name] = {key: values[key] for key in VERIFICATION if key in values}
    for name, runs in found.get("identification", {}).items():
        cleaned = runs["cleaned"]
        rates = {key: value for key, value in cleaned.items() if key.startswith("tpr@")}
        lines[name] = {**_rank1(cleaned, ""), **_rank1(runs["raw"], "_raw"), **rates}
    for name, values in found.get("slices", {}).items():
        lines[name] = lines.get(name, {}) | {"slices": summarise_slices(values)}
    for name, values in found.get("quality", {}).items():
        lines[name] = lines.get(name, {}) | {key: value for key, value in values.items() if key.startswith("fnmr")}
    for name, values in found.get("openset", {}).items():
        lines[name] = {key: value for key, value in values.items() if key.startswith(("vr@", "dir@", "closed_rank1"))}
    for group, counted in DECIDED.items():
        for name, values in found.get(group, {}).items():
            lines[name] = lines.get(name, {}) | {key: values[key] for key in counted if key in values}
    for group, shown in (
        ("train", ("train_accuracy", "train_loss", "best_validation", "best_step")),
        ("align", ("enrolled", "fallbacks")),
    ):
        for name, values in found.get(group, {}).items():
            lines[name] = lines.get(name, {}) | {key: values[key] for key in shown if key in values}
    kinds = sorted(_kinds(found))
    return lines | ({ARITHMETIC: ", ".join(kinds)} if kinds else {})


def summarise_slices(found: Mapping[str, Any]) -> dict[str, Any]:
    """Attribute -> the worst group and its gap by accuracy, TAR and FMR, and the ratio of FMR, as far as they are known."""
    lines: dict[str, Any] = {}
    for name, column in found["columns"].items():
        worst = {metric: each for metric, each in column.get("worst", {}).items() if each}
        groups = {f"{metric}_worst": each["group"] for metric, each in worst.items()}
        values = {f"{metric}_worst_value": column["groups"][each["group"]][metric] for metric, each in worst.items()}
        gaps = {f"{metric}_gap": each["gap"] for metric, each in worst.items()}
        ratio = (column.get("fmr_ratio") or {}).get("ratio")
        lines[name] = groups | values | gaps | ({} if ratio is None else {"fmr_ratio": ratio})
    return lines


def _rank1(run: Mapping[str, Any], suffix: str) -> dict[str, float]:
    """Rank-1 and, where there is one, its interval."""
    interval = run.get("interval", {}).get("rank1", {})
    ends = {f"rank1{suffix}_{name}": interval[end] for name, end in (("low", "lo"), ("high", "hi")) if end in interval}
    return {f"rank1{suffix}": run["rank1"], **ends}


def _kinds(found: Mapping[str, Any]) -> set[str]:
    """The kinds of machine on which networks were trained and faces embedded, as far as that was recorded."""
    ranked = [run for runs in found.get("identification", {}).values() for run in runs.values()]
    others = [values for group in ("verification", "openset", "train") for values in found.get(group, {}).values()]
    return {values[ARITHMETIC] for values in (*ranked, *others) if ARITHMETIC in values}


@dataclass(frozen=True)
class Sources:
    """The parameters of a run, and the folders of its results."""

    params: Params
    metrics: Path
    curves: Path
    scores: Path


def collect_metrics(sources: Sources) -> dict[str, Any]:
    """All metrics of the run in one nested mapping of scalars: group, then name, then figure."""
    params, groups = sources.params, {}
    for group, names in (
        ("verification", params.benchmarks),
        ("identification", params.identification),
        ("openset", params.openset),
    ):
        groups[group] = {name: load_metrics(sources.scores / name / "result.json") for name in names}
    written: dict[str, Iterable[str]] = {
        "align": params.photos,
        "clean": params.clean,
        "denoise": params.identification,
        "detect": params.photos,
        "disjoint": params.overlap,
        "download": params.entries,
        "overlap": params.overlap,
        "quality": params.quality,
        "slices": params.attributes,
        "train": params.networks,
        "unpack": params.packs,
    }
    for group, members in written.items():
        parts = (load_metrics(sources.metrics / group / f"{name}.json") for name in members)
        groups[group] = {key: value for part in parts for key, value in part.items()}
    return gather_summary(**groups)


def load_metrics(path: Path) -> Any:
    """The JSON a stage wrote to `path`."""
    try:
        return parse_json(path.read_bytes(), str(path))
    except (OSError, FormatError) as error:
        raise FormatError(f"cannot read the result {path} ({error}); run `dvc repro`.") from error
