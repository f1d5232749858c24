"""The numbers of the default experiment in README.md are those that reports/summary.json has, to the digit."""

from __future__ import annotations

import json

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SUMMARY = json.loads((ROOT / "reports/summary.json").read_text(encoding="utf-8"))


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def test_accuracies() -> None:
    for name in ("synth_lfw", "synth_agedb", "synth_cfp"):
        found = SUMMARY[name]
        cells = [
            f"{percent(found['accuracy'], 2)} ± {percent(found['accuracy_std'], 2)} %",
            f"{percent(found['accuracy_low'])} to {percent(found['accuracy_high'])} %",
            f"{percent(found['tar'])} %",
            f"{found['auc']:.3f}",
        ]
        (row,) = (line for line in README.splitlines() if line.startswith(f"| `{name}`"))
        assert [cell.strip() for cell in row.split("|")][3:-2] == cells  # the last ones are over five seeds


def test_rank_one() -> None:
    found = SUMMARY["synth_megaface"]
    raw, cleaned = (
        f"{percent(found[key])} % ({percent(found[f'{key}_low'])} to {percent(found[f'{key}_high'])})"
        for key in ("rank1_raw", "rank1")
    )
    assert f"| rank-1 | {raw} | {cleaned} |" in README


def test_intervals_are_narrow() -> None:
    for name in ("synth_lfw", "synth_agedb", "synth_cfp"):
        found = SUMMARY[name]
        assert found["accuracy_high"] - found["accuracy"] <= 0.03
        assert found["accuracy"] - found["accuracy_low"] <= 0.03
