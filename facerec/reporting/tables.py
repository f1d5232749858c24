"""The tables of a run, for the page and for the cards alike: a header and rows of text.

`found` is everything measured, nested by group and name as `facerec.reporting.summary.collect_metrics` does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facerec.evaluation.curves import rate_name
from facerec.reporting.wording import NONE, count, interval, number, percent

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The first column names the rows; `note` explains what is not said by the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def verification(found: Found) -> Table:
    """Accuracy and the true accept rate at the headline false accept rate, a row a benchmark."""
    benchmarks = found.get("verification", {})
    targets = sorted({each["far_target"] for each in benchmarks.values()})
    header = (
        "Benchmark",
        "Accuracy",
        "95 % interval",
        f"TAR at FAR {' or '.join(map(rate_name, targets))}",
        "95 % interval",
        "AUC",
        "EER",
        "Threshold",
        "Pairs",
        "Failures",
    )
    note = (
        "Accuracy is the mean over folds ± their spread, each fold's threshold being set on the others; the threshold "
        f"shown is their mean. Intervals come from drawing anew {_units(benchmarks)}. Failures are pairs with a face "
        "that was not found; they count as errors where the person is the same."
    )
    if not all(each.get("tar_supported", True) for each in benchmarks.values()):
        note += " An asterisk marks a FAR that is too low for the number of different-person pairs."
    return Table(header, tuple(_verification(name, each) for name, each in benchmarks.items()), note)


def _units(benchmarks: Mapping[str, Found]) -> str:
    units = {each.get("interval_over", "pairs") for each in benchmarks.values()}
    return "identities, or pairs where nobody says who is shown" if len(units) > 1 else "".join(units)


def _verification(name: str, values: Found) -> tuple[str, ...]:
    doubt = "" if values.get("tar_supported", True) else "*"
    return (
        name,
        f"{100 * values['accuracy']:.2f} ± {percent(values['accuracy_std'])}",
        interval(values.get("accuracy_low"), values.get("accuracy_high")),
        percent(values["tar"]) + doubt,
        interval(values.get("tar_low"), values.get("tar_high")),
        number(values.get("auc")),
        percent(values.get("eer")),
        number(values.get("threshold")),
        count(values.get("pairs")),
        count(values.get("failures")),
    )


def rates(details: Mapping[str, Found]) -> Table:
    """True accept rates with intervals by false accept rate, from the details.json of each benchmark.

    Down to the first rate for which no benchmark has enough pairs.
    """
    by_target = {name: {rate["far"]: rate for rate in each["rates"]} for name, each in details.items()}
    targets = sorted({target for each in by_target.values() for target in each}, reverse=True)
    supported = [
        any(each[target]["tar"] is not None for each in by_target.values() if target in each)
        for target in targets
    ]
    shown = targets[: supported.count(True) + 1]
    rows = ((name, *(_rate(each.get(target)) for target in shown)) for name, each in by_target.items())
    return Table(("TAR at FAR", *map(rate_name, shown)), tuple(rows))


def _rate(rate: Found | None) -> str:
    if rate is None:
        return NONE
    if rate["tar"] is None:
        return f"needs {rate['pairs_needed']:,} pairs"
    return f"{percent(rate['tar'], 1)} ({interval(rate['low'], rate['high'])})"


def identification(found: Found) -> Table:
    """Rank 1 and true positive rates, a row a task and run: raw, then cleaned of the listed noise."""
    runs = list(_runs(found.get("identification", {})))
    keys = sorted(
        {key for _, each in runs for key in each if key.startswith("tpr@")}, key=_rate_of, reverse=True
    )
    header = (
        "Features",
        "Rank 1",
        "95 % interval",
        "Rank 10",
        *(f"TPR at FPR {key[4:]}" for key in keys),
        "Pairs",
        "Probes",
        "Distractors",
        "Failures",
    )
    note = (
        "Every probe looks for each of its mates, other photos of the same person, among all distractors; rank 1 is how "
        "often the mate scores above every one of them. Raw, and cleaned of the noise that is listed."
    )
    return Table(header, tuple(_identification(name, each, keys) for name, each in runs), note)


def _runs(tasks: Mapping[str, Found]) -> Iterator[tuple[str, Found]]:
    for name, runs in tasks.items():
        for run in sorted(runs, reverse=True):  # raw before cleaned
            yield f"{name}, {run}", runs[run]


def _rate_of(key: str) -> float:
    return float(key.removeprefix("tpr@"))


def _identification(name: str, values: Found, keys: Sequence[str]) -> tuple[str, ...]:
    bands = values.get("interval", {})
    rank1 = bands.get("rank1", {})
    failures = values.get("probe_failures", 0) + values.get("distractor_failures", 0)
    return (
        name,
        percent(values["rank1"]),
        interval(rank1.get("lo"), rank1.get("hi")),
        percent(values.get("rank10")),
        *(_banded(values.get(key), bands.get(key, {})) for key in keys),
        *(count(values.get(key)) for key in ("pairs", "probes", "distractors")),
        count(failures),
    )


def _banded(value: float | None, band: Found) -> str:
    shown = percent(value, 1)
    return f"{shown} ({interval(band['lo'], band['hi'])})" if band else shown


def noise(found: Found) -> Table:
    """How much of the listed noise was found among the features."""
    header = ("Noise", "Probes listed", "found", "Distractors listed", "found")
    keys = ("probes_listed", "probes_matched", "distractors_listed", "distractors_matched")
    rows = (
        (name, *(count(each["noise"].get(key)) for key in keys))
        for name, each in found.get("denoise", {}).items()
    )
    return Table(header, tuple(rows))


def training(found: Found, differences: Mapping[str, float]) -> Table:
    """What each network was trained on and what came of it; `differences` are those of torch and ONNX."""
    header = ("Network", "Faces", "Identities", "Epochs", "Last loss", "Last accuracy", "Torch against ONNX")
    rows = tuple(
        (
            name,
            *(count(each.get(key)) for key in ("images", "identities", "epochs")),
            number(each.get("train_loss")),
            percent(each.get("train_accuracy")),
            f"{differences[name]:.1g}" if name in differences else NONE,
        )
        for name, each in found.get("train", {}).items()
    )
    note = (
        "Accuracy is the share of training faces nearest to the centre of their own class. The last column is the "
        "largest difference between two values of an embedding."
    )
    return Table(header, rows, note)


def enrolment(found: Found) -> Table:
    """What was detected and aligned, a row a photo set."""
    header = (
        "Photo set",
        "Photos",
        "With a face",
        "Several faces",
        "Faces kept",
        "By fallback",
        "Left out",
        "Identities",
        "Score, 5th percentile",
        "Off the template, median",
    )
    rows = []
    for name, each in found.get("align", {}).items():
        seen = found.get("detect", {}).get(name, {})
        residual = each.get("residual_median")
        rows.append(
            (
                name,
                count(each.get("photos")),
                count(seen.get("with_face")),
                count(seen.get("several_faces")),
                f"{count(each.get('faces'))} ({percent(each.get('enrolled'))})",
                count(each.get("fallbacks")),
                count(each.get("failures")),
                count(each.get("identities") or None),
                number(each.get("score_p05")),
                NONE if residual is None else f"{residual:.2f} px",
            )
        )
    note = "A fallback is a face that the first rung did not give: found in a padded view, annotated, or cut blindly."
    return Table(header, tuple(rows), note)
