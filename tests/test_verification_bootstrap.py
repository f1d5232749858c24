"""Intervals by bootstrap over identities: right on known cases, seeded, and wider where pairs share people."""

from __future__ import annotations

import numpy as np
import pytest

from facerec.core import FormatError, ParamsError
from facerec.evaluation.verification import evaluate
from facerec.evaluation.verification.intervals import bootstrap_intervals


def world(people: int, seed: int = 0, noise: float = 1.1) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Pairs among a few people, five same and five different ones a person, in random order."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 8)) * rng.uniform(0.3, 2, size=(people, 1))
    first = np.repeat(np.arange(people), 10)
    same = np.tile(np.arange(10) < 5, people)
    second = np.where(same, first, (first + rng.integers(1, people, len(first))) % people)
    order = rng.permutation(len(first))
    first, second, same = first[order], second[order], same[order]
    rows = centres[np.stack([first, second], 1).ravel()] + noise * rng.normal(size=(2 * len(first), 8))
    return rows, same, [f"p{k}" for k in first], [f"p{k}" for k in second]


def test_intervals_hold_the_figures_and_are_seeded():
    rows, same, first, second = world(40)
    result = evaluate(rows, same, fars=(0.1, 0.01))
    found = bootstrap_intervals(result, first, second, trials=300, seed=7)
    assert found.unit == "identities"
    assert found.accuracy[0] < result.accuracy < found.accuracy[1]
    assert found.auc[0] < result.auc < found.auc[1]
    assert found.eer[0] < result.eer < found.eer[1]
    assert set(found.tar) == {0.1, 0.01}
    again = bootstrap_intervals(result, first, second, trials=300, seed=7)
    assert (again.accuracy, again.tar) == (found.accuracy, found.tar)
    assert bootstrap_intervals(result, first, second, trials=300, seed=8).accuracy != found.accuracy


def test_the_band_holds_the_curve():
    rows, same, first, second = world(40)
    result = evaluate(rows, same)
    found = bootstrap_intervals(result, first, second, trials=300)
    curve = result.tpr[np.searchsorted(result.fpr, found.fpr, side="right") - 1]
    assert np.mean((found.tpr_low <= curve) & (curve <= found.tpr_high)) > 0.95
    assert (np.diff(found.tpr_low) >= 0).all()


def test_pairs_of_shared_people_give_wider_intervals_than_pairs_taken_alone():
    rows, same, first, second = world(12)
    result = evaluate(rows, same)
    people = bootstrap_intervals(result, first, second, trials=500)
    alone = bootstrap_intervals(result, [""] * len(same), [""] * len(same), trials=500)
    assert alone.unit == "pairs"
    assert np.ptp(people.accuracy) > np.ptp(alone.accuracy)


def test_pairs_alone_agree_with_the_binomial():
    rows, same, _, _ = world(200, noise=1.3)
    result = evaluate(rows, same, folds=2)
    found = bootstrap_intervals(result, [""] * len(same), [""] * len(same), trials=2000)
    spread = 1.96 * np.sqrt(result.accuracy * (1 - result.accuracy) / len(same))
    assert np.ptp(found.accuracy) / 2 == pytest.approx(spread, rel=0.1)


def test_a_weighted_curve_equals_the_curve_of_repeated_pairs(monkeypatch):
    rows, same, first, second = world(10)
    result = evaluate(rows, same, fars=(0.2,))
    counts = np.random.default_rng(3).integers(0, 3, len(same)).astype(float)
    monkeypatch.setattr("facerec.evaluation.statistics.bootstrap.pair_weights", lambda *_: np.tile(counts, (2, 1)))
    monkeypatch.setattr("facerec.evaluation.statistics.bootstrap.draw_identities", lambda *_: iter([np.zeros((2, 1))]))
    found = bootstrap_intervals(result, first, second, trials=2)
    repeats = np.repeat(np.arange(len(same)), counts.astype(int))
    pairs = rows.reshape(len(same), 2, -1)[repeats]
    repeated = evaluate(pairs.reshape(2 * len(repeats), -1), same[repeats], fars=(0.2,))
    assert found.auc[0] == pytest.approx(repeated.auc)
    assert found.eer[0] == pytest.approx(repeated.eer)
    exact = repeated.tpr[np.searchsorted(repeated.fpr, 0.2 * (1 + 1e-12), side="right") - 1]
    assert found.tar[0.2][0] == pytest.approx(exact)


def test_no_errors_still_leave_doubt():
    rows, same, first, second = world(20, noise=0.001)
    result = evaluate(rows, same)
    assert result.accuracy == 1
    low, high = bootstrap_intervals(result, first, second, trials=50).accuracy
    assert 0.97 < low < 1 <= high


def test_a_missing_face_of_a_same_pair_is_the_known_person():
    rows, same, first, second = world(12)
    result = evaluate(rows, same)
    holes = [name if k % 7 else "" for k, name in enumerate(first)]
    assert bootstrap_intervals(result, holes, second, trials=10).unit == "identities"


def test_what_does_not_fit_is_refused():
    rows, same, first, second = world(5)
    result = evaluate(rows, same)
    with pytest.raises(FormatError, match="need as many names"):
        bootstrap_intervals(result, first[1:], second, trials=10)
    with pytest.raises(ParamsError, match="at least 2 trials"):
        bootstrap_intervals(result, first, second, trials=1)
