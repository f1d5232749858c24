"""Decisions as pure functions: a threshold keeps its rate exactly, searches and comparisons fit, ranks are in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facerec.core import ParamsError
from facerec.recognition.ranking import best_matches, cosine_similarities
from facerec.recognition.thresholds import (
    UnsupportedRateError,
    far_for_fpir,
    lowest_far,
    search_fpir,
    squared_distance,
    threshold_at_far,
)

DISTANCES = arrays(
    np.float64, st.integers(1, 60), elements=st.one_of(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.floats(0, 4))
)
RATES = st.floats(1e-3, 0.999)


@given(DISTANCES, RATES)
def test_a_threshold_accepts_as_many_as_the_rate_allows_and_the_next_greater_one_more(distances, far):
    count = len(distances)
    if far * count < 0.999:
        with pytest.raises(UnsupportedRateError):
            threshold_at_far(distances, far)
        return
    if far * count < 1.001:
        return  # a matter of the last bit
    point = threshold_at_far(distances, far)
    accepted = int((distances < point.threshold).sum())
    assert accepted == point.accepted <= far * count * (1 + 1e-9)
    assert point.threshold in distances
    above = np.nextafter(point.threshold, np.inf)
    assert int((distances < above).sum()) > np.floor(far * count * (1 + 1e-12)), "the greatest that keeps the rate"
    assert 0 <= point.low <= point.accepted / count + 1e-12
    assert point.accepted / count - 1e-12 <= point.high <= 1
    assert (point.pairs, point.far) == (count, far)


@given(DISTANCES, st.lists(RATES, min_size=2, max_size=6))
def test_a_lower_rate_never_has_a_higher_threshold(distances, fars):
    supported = sorted(far for far in fars if far * len(distances) >= 1.001)
    thresholds = [threshold_at_far(distances, far).threshold for far in supported]
    assert thresholds == sorted(thresholds)


def test_thresholds_are_exact_on_known_scores():
    distances = np.random.default_rng(1).permutation(np.arange(100) / 50)
    for far, place in ((0.01, 1), (0.02, 2), (0.07, 7), (0.29, 29), (0.295, 29), (0.57, 57), (0.999, 99)):
        point = threshold_at_far(distances, far)
        assert (point.threshold, point.accepted) == (place / 50, place)
    tied = threshold_at_far([0.1, 0.5, 0.5, 0.5, 0.9], 0.4)
    assert (tied.threshold, tied.accepted) == (0.5, 1), "two of five would do, but three share the distance"


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_impossible_rates_are_refused(far):
    with pytest.raises(ParamsError, match="lies between 0 and 1"):
        threshold_at_far([1.0, 2.0], far)
    with pytest.raises(ParamsError, match="lies between 0 and 1"):
        far_for_fpir(far, 3)


def test_a_rate_that_needs_more_pairs_is_refused_with_the_lowest_that_works():
    with pytest.raises(UnsupportedRateError) as refused:
        threshold_at_far(np.ones(3000), 1e-4)
    assert str(refused.value) == (
        "a false accept rate of 1e-4 needs 10,000 different-person pairs, and there are 3,000; the lowest rate they "
        "can tell is 3.4e-4"
    )
    with pytest.raises(UnsupportedRateError, match=r"there are 0$"):
        threshold_at_far([], 0.5)


@given(st.integers(1, 10**7))
def test_the_lowest_rate_is_supported_and_nearly_the_lowest(count):
    rate = lowest_far(count)
    assert 1 / count <= rate * (1 + 1e-12)
    assert rate <= 1.1 / count * (1 + 1e-9)


@given(st.integers(2, 2000))
def test_the_lowest_rate_works(count):
    point = threshold_at_far(np.arange(count), lowest_far(count))
    assert 1 <= point.accepted <= 1 + count / 10


@given(st.floats(1e-9, 0.999), st.integers(1, 10**6))
def test_a_search_is_as_many_independent_comparisons(rate, count):
    far = far_for_fpir(rate, count)
    assert 0 < far <= rate * (1 + 1e-9)
    assert search_fpir(far, count) == pytest.approx(rate, rel=1e-9)
    assert search_fpir(rate, count) <= min(1, rate * count) * (1 + 1e-9)
    assert search_fpir(rate, count) <= search_fpir(rate, count + 1)


def test_the_rate_of_a_search():
    assert search_fpir(0.01, 1) == pytest.approx(0.01)
    assert search_fpir(0.01, 100) == pytest.approx(1 - 0.99**100)
    strangers = np.random.default_rng(2).random((20_000, 30)) < 0.01
    assert strangers.any(axis=1).mean() == pytest.approx(search_fpir(0.01, 30), abs=0.01)


def test_similarities_are_cosines_whatever_the_lengths():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(4, 8)), rng.normal(size=(5, 8))
    found = cosine_similarities(7 * first, 0.1 * second)
    assert found.shape == (4, 5)
    expected = first @ second.T / np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    unit = first[0] / np.linalg.norm(first[0]), second[0] / np.linalg.norm(second[0])
    squared = ((unit[0] - unit[1]) ** 2).sum()
    assert squared_distance(found[0, 0]) == pytest.approx(squared)
    assert cosine_similarities(first[0], first[0]).item() <= 1


def cosine_rows(values):
    """Embeddings whose cosines with (1, 0) are these values, equal ones to the last bit."""
    return np.array([[value, np.sqrt(1 - value**2)] for value in values], np.float32)


PHOTOS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0.1, 0.5, 0.9])), min_size=1, max_size=20)


@given(PHOTOS, st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_people_are_ranked_by_their_best_photo_whatever_the_blocks(photos, top, size, every):
    names, matrix = [name for name, _ in photos], cosine_rows([value for _, value in photos])
    probes = np.array([[1.0, 0.0], [0.0, 1.0]])
    blocks = [(names[start : start + size], matrix[start : start + size]) for start in range(0, len(names), size)]
    found = best_matches(probes, blocks, top, every)
    for matches, values in zip(found, cosine_similarities(probes, matrix), strict=True):
        order = sorted(
            range(len(names)), key=lambda row: (-round(values[row], 6), row)
        )  # ties keep the gallery's order
        first = {}
        for row in order:
            first.setdefault(row if every else names[row], row)
        assert [row for row, _ in matches] == list(first.values())[:top]
        np.testing.assert_allclose([score for _, score in matches], values[[row for row, _ in matches]], atol=1e-12)
