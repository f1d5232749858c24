"""Searches of galleries and the bootstrap over subjects equal brute force, one probe or one repeated list at a time."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.evaluation.templates import SortedScores, galleries, intervals

RANKS, FPIRS = (1, 5, 10), (0.01, 0.1)


def unit(rng: np.random.Generator, centres: np.ndarray, noise: float) -> np.ndarray:
    rows = centres + noise * rng.normal(size=centres.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(seed: int, noise: float = 0.9) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Probes, their people, and two galleries of different people, each one template a person."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(60, 8))
    people = np.concatenate([np.arange(60), rng.integers(0, 60, 400)])
    halves = (rng.permutation(60)[:30], np.arange(60))
    halves = (halves[0], np.setdiff1d(halves[1], halves[0]))
    return unit(rng, centres[people], noise), people, [(unit(rng, centres[half], noise), half) for half in halves]


@pytest.mark.parametrize("seed", range(4))
def test_a_search_equals_brute_force(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, people, both = world(seed)
    monkeypatch.setattr(galleries, "_CELLS", 1000)  # 33 probes at once
    for gallery, enrolled in both:
        found = galleries.search_gallery(probes, people, gallery, enrolled, highest=50)
        others = []
        for row, who in enumerate(people):
            scores = [float(probes[row] @ each) for each in gallery]
            strangers = [score for score, owner in zip(scores, enrolled, strict=True) if owner != who]
            others += strangers
            assert found.stranger[row] == pytest.approx(max(strangers), abs=1e-14)
            assert found.mated[row] == (who in enrolled)
            if who in enrolled:
                mate = scores[list(enrolled).index(who)]
                assert found.mate[row] == pytest.approx(mate, abs=1e-14)
                assert found.rank[row] == 1 + sum(score > mate for score in strangers)
        np.testing.assert_allclose(found.highest, heapq.nlargest(50, others), atol=1e-14)
        counted = galleries.rates_of_search(found, RANKS, FPIRS)
        mates, best = found.mate[found.mated], np.sort(found.stranger[~found.mated])[::-1]
        for rate in FPIRS:
            allowed = int(rate * len(best))  # of the probes without a mate, so many may score above the threshold
            assert counted.tpir[rate] == np.mean(mates > best[allowed])
        assert counted.ranks == {k: np.mean(found.rank[found.mated] <= k) for k in RANKS}


def test_merged_galleries_are_counted_as_insightface_does() -> None:
    probes, people, both = world(9)
    gallery, enrolled = (np.concatenate(each) for each in zip(*both, strict=True))
    needed = galleries.most_needed(len(probes), FPIRS)
    found = galleries.search_gallery(probes, people, gallery, enrolled, needed)
    counted = galleries.rates_of_merged(found, RANKS, FPIRS)
    similarity = probes @ gallery.T
    order = np.argsort(-similarity, axis=1)
    mates = np.array([list(enrolled).index(who) for who in people])
    positives = similarity[np.arange(len(probes)), mates]
    similarity[np.arange(len(probes)), mates] = -2
    negatives = np.sort(similarity[similarity > -2])[::-1]
    for k in RANKS:
        assert counted.ranks[k] == np.mean([mate in order[row, :k] for row, mate in enumerate(mates)])
    for rate in FPIRS:
        assert counted.tpir[rate] == np.mean(positives > negatives[math.ceil(len(probes) * rate) - 1])


def test_several_photos_a_person_count_by_the_best_and_distractors_take_ranks() -> None:
    gallery = np.array([[1, 0.0], [0.6, 0.8], [0, 1], [0.8, 0.6]])
    found = galleries.search_gallery(np.array([[1.0, 0], [0, 1.0]]), [7, 7], gallery, [7, 7, -1, -1])
    assert found.mate.tolist() == [1, 0.8]
    assert found.rank.tolist() == [1, 2]


def test_a_tie_is_won_by_the_mate_and_a_missing_face_is_last() -> None:
    gallery = np.array([[1.0, 0], [1.0, 0], [np.nan, np.nan]])
    probes = np.array([[1.0, 0], [1.0, 0], [np.nan, np.nan]])
    found = galleries.search_gallery(probes, [1, 3, 1], gallery, [1, 2, 3])
    assert found.rank.tolist() == [1, 4, 4]
    assert found.mate.tolist() == [1, -np.inf, -np.inf]
    assert found.stranger.tolist() == [1, 1, -np.inf]


def test_rates_that_few_probes_do_not_support_are_left_out_and_means_are_over_galleries() -> None:
    probes, people, both = world(3)
    several = [galleries.search_gallery(probes, people, *each) for each in both]
    counted = [galleries.rates_of_search(each, (1,), (0.1, 1e-4)) for each in several]
    assert [each.tpir[1e-4] for each in counted] == [None, None]
    mean = galleries.mean_rates(counted)
    assert mean.tpir == {0.1: (counted[0].tpir[0.1] + counted[1].tpir[0.1]) / 2, 1e-4: None}
    assert mean.ranks[1] == pytest.approx((counted[0].ranks[1] + counted[1].ranks[1]) / 2)


def test_a_gallery_that_does_not_fit_is_refused() -> None:
    with pytest.raises(FormatError, match=r"a gallery \(0, 2\) cannot be searched for probes \(1, 2\)"):
        galleries.search_gallery(np.ones((1, 2)), [1], np.empty((0, 2)), [])
    with pytest.raises(FormatError, match="none of the probes shows a person of the gallery"):
        galleries.rates_of_search(galleries.search_gallery(np.eye(2), [1, 2], np.eye(2), [3, 4]), RANKS, FPIRS)


def made_up_pairs(seed: int, decimals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 12, (2, 500))
    same = first == second
    return (rng.normal(size=500) + same).round(decimals), same, first, second


@pytest.mark.parametrize(("seed", "decimals"), [(0, 9), (1, 1), (2, 0)])
def test_a_trial_equals_the_rate_of_repeated_pairs(seed: int, decimals: int) -> None:
    scores, same, first, second = made_up_pairs(seed, decimals)
    draws = intervals.draw_subjects(12, trials=45, seed=seed)  # more than one thread's share
    fars = (0.1, 0.005, 0.3, 1.0)
    found = intervals.tar_trials(intervals.SubjectScores.of(scores, same, first, second, np.arange(12)), draws, fars)
    for trial, drawn in enumerate(draws):
        weights = drawn[first] * np.where(same, 1, drawn[second])
        repeats = np.repeat(np.arange(500), weights)
        expected = SortedScores.of(scores[repeats], same[repeats])
        assert found[trial].tolist() == [expected.at_or_below(far).tar for far in fars]


def test_a_search_trial_equals_the_rates_of_repeated_probes() -> None:
    probes, people, both = world(5)
    searches = [galleries.search_gallery(probes, people, *each) for each in both]
    draws = intervals.draw_subjects(60, trials=5, seed=2)
    found = intervals.search_trials(searches, people, draws, RANKS, FPIRS)
    for trial, drawn in enumerate(draws):
        repeats = np.repeat(np.arange(len(probes)), drawn[people])
        again = [galleries.search_gallery(probes[repeats], people[repeats], *each) for each in both]
        mean = galleries.mean_rates([galleries.rates_of_search(each, RANKS, FPIRS) for each in again])
        np.testing.assert_allclose(found[trial], [*mean.ranks.values(), *mean.tpir.values()], atol=1e-12)


def test_a_trial_without_genuine_pairs_is_not_a_number() -> None:
    scores = intervals.SubjectScores.of(np.array([0.5, 0.1]), np.array([True, False]), [0, 1], [0, 2], [0, 1, 2])
    found = intervals.tar_trials(scores, np.array([[0, 1, 2], [3, 0, 0]], np.int32), (0.1,))
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 1  # no impostor pair was drawn, so nothing limits the genuine ones


def test_threads_do_not_change_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = intervals.SubjectScores.of(*made_up_pairs(4, 9), np.arange(12))
    draws = intervals.draw_subjects(12, trials=100, seed=1)
    several = []
    for workers in ("1", "3"):
        monkeypatch.setenv("FACEREC_WORKERS", workers)
        several.append(intervals.tar_trials(scores, draws, (0.01, 0.1)))
    assert np.array_equal(*several, equal_nan=True)


def test_genuine_pairs_join_templates_to_subjects() -> None:
    found = intervals.join_subjects(7, np.array([5, 1, 2]), np.array([1, 0, 4]))
    assert found.tolist() == [0, 0, 1, 2, 1, 0, 3]
