"""Two runs side by side: what terminals, Markdown and JSON show."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from facerec.evaluation.statistics.significance import Difference, RunComparison, Trials
from facerec.reporting import comparison
from facerec.reporting.comparison import ComparisonReport

BENCHMARKS = {
    "synth_agedb": RunComparison(
        "accuracy",
        {
            "accuracy": Difference(0.81, 0.79, -0.1234, 0.1011, 0.32),
            "tar@1e-2": Difference(0.3, 0.5, 0.01, 0.2, 0.0004),
            "auc": Difference(0.9, 0.90001, -0.1, 0.1, 0.5),
            "eer": Difference(0.1, 0.1, 0.0, 0.0, 1.0),
        },
        300,
        "pairs",
        300,
        False,
    ),
    "synth_megaface": RunComparison(
        "rank1",
        {
            "rank1": Difference(0.4, 0.5, 0.03, 0.1, 0.002),
            "tpr@1e-4": Difference(0.3, 0.2, -0.2, -0.01, 0.03),
            "rank1_raw": Difference(1.0, 0.0, -1.0, -1.0, 0.002),
        },
        153_634,
        "identities",
        80,
        False,
    ),
}
REPORT = ComparisonReport(
    "main", "a-name-too-long-for-a-column", Trials(), BENCHMARKS, {"synth_cfp": "only main has it"}
)


def drawn(report: ComparisonReport, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(comparison.terminal_tables(report))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_verdict_hangs_on_the_headline_and_on_how_many_are_looked_at() -> None:
    assert REPORT.adjusted == {"synth_agedb": 0.32, "synth_megaface": 0.004}
    assert REPORT.verdict("synth_agedb") == "no difference shown"  # whatever became of TAR
    assert REPORT.verdict("synth_megaface") == "better"


def test_identical_runs_need_no_correction() -> None:
    equal = replace(BENCHMARKS["synth_agedb"], equal=True)
    report = ComparisonReport("a", "b", Trials(), {**BENCHMARKS, "synth_agedb": equal}, {})
    assert report.adjusted == {"synth_agedb": 0.32, "synth_megaface": 0.002}
    assert report.verdict("synth_agedb") == "identical"


def test_one_reason_is_told_once() -> None:
    assert comparison.omission_reasons({"a": "old", "b": "new", "c": "old"}) == ["a, c: old", "b: new"]


def test_a_terminal_of_80_columns_shows_all() -> None:
    lines = drawn(REPORT, 80)
    told = " ".join(lines[1].split())
    assert told == "synth_agedb no difference shown 300 pairs, people unknown 0.320 0.320"
    (accuracy,) = [line for line in lines if line.startswith("  accuracy")]
    assert accuracy.split() == ["accuracy", "81.00", "79.00", "-2.00", "-12.34", "to", "+10.11", "0.320"]
    assert any("a-name-too-l…" in line for line in lines)
    text = " ".join(lines)
    assert "  TAR at FAR 1e-2  30.00" in text
    assert "<0.001" in text
    assert "Not compared: synth_cfp: only main has it." in text
    assert "Holm's correction" in text
    assert "Where the people are unknown" in text


def test_markdown_is_two_tables_and_remarks() -> None:
    text = comparison.markdown_tables(REPORT)
    assert "| synth_megaface | better | 153,634 pairs, 80 people | 0.002 | 0.004 |" in text
    assert "| benchmark | metric | main | a-name-too-long-for-a-column | difference | 95 % interval | p |" in text
    assert "| synth_agedb | AUC | 90.00 | 90.00 | 0.00 | -10.00 to +10.00 | 0.500 |" in text
    assert "| synth_megaface | TPR at FPR 1e-4 | 30.00 | 20.00 | -10.00 | -20.00 to -1.00 | 0.030 |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| synth")}
    assert widths == {6, 8}
    renamed = comparison.markdown_tables(ComparisonReport("a|b", "c", Trials(level=0.9), BENCHMARKS, {}))
    assert r"| a\|b | c | difference | 90 % interval |" in renamed


def test_json_holds_everything() -> None:
    found = json.loads(json.dumps(comparison.comparison_as_json(REPORT)))
    assert (found["first"], found["count"], found["level"]) == ("main", 1000, 0.95)
    assert found["omitted"] == {"synth_cfp": "only main has it"}
    task = found["benchmarks"]["synth_megaface"]
    assert (task["verdict"], task["p_holm"], task["pairs"], task["units"]) == ("better", 0.004, 153_634, 80)
    assert task["metrics"]["rank1"] == {
        "first": 0.4,
        "second": 0.5,
        "low": 0.03,
        "high": 0.1,
        "p": 0.002,
        "difference": pytest.approx(0.1),
    }


def test_one_benchmark_needs_no_correction() -> None:
    alone = ComparisonReport("a", "b", Trials(), {"synth_megaface": BENCHMARKS["synth_megaface"]}, {})
    text = " ".join(drawn(alone, 120))
    assert "together" not in text
    assert "nobody is named" not in text
