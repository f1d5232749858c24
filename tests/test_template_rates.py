"""Rates over template pairs: both readings equal brute force over every point of the curve, ties and extremes included."""

from __future__ import annotations

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.evaluation.templates import SortedScores
from facerec.evaluation.templates import rates as template_rates

FARS = (1e-6, 1e-4, 1e-3, 0.01, 0.02, 0.1, 0.3)


def every_point(scores: np.ndarray, same: np.ndarray) -> list[tuple[float, float, float]]:
    """(false accept rate, true accept rate, threshold) when all scores from each distinct one on are accepted."""
    found = [(0.0, 0.0, np.inf)]
    for value in np.unique(scores)[::-1]:
        accepted = scores >= value
        found.append((np.mean(accepted[~same]), np.mean(accepted[same]), value))
    return found


def kept_points(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of scikit-learn's `roc_curve`, in its way: one sort of all scores, then second differences."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    tps = np.cumsum(same[order])[ends]
    fps = 1 + ends - tps
    chosen = np.arange(len(ends))
    if len(ends) > 2:
        chosen = np.flatnonzero(np.concatenate([[True], (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0), [True]]))
    values = np.append(np.inf, scores[order][ends][chosen])
    fps, tps = np.append(0, fps[chosen]), np.append(0, tps[chosen])
    return fps / fps[-1], tps / tps[-1], values


def insightface_table(scores: np.ndarray, same: np.ndarray, far: float) -> tuple[float, float, float]:
    fpr, tpr, values = (np.flipud(each) for each in kept_points(scores, same))
    _, index = min(zip(abs(fpr - far), range(len(fpr)), strict=True))
    return fpr[index], tpr[index], values[index]


def made_up(seed: int, decimals: int | None, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 600))
    same = rng.random(count) < rng.uniform(0.02, 0.9)
    same[:2] = True, False
    scores = rng.normal(size=count) + rng.uniform(0, 4) * same
    return (scores if decimals is None else scores.round(decimals)).astype(dtype), same


CASES = [
    (seed, decimals, dtype) for seed in range(40) for decimals in (None, 1, 0) for dtype in (np.float64, np.float32)
]


def test_both_readings_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_rates, "_WINDOW", 3)  # so that windows must grow
    for case in CASES:
        scores, same = made_up(*case)
        sorted_scores, points = SortedScores.of(scores, same), every_point(scores, same)
        for far in FARS:
            best = max(point for point in points if point[0] <= far * (1 + 1e-12))
            exact = sorted_scores.at_or_below(far)
            assert (exact.far, exact.tar, exact.threshold) == best, (case, far)
            near = sorted_scores.nearest(far)
            assert (near.far, near.tar, near.threshold) == insightface_table(scores, same, far), (case, far)


def test_the_readings_differ_at_a_rate_of_few_pairs() -> None:
    """15.6 impostors are allowed: 15 by the first reading, 16 are nearer; the points between genuine scores are left out."""
    impostor = np.arange(156, dtype=np.float64)
    genuine = np.array([160.0, 141.5, 139.5, 100.0])
    scores, same = np.append(impostor, genuine), np.arange(160) >= 156
    found = SortedScores.of(scores, same)
    assert found.at_or_below(0.1) == template_rates.Reading(0.5, 15 / 156, 141.0)
    assert found.nearest(0.1) == template_rates.Reading(0.75, 16 / 156, 139.5)


def test_minus_infinity_is_never_accepted() -> None:
    found = SortedScores(np.array([-np.inf, 0.5]), np.array([-np.inf, 0.1]))
    assert found.at_or_below(1.0).tar == 0.5


def test_rates_that_few_impostors_do_not_support_are_known() -> None:
    found = SortedScores(np.zeros(1), np.zeros(1000))
    assert found.supports(1e-3)
    assert not found.supports(9e-4)


@pytest.mark.parametrize(
    ("scores", "same", "sentence"),
    [
        (np.zeros(3), np.ones(3, bool), "all 3 pairs are genuine; rates need both kinds"),
        (np.zeros(3), np.zeros(3, bool), "all 3 pairs are of different people; rates need both kinds"),
        (np.array([0.1, np.nan]), np.array([True, False]), "the score of pair 2 is NaN"),
        (np.zeros(3), np.ones(2, bool), r"scores float64 \(3,\) do not fit pairs bool \(2,\)"),
        (np.zeros((3, 1)), np.ones(3, bool), r"do not fit pairs"),
        (np.zeros(3, np.int64), np.ones(3, bool), "scores int64"),
    ],
)
def test_scores_that_make_no_sense_are_refused(scores: np.ndarray, same: np.ndarray, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        SortedScores.of(scores, same)
