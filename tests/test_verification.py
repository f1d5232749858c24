"""Verification: equal to the reference's own numbers, to a plain loop, and honest about bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec.core import FormatError, ParamsError, rate_name
from facerec.evaluation.curves import wilson
from facerec.evaluation.verification import evaluate
from facerec.evaluation.verification.protocols import PROTOCOLS, SortedDistances, auc, eer, roc

GOLDEN = Path(__file__).parent / "golden" / "verification"


@pytest.fixture(scope="module")
def golden() -> tuple[np.ndarray, np.ndarray, dict]:
    with np.load(GOLDEN / "embeddings_600.npz") as file:
        expected = json.loads((GOLDEN / "expected.json").read_text())["embeddings_600"]
        return file["emb"], file["issame"], expected


def some_pairs(seed: int, n: int = 100, d: int = 8, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = np.arange(n) % 2 == 0
    first = rng.normal(size=(n, d))
    second = np.where(same[:, None], first + noise * rng.normal(size=(n, d)), rng.normal(size=(n, d)))
    return np.stack([first, second], axis=1).reshape(2 * n, d), same


def test_equals_the_reference(golden):
    embeddings, same, expected = golden
    result = evaluate(embeddings, same)
    assert result.fold_accuracy == pytest.approx(expected["acc"], abs=1e-12)
    assert result.accuracy == pytest.approx(expected["acc_mean"], abs=1e-12)
    assert result.accuracy_std == pytest.approx(expected["acc_std"], abs=1e-12)
    (rate,) = result.rates
    assert rate.tar == pytest.approx(expected["val"], abs=1e-12)
    assert rate.tar_std == pytest.approx(expected["val_std"], abs=1e-12)
    assert rate.far == pytest.approx(expected["far"], abs=1e-12)
    assert (rate.supported, result.tar, result.tar_std, result.far) == (False, None, None, None)  # 300 impostor pairs


def test_a_tie_at_a_threshold_can_differ_from_the_reference() -> None:
    """docs/benchmarks.md says where `evaluate` and the reference part: 2 - 2 cos here, a sum of squares there."""
    pair = np.array([[1.0, -1.0], [1.0, 1.0]])
    unit = pair / np.linalg.norm(pair, axis=1, keepdims=True)
    assert np.sum(np.square(unit[0] - unit[1])) == 1.9999999999999996
    genuine = np.ones((2, 2))
    result = evaluate(np.concatenate([pair, genuine] * 10), np.array([False, True] * 10))
    assert result.distances[0] == 2.0


def test_curve_sums_equal_the_reference(golden):
    embeddings, same, expected = golden
    distances = evaluate(embeddings, same).distances
    counts = [
        SortedDistances.of(d, s).count_accepted(np.arange(0, 4, 0.01))
        for d, s in zip(*_folds(distances, same), strict=True)
    ]
    assert np.mean([c.tpr for c in counts], axis=0).sum() == pytest.approx(expected["tpr_sum"], abs=1e-9)
    assert np.mean([c.fpr for c in counts], axis=0).sum() == pytest.approx(expected["fpr_sum"], abs=1e-9)


def _folds(*arrays: np.ndarray) -> list[list[np.ndarray]]:
    return [np.array_split(array, 10) for array in arrays]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fold_accuracy_equals_a_plain_loop(protocol):
    embeddings, same = some_pairs(3, n=47)
    result = evaluate(embeddings, same, protocol)
    parts = np.array_split(np.arange(47), 10)
    for accuracy, test in zip(result.fold_accuracy, parts, strict=True):
        train = np.setdiff1d(np.arange(47), test)
        assert accuracy == pytest.approx(_loop(protocol, embeddings, same, train, test), abs=1e-12)
    spread = np.std(result.fold_accuracy, ddof=1) / np.sqrt(10) if protocol == "youden" else None
    assert result.accuracy_std == pytest.approx(spread or np.std(result.fold_accuracy), abs=1e-12)


def _loop(protocol, embeddings, same, train, test) -> float:
    """The protocol as its description reads, in scores, one threshold after another."""
    pairs = embeddings.reshape(-1, 2, embeddings.shape[1])
    if protocol == "concat-mean":
        pairs = pairs - pairs[train].reshape(-1, pairs.shape[2]).mean(axis=0)
    unit = pairs / np.linalg.norm(pairs, axis=2, keepdims=True)
    cosine = (unit[:, 0] * unit[:, 1]).sum(axis=1)
    score = -((unit[:, 0] - unit[:, 1]) ** 2).sum(axis=1) if protocol == "insightface" else cosine

    def accuracy(threshold, rows):
        return np.mean((score[rows] > threshold) == same[rows])

    if protocol == "insightface":
        grid = [-threshold for threshold in np.arange(0, 4, 0.01)]
        best = max(grid, key=lambda t: accuracy(t, train))
    elif protocol == "concat-mean":
        grid = np.arange(-10_000, 10_001) / 10_000
        tried = np.array([accuracy(t, train) for t in grid])
        best = grid[tried == tried.max()].mean()
    else:
        low, high = score[train].min(), score[train].max()
        grid = [low + (high - low) / 1000 * k for k in range(1, 1001)]
        yes, no = train[same[train]], train[~same[train]]
        best = max(grid, key=lambda t: np.mean(score[yes] > t) - np.mean(score[no] > t))
    return float(accuracy(best, test))


def test_tar_at_far_equals_a_plain_loop():
    embeddings, same = some_pairs(5, n=400, noise=1.5)
    result = evaluate(embeddings, same, fars=(0.05, 0.001))
    grid = np.arange(0, 4, 0.001)
    tars, fars = [], []
    for test in np.array_split(np.arange(400), 10):
        train = np.setdiff1d(np.arange(400), test)
        impostors = result.distances[train][~same[train]]
        threshold = np.interp(0.05, [np.mean(impostors < t) for t in grid], grid)
        hit = result.distances[test] < threshold
        tars.append(hit[same[test]].mean())
        fars.append(hit[~same[test]].mean())
    assert (result.tar, result.tar_std) == pytest.approx((np.mean(tars), np.std(tars)), abs=1e-12)
    assert result.far == pytest.approx(np.mean(fars), abs=1e-12)
    assert [rate.supported for rate in result.rates] == [True, False]
    assert "tar@1e-3" not in result.metrics()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_separable_pairs_are_all_right(protocol):
    embeddings, same = some_pairs(1, noise=0.01, d=64)
    result = evaluate(embeddings, same, protocol)
    assert (result.auc, result.eer, result.rates[0].tar) == (1, 0, 1)
    assert result.accuracy == 1 or (protocol == "youden" and result.accuracy >= 0.98)  # its lowest threshold


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("missing", [np.nan, 0.0])
def test_a_face_not_enrolled_is_a_non_match(protocol, missing):
    embeddings, same = some_pairs(1, noise=0.01, d=64)
    embeddings[[0, 6]] = missing  # pairs 0 (same) and 3 (different)
    result = evaluate(embeddings, same, protocol)
    assert result.failures == 2
    assert result.fold_accuracy[0] == pytest.approx(0.9)
    assert result.fold_accuracy[1:].min() >= (0.9 if protocol == "youden" else 1)
    assert result.distances.argmax() in (0, 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_scale_and_precision_change_nothing(seed, scale):
    embeddings, same = some_pairs(seed)
    rows = np.random.default_rng(seed).uniform(0.5, 2, size=(len(embeddings), 1)) * scale
    one, other = evaluate(embeddings, same), evaluate(embeddings * rows, same)
    assert np.abs(one.distances - other.distances).max() < 1e-12
    assert one.accuracy == pytest.approx(other.accuracy, abs=0.02)  # a distance may sit at a threshold


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60))
def test_auc_is_the_share_of_pairs_in_order(rows):
    distances, same = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    if same.all() or not same.any():
        return
    fpr, tpr, _ = roc(distances, same)
    gap = distances[same][:, None] - distances[~same][None]
    assert auc(fpr, tpr) == pytest.approx(np.mean(gap < 0) + np.mean(gap == 0) / 2)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(fpr) >= 0)
    assert np.all(np.diff(tpr) >= 0)
    assert 0 <= eer(fpr, tpr) <= 1


def test_eer_is_where_the_errors_meet():
    assert eer(np.array([0, 0.2, 1]), np.array([0, 0.8, 1])) == pytest.approx(0.2)
    assert eer(np.array([0, 1.0]), np.array([0, 1.0])) == pytest.approx(0.5)


def test_random_scores_give_half():
    embeddings, same = some_pairs(2, n=2000, noise=100)
    result = evaluate(embeddings, same)
    assert 0.45 < result.accuracy < 0.55
    assert 0.45 < result.auc < 0.55
    assert result.interval[0] < result.accuracy < result.interval[1]


def test_interval_is_wilsons():
    low, high = wilson(0.9, 100)
    assert (float(low), float(high)) == pytest.approx((0.8256, 0.9448), abs=1e-4)


def test_pairs_sorted_by_kind_still_give_rates():
    embeddings, same = some_pairs(4, noise=0.01, d=64)
    order = np.argsort(~same, kind="stable")
    rows = np.stack([2 * order, 2 * order + 1], axis=1).ravel()
    result = evaluate(embeddings[rows], same[order])
    assert result.rates[0].tar == 1
    assert np.isfinite(list(result.metrics().values())).all()


def test_metrics_are_plain_scalars(golden):
    metrics = evaluate(golden[0], golden[1], fars=(1e-2, 1e-3)).metrics()
    assert "tar@1e-3" not in metrics
    assert json.loads(json.dumps(metrics)) == metrics
    assert {"accuracy", "accuracy_std", "tar", "auc", "eer", "failures"} <= set(metrics)


def test_rates_are_named_as_people_write_them():
    assert [rate_name(rate) for rate in (1e-3, 5e-4, 0.1, 1.5e-6)] == ["1e-3", "5e-4", "1e-1", "1.5e-6"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, s: (e[:-1], s), "two rows a pair"),
        (lambda e, s: (e[:, 0], s), "float matrix"),
        (lambda e, s: (e.astype(int), s), "float matrix"),
        (lambda e, s: (e, s[:, None]), "do not fit"),
        (lambda e, s: (e, s + 1), "only true and false"),
        (lambda e, s: (e, s | True), "of the same kind"),
        (lambda e, s: (e, s & False), "of the different kind"),
        (lambda e, s: (e[:14], s[:7]), "cannot fill 10 folds"),
        (lambda e, s: (np.where(e == e[9, 1], np.inf, e), s), "row 9 holds an infinite"),
        (lambda e, s: (np.full_like(e, np.nan), s), "None of the 50 genuine pairs"),
    ],
)
def test_bad_arrays_are_explained(change, message):
    with pytest.raises(FormatError, match=message):
        evaluate(*change(*some_pairs(0)))


@pytest.mark.parametrize("options", [{"protocol": "lfw"}, {"folds": 1}, {"fars": (0.0,)}, {"fars": ()}])
def test_bad_options_are_explained(options):
    with pytest.raises(ParamsError):
        evaluate(*some_pairs(0), **options)
