"""Headline numbers and tables of a run, as text: what the page and the cards show of its metrics.

`found` is always all metrics of the run, as `facerec.reporting.summary.collect_metrics` nests them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facerec.core import rate_name
from facerec.reporting.formatting import UNKNOWN, Row, Table, as_count, as_interval, as_number, as_percent

Found = Mapping[str, Any]


@dataclass(frozen=True)
class HeadlineNumber:
    """A number at the top of the page.

    Attributes:
        title: the benchmark it belongs to.
        value: as text.
        label: the name of the metric.
        place, interval: the value and its 95 % interval as shares of 1, for the bar below it.
        notes: lines below the bar.
    """

    title: str
    value: str
    label: str
    place: float
    interval: tuple[float, float] | None
    notes: tuple[str, ...]


def headline_numbers(found: Found) -> list[HeadlineNumber]:
    """Accuracy of each benchmark, rank 1 of each identification task, and the share of photos that gave a face."""
    numbers = [_accuracy(name, each) for name, each in found.get("verification", {}).items()]
    numbers += [_rank1(name, runs) for name, runs in found.get("identification", {}).items()]
    aligned = found.get("align", {}).values()
    photos, faces, fallbacks = (sum(each[key] for each in aligned) for key in ("photos", "faces", "fallbacks"))
    if photos:
        lost = f"{as_count(photos - faces)} of {as_count(photos)} gave none"
        notes = (f"{lost}, {as_count(fallbacks)} only by a fallback",)
        share = faces / photos
        numbers.append(HeadlineNumber("All photos", as_percent(share), "gave a face", share, None, notes))
    return numbers


def _accuracy(name: str, values: Found) -> HeadlineNumber:
    accuracy, low, high = (values[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
    notes = [f"95 % interval {as_interval(low, high)}"]
    if values["tar_supported"]:
        within = as_interval(values["tar_low"], values["tar_high"])
        notes.append(f"TAR {as_percent(values['tar'], 1)} at FAR {rate_name(values['far_target'])} ({within})")
    notes += _doubt(values)
    return HeadlineNumber(name, as_percent(accuracy), "accuracy", accuracy, (low, high), tuple(notes))


def _rank1(name: str, runs: Found) -> HeadlineNumber:
    cleaned, raw = runs["cleaned"], runs["raw"]
    band = cleaned.get("interval", {}).get("rank1")
    interval = (band["lo"], band["hi"]) if band else None
    notes = [f"95 % interval {as_interval(*interval)}"] if interval else []
    count, rank1 = as_count(cleaned["distractors"]), cleaned["rank1"]
    notes.append(f"among {count} distractors, {as_percent(raw['rank1'])} before noise removal")
    notes += _doubt(cleaned)
    return HeadlineNumber(name, as_percent(rank1), "rank 1", rank1, interval, tuple(notes))


def _doubt(values: Found) -> list[str]:
    """The reason why the numbers of a benchmark may say nothing (`facerec.evaluation.doubts`), where there is one."""
    return [f"Doubtful: {values['doubt']}."] if values.get("doubt") else []


def _doubts(rows: Mapping[str, Found]) -> str:
    """Those of all rows of a table, to be put behind its note."""
    return "".join(f" {name} is doubtful: {values['doubt']}." for name, values in rows.items() if values.get("doubt"))


def verification_table(found: Found) -> Table:
    """Accuracy and the true accept rate at the headline false accept rate; one row for each benchmark."""
    benchmarks = found.get("verification", {})
    targets = sorted({each["far_target"] for each in benchmarks.values()})
    tar = f"TAR at FAR {' or '.join(map(rate_name, targets))}"
    note = (
        "Accuracy is the mean over folds ± their spread, each fold's threshold being set on the others; the threshold "
        f"shown is their mean. Intervals come from resampling {_units(benchmarks)}. Failures are pairs with a face "
        "that was not found; a genuine pair among them counts as an error. Repeated pairs compare the same two embeddings "
        "as another pair, or one with itself."
    )
    rows = [_verification_row(name, each, tar) for name, each in benchmarks.items()]
    return Table.from_rows(rows, note + _doubts(benchmarks))


def note_on_folds(found: Found) -> str:
    """Which benchmarks show people in several folds, or may do so; nothing where all folds are known to be apart."""
    benchmarks = found.get("verification", {})
    notes = [
        f"{each['people_in_several_folds']:,} of the {each['people']:,} people of {name} are in several folds, so that a "
        "threshold also judges people it was chosen on, which flatters the accuracy."
        for name, each in benchmarks.items()
        if each.get("people_in_several_folds")
    ]
    unknown = [name for name, each in benchmarks.items() if "people" not in each]
    if unknown:
        notes.append(
            f"Whether folds of {' or '.join(unknown)} have people in common is unknown: the photos have no names."
        )
    return " ".join(notes)


def _units(benchmarks: Mapping[str, Found]) -> str:
    units = {each.get("interval_over", "pairs") for each in benchmarks.values()}
    return "identities, or pairs where the people in them are unknown" if len(units) > 1 else "".join(units)


def _verification_row(name: str, values: Found, tar: str) -> Row:
    return [
        ("Benchmark", name),
        ("Accuracy", f"{100 * values['accuracy']:.2f} ± {as_percent(values['accuracy_std'])}"),
        ("95 % interval", as_interval(values.get("accuracy_low"), values.get("accuracy_high"))),
        (tar, as_percent(values["tar"], 1) if values["tar_supported"] else _lacking(values["tar_pairs_needed"])),
        ("95 % interval", as_interval(values.get("tar_low"), values.get("tar_high"))),
        ("AUC", as_number(values.get("auc"))),
        ("EER", as_percent(values.get("eer"))),
        ("Threshold", as_number(values.get("threshold"))),
        ("Pairs", as_count(values.get("pairs"))),
        ("Repeated", as_percent(values.get("repeated_pairs"), 1)),
        ("People", as_count(values.get("people"))),
        ("Failures", as_count(values.get("failures"))),
    ]


def rates_table(details: Mapping[str, Found]) -> Table:
    """True accept rates with intervals, from the details.json of each benchmark.

    The columns are false accept rates, down to the first for which no benchmark has enough pairs.
    """
    by_target = {name: {rate["far"]: rate for rate in each["rates"]} for name, each in details.items()}
    rates = [rate for each in details.values() for rate in each["rates"]]
    targets = sorted({rate["far"] for rate in rates}, reverse=True)
    supported = {rate["far"] for rate in rates if rate["tar"] is not None}
    shown = targets[: len(supported) + 1]
    rows = ((name, *(_rate_cell(each.get(target)) for target in shown)) for name, each in by_target.items())
    return Table(("TAR at FAR", *map(rate_name, shown)), tuple(rows))


def _rate_cell(rate: Found | None) -> str:
    if rate is None:
        return UNKNOWN
    if rate["tar"] is None:
        return _lacking(rate["pairs_needed"])
    return f"{as_percent(rate['tar'], 1)} ({as_interval(rate['low'], rate['high'])})"


def _lacking(pairs: int) -> str:
    """In place of a rate that needs so many impostor pairs to be measured."""
    return f"needs {pairs:,} pairs"


def identification_table(found: Found) -> Table:
    """Rank 1 and true positive rates; for each task a row with the listed noise and a row without."""
    tasks = found.get("identification", {})
    runs = {f"{name}, {run}": each[run] for name, each in tasks.items() for run in ("raw", "cleaned")}
    keys = {key.removeprefix("tpr@") for each in runs.values() for key in each if key.startswith("tpr@")}
    fprs = sorted(keys, key=float, reverse=True)
    note = (
        "Every probe looks for each of its mates, other photos of the same person, among all distractors; rank 1 is how "
        "often the mate scores above every one of them. Raw, and cleaned of the noise that is listed."
    )
    rows = [_identification_row(name, each, fprs) for name, each in runs.items()]
    return Table.from_rows(rows, note + _doubts(runs))


def _identification_row(name: str, values: Found, fprs: Sequence[str]) -> Row:
    bands = values.get("interval", {})
    rank1 = bands.get("rank1", {})
    failures = values.get("probe_failures", 0) + values.get("distractor_failures", 0)
    rates = [(fpr, values.get(f"tpr@{fpr}"), bands.get(f"tpr@{fpr}", {})) for fpr in fprs]
    return [
        ("Features", name),
        ("Rank 1", as_percent(values["rank1"])),
        ("95 % interval", as_interval(rank1.get("lo"), rank1.get("hi"))),
        ("Rank 10", as_percent(values.get("rank10"))),
        *((f"TPR at FPR {fpr}", _rate_with_band(rate, band)) for fpr, rate, band in rates),
        *((who.capitalize(), as_count(values.get(who))) for who in ("pairs", "people", "probes", "distractors")),
        ("Failures", as_count(failures)),
    ]


def _rate_with_band(value: float | None, band: Found) -> str:
    shown = as_percent(value, 1)
    return f"{shown} ({as_interval(band['lo'], band['hi'])})" if band else shown


def noise_table(found: Found) -> Table:
    """How many photos of the noise lists were found among the features."""
    keys = ("probes_listed", "probes_matched", "distractors_listed", "distractors_matched")
    noise = {name: each["noise"] for name, each in found.get("denoise", {}).items()}
    rows = tuple((name, *(as_count(each.get(key)) for key in keys)) for name, each in noise.items())
    return Table(("Noise", "Probes listed", "found", "Distractors listed", "found"), rows)


def openset_table(found: Found) -> Table:
    """Rates of open-set protocols, mean and deviation over their trials; one row for each task."""
    tasks = found.get("openset", {})
    keys = {key for each in tasks.values() for key in each if "@" in key and not key.endswith("_std")}
    shown = sorted(keys, key=lambda key: (key.split("@")[0] == "dir", -float(key.split("@")[1])))
    note = (
        "VR is the share of all pairs of one person that a threshold accepts which lets that share of the pairs of two "
        "people pass. DIR is the share of the probes of enrolled people whose own person scores highest and above a "
        "threshold that lets that share of the unknown probes pass. Rank 1 needs no threshold. Mean ± standard deviation "
        "over the trials; the photos and people are the same in all trials, so the deviation says nothing about others."
    )
    rows = [_openset_row(name, each, shown) for name, each in tasks.items()]
    return Table.from_rows(rows, note + _doubts(tasks))


def _openset_row(name: str, values: Found, shown: Sequence[str]) -> Row:
    titles = {key: key.replace("@", " at FAR ").replace("vr", "VR").replace("dir", "DIR") for key in shown}
    return [
        ("Task", name),
        ("Protocol", values["protocol"]),
        *((title, _over_trials(values, key)) for key, title in titles.items()),
        ("Rank 1", _over_trials(values, "closed_rank1")),
        *((key.capitalize(), as_count(values.get(key))) for key in ("trials", "failures")),
    ]


def _over_trials(values: Found, key: str) -> str:
    if key not in values:
        return UNKNOWN
    deviation = f" ± {as_percent(values[f'{key}_std'])}" if values["trials"] > 1 else " %"
    return f"{100 * values[key]:.2f}{deviation}"


def training_table(found: Found) -> Table:
    """Training data and last epoch of each network."""
    rows = [
        [
            ("Network", name),
            ("Faces", as_count(each.get("images"))),
            *((key.capitalize(), as_count(each.get(key))) for key in ("identities", "epochs")),
            ("Last loss", as_number(each.get("train_loss"))),
            ("Last accuracy", as_percent(each.get("train_accuracy"))),
        ]
        for name, each in found.get("train", {}).items()
    ]
    return Table.from_rows(rows, "Accuracy is the share of training faces nearest to the centre of their own class.")


def alignment_table(found: Found) -> Table:
    """Results of detection and alignment; one row for each photo set."""
    sets = found.get("align", {}).items()
    rows = [_alignment_row(name, each, found.get("detect", {}).get(name, {})) for name, each in sets]
    note = (
        "A fallback is a face that the first of align.fallbacks did not give: found in a padded view, annotated, or cut "
        "blindly."
    )
    return Table.from_rows(rows, note)


def _alignment_row(name: str, aligned: Found, detected: Found) -> Row:
    residual = aligned.get("residual_median")
    return [
        ("Photo set", name),
        ("Photos", as_count(aligned.get("photos"))),
        ("With a face", as_count(detected.get("with_face"))),
        ("Several faces", as_count(detected.get("several_faces"))),
        ("Faces kept", f"{as_count(aligned.get('faces'))} ({as_percent(aligned.get('enrolled'))})"),
        ("By fallback", as_count(aligned.get("fallbacks"))),
        ("Left out", as_count(aligned.get("failures"))),
        ("Identities", as_count(aligned.get("identities") or None)),
        ("Score, 5th percentile", as_number(aligned.get("score_p05"))),
        ("Off the template, median", UNKNOWN if residual is None else f"{residual:.2f} px"),
    ]
