"""Tables of a benchmark by groups of people, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facerec.core import rate_name
from facerec.reporting.formatting import UNKNOWN, Row, Table, as_count, as_interval, as_percent

Found = Mapping[str, Any]
"""What `facerec.evaluation.verification.slices.slice_pairs` gives; keys whose value is None may be missing."""


def slice_tables(benchmark: str, found: Found) -> list[Table]:
    """A table for each attribute of a benchmark, a row for each group."""
    return [_table(benchmark, found, name, column) for name, column in found["columns"].items()]


def _table(benchmark: str, found: Found, name: str, column: Found) -> Table:
    rows = [_row(benchmark, name, group, values) for group, values in column["groups"].items()]
    across = column["across"]
    counts = {
        "genuine": across["genuine"],
        "impostor": across["impostor"],
        "false_accepts": across.get("false_accepts"),
    }
    rows.append(_row(benchmark, name, "two groups", counts))
    return Table.from_rows(rows, " ".join(_notes(found, name, column)))


def _row(benchmark: str, name: str, group: str, values: Found) -> Row:
    measured = [
        (title, _cell(values, metric)) for title, metric in (("Accuracy", "accuracy"), ("TAR", "tar"), ("FMR", "fmr"))
    ]
    kinds = (("People", "people"), ("Genuine", "genuine"), ("Impostor", "impostor"), ("False matches", "false_accepts"))
    return [(f"{benchmark} by {name}", group), *((title, as_count(values.get(key))) for title, key in kinds), *measured]


def _cell(values: Found, metric: str) -> str:
    """A share and its interval."""
    if values.get(metric) is None:
        return UNKNOWN
    return f"{as_percent(values[metric])} ({as_interval(values[f'{metric}_low'], values[f'{metric}_high'])})"


def _notes(found: Found, name: str, column: Found) -> list[str]:
    """What the numbers hold fixed, what is left out, which group is worst, and which are too small."""
    rate = rate_name(found["far"])
    notes = [
        f"One threshold for all groups: that of the benchmark for accuracy, and the one at FAR {rate} of all impostor pairs for "
        f"TAR and FMR; intervals draw {found['interval_over']} and hold both fixed. A group has the pairs with both photos in "
        f"it; {column['unlabelled']:,} pairs have a photo without a group."
    ]
    if found.get("threshold_at_far") is None:
        notes.append(f"FAR {rate} needs {found['pairs_needed']:,} impostor pairs, so there is no TAR and FMR.")
    if column.get("contradictory"):
        notes.append(f"{column['contradictory']:,} contradictory labels of {name} count as unknown.")
    for metric, title in (("tar", "TAR"), ("fmr", "FMR")):
        worst = column.get("worst", {}).get(metric)
        if worst:
            gap, low, high = (100 * worst[key] for key in ("gap", "gap_low", "gap_high"))
            points = f"{gap:.2f} points ({low:.2f} to {high:.2f})"
            notes.append(f"Worst by {title}: {worst['group']}, {points} from {worst['best']}.")
    notes += _ratio(column.get("fmr_ratio"))
    small = {group: each["lacking"] for group, each in column["groups"].items() if each.get("lacking")}
    return notes + [f"{group} has too few for some rates: {lacking}." for group, lacking in small.items()]


def _ratio(ratio: Found | None) -> list[str]:
    if not ratio:
        return []
    if ratio.get("ratio") is None:
        return [f"FMR has no ratio, since {ratio['lowest']} has no false match."]
    high = f"{ratio['ratio_high']:.1f}" if ratio.get("ratio_high") is not None else "any number"
    return [
        f"FMR of {ratio['highest']} is {ratio['ratio']:.1f} times that of {ratio['lowest']} ({ratio['ratio_low']:.1f} to {high})."
    ]
