"""Bootstrap over identities: weights, shares and percentiles against plain loops."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facerec.evaluation.statistics import bootstrap


def test_every_trial_draws_as_many_as_there_are() -> None:
    weights = bootstrap.identity_weights(40, 500, seed=3)
    assert weights.shape == (500, 40)
    assert np.all(weights.sum(axis=1) == 40)
    assert np.array_equal(weights, bootstrap.identity_weights(40, 500, seed=3))
    assert not np.array_equal(weights, bootstrap.identity_weights(40, 500, seed=4))
    assert weights.var() == pytest.approx(1 - 1 / 40, rel=0.05)  # multinomial


def test_a_pair_counts_as_often_as_its_people_were_drawn() -> None:
    weights = [[0, 1, 2], [3, 0, 0]]
    pairs = bootstrap.pair_weights(weights, [1, 1, 2, 0], [2, 1, 2, 0])
    assert pairs.tolist() == [[2, 1, 2, 0], [0, 0, 0, 3]]


def test_shares_equal_a_count_of_the_drawn_people() -> None:
    rng = np.random.default_rng(0)
    hits, totals = rng.integers(0, 5, size=(6, 3)), np.full(6, 5)
    weights = bootstrap.identity_weights(6, 20, seed=1)
    found = bootstrap.weighted_shares(weights, hits, totals)
    for row, weight in zip(found, weights, strict=True):
        drawn = np.repeat(np.arange(6), weight.astype(int))
        assert row == pytest.approx(hits[drawn].sum(axis=0) / totals[drawn].sum())
    assert bootstrap.weighted_shares(weights, hits[:, 0], totals) == pytest.approx(found[:, 0])


def test_a_trial_without_cases_does_not_count() -> None:
    found = bootstrap.weighted_shares([[2, 0], [0, 2]], [3, 0], [4, 0])
    assert found[0] == 0.75
    assert np.isnan(found[1])
    assert bootstrap.percentile_interval(found) == (0.75, 0.75)


def test_the_interval_holds_its_level() -> None:
    values = np.arange(1001)[:, None] * [1, 10]
    low, high = bootstrap.percentile_interval(values)
    assert np.allclose([low, high], [[25, 250], [975, 9750]])


def test_a_statistic_of_no_points_has_no_interval() -> None:
    low, high = bootstrap.percentile_interval(np.empty((50, 0)))
    assert low.shape == high.shape == (0,)


def test_statistics_load_neither_benchmarks_nor_reporting() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, facerec.evaluation.statistics.significance; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "facerec.evaluation.statistics.bootstrap" in loaded
    others = ("facerec.evaluation.identification", "facerec.evaluation.verification", "facerec.reporting", "torch")
    assert not [name for name in loaded if name.startswith(others)]


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    """Trials of millions of pairs are weighed one at a time."""
    rng = np.random.default_rng(6)
    first, second = rng.integers(0, 30, (2, 500))
    values = rng.normal(size=(500, 3))

    def run(changes):
        return changes(lambda weights: (weights[:, :, None] * values).sum(axis=1), first, second, 30, seed=2)

    whole = [run(each) for each in (bootstrap.pair_trials, bootstrap.pair_changes)]
    assert np.array_equal(np.concatenate([*bootstrap.draw_identities(9, 7, 1, 3)]), bootstrap.identity_weights(9, 7, 1))
    monkeypatch.setattr(bootstrap, "_WEIGHTS", 1000)
    for before, after in zip(
        whole, [run(each) for each in (bootstrap.pair_trials, bootstrap.pair_changes)], strict=True
    ):
        assert np.array_equal(before, after)
