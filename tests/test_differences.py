"""Differences of two runs: p-values that invert their intervals, Holm's correction, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec.core import ParamsError
from facerec.evaluation.statistics import significance
from facerec.evaluation.statistics.significance import RunComparison, Trials


def test_a_p_value_counts_the_rarer_side_twice_and_one_more() -> None:
    assert significance.p_value(np.r_[np.full(97, 0.2), [-0.1, 0.0]]) == 2 * 3 / 100
    assert significance.p_value(np.ones(999)) == 2 / 1000
    assert significance.p_value(np.zeros(99)) == 1
    assert significance.p_value([1.0, np.nan, 1.0, 1.0]) == 2 / 4


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_a_p_value_has_no_side(drawn: list[float]) -> None:
    values = np.array(drawn)
    p = significance.p_value(values)
    assert 1 / (len(values) + 1) <= p <= 1
    assert significance.p_value(-values) == p


def test_the_interval_leaves_out_zero_where_p_is_small() -> None:
    rng = np.random.default_rng(0)
    for shift in np.linspace(-4, 4, 81):
        found = significance.summarise_difference(0.5, 0.5 + shift, shift + rng.normal(size=999), 0.95)
        apart = found.low > 0 or found.high < 0
        assert apart == (found.p < 0.05) or found.p == pytest.approx(0.05, abs=0.006)


def test_holm_as_in_his_paper() -> None:
    assert significance.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert significance.holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert significance.holm({}) == {}


@pytest.mark.parametrize(
    ("change", "p", "equal", "expected"),
    [
        (0.1, 0.04, False, "better"),
        (-0.1, 0.04, False, "worse"),
        (0.1, 0.06, False, "no difference shown"),
        (0.0, 1.0, True, "identical"),
    ],
)
def test_verdicts(change: float, p: float, equal: bool, expected: str) -> None:
    figure = significance.Difference(0.5, 0.5 + change, 0, 0, p)
    found = RunComparison("rank1", {"rank1": figure}, 10, "identities", 5, equal)
    assert significance.run_verdict(found, p, 0.95) == expected


@pytest.mark.parametrize("wrong", [{"count": 99}, {"level": 1.0}, {"level": 95}, {"seed": -1}])
def test_trials_that_make_no_test_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParamsError):
        Trials(**wrong)  # type: ignore[arg-type]
