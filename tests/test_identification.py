"""Identification: equal to the devkit, to brute force, and independent of blocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec.core import FormatError, ParamsError
from facerec.evaluation.identification import identify
from facerec.evaluation.identification.scoring import HighestScores
from facerec.store.embeddings import normalise

GOLDEN = Path(__file__).parent / "golden" / "megaface"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "g1.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def result(golden):
    return identify(golden["probes"], golden["ids"], golden["distractors"], fprs=(1e-3, 1e-6))


@pytest.fixture(scope="module", params=["g1", "g2"])
def devkit_run(request):
    """What the devkit wrote for a golden set, and what we make of it."""
    with np.load(GOLDEN / f"{request.param}.npz") as file:
        ours = identify(file["probes"], file["ids"], file["distractors"]).devkit
    curves = json.loads((GOLDEN / f"{request.param}_cmc.json").read_text())
    return ours, {**curves, "matches": json.loads((GOLDEN / f"{request.param}_matches.json").read_text())}


def some_faces(seed: int, people: int = 6, photos: int = 4, strangers: int = 50):
    """Features of small whole numbers: their scores are exact in float32 and often tie."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(people), photos))
    probes = rng.normal(scale=2, size=(people, 8))[labels] + rng.normal(size=(people * photos, 8))
    rows = probes, rng.normal(scale=2, size=(strangers, 8))
    return rows[0].round().astype(np.float32), labels, rows[1].round().astype(np.float32)


def brute_force(probes, labels, distractors):
    """Scores and ranks pair by pair in float64."""
    score = -((probes[:, None].astype(float) - distractors[None]) ** 2).sum(axis=2)
    mates = -((probes[:, None].astype(float) - probes[None]) ** 2).sum(axis=2)
    pairs = [
        (i, j) for a in np.unique(labels) for i in np.flatnonzero(labels == a) for j in np.flatnonzero(labels == a)
    ]
    pairs = [(i, j) for i, j in pairs if i != j]
    ranks = [int((score[i] > mates[i, j]).sum()) for i, j in pairs]
    return np.array(pairs), np.array(ranks), score, np.array([mates[i, j] for i, j in pairs if i < j])


@pytest.mark.parametrize("curve", ["cmc", "roc"])
def test_curves_equal_the_devkits(devkit_run, curve):
    ours, theirs = (run[curve] for run in devkit_run)
    assert len(ours[0]) == len(theirs[0])
    assert np.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_matches_equal_the_devkits(devkit_run):
    for ours, theirs in zip(*(run["matches"] for run in devkit_run), strict=True):
        assert ours["probes"] == theirs["probes"]
        assert ours["distractors"]["idx"] == theirs["distractors"]["idx"]
        assert ours["distractors"]["score"] == pytest.approx(theirs["distractors"]["score"], abs=1e-6)
    json.dumps(devkit_run[0], allow_nan=False)


def test_ranks_equal_the_devkits_scores(golden, result):
    score, mates = golden["score_pd"], golden["score_pp"]
    ranks = [(score[i] > mates[i, j]).sum() for i, j in zip(result.probe, result.mate, strict=True)]
    assert np.array_equal(result.ranks, ranks)
    assert result.rank1 == np.mean(np.array(ranks) == 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 130))
def test_equals_brute_force(seed, strangers):
    probes, labels, distractors = some_faces(seed, strangers=strangers)
    result = identify(probes, labels, distractors, fprs=(0.02, 0.3, 1))
    pairs, ranks, score, positives = brute_force(probes, labels, distractors)
    assert np.array_equal(np.stack([result.probe, result.mate], axis=1), pairs)
    assert np.array_equal(result.ranks, ranks)
    negatives = np.sort(score.ravel())[::-1]
    for fpr, tpr in result.tpr.items():
        above = np.searchsorted(-negatives, -positives, side="left")
        assert tpr == np.mean(above <= int(fpr * negatives.size))
    k, share = result.cmc
    assert share == pytest.approx([np.mean(ranks < rank) for rank in k])
    assert (result.roc[0][-1], result.roc[1][-1]) == (1, 1)
    assert result.roc[1][0] == np.mean(positives >= negatives[0])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(monkeypatch, block):
    faces = some_faces(3, strangers=200)
    whole = identify(*faces, fprs=(1e-2,))
    monkeypatch.setattr("facerec.evaluation.identification.scoring.BLOCK", block)
    parts = identify(*faces, fprs=(1e-2,))
    assert np.array_equal(whole.ranks, parts.ranks)
    assert (whole.tpr, whole.devkit["cmc"], whole.devkit["roc"]) == (
        parts.tpr,
        parts.devkit["cmc"],
        parts.devkit["roc"],
    )


def test_a_short_tail_still_gives_exact_rates(monkeypatch):
    faces = some_faces(4, strangers=3000)
    whole = identify(*faces, fprs=(1e-3,))
    monkeypatch.setattr("facerec.evaluation.identification.ranking._TAIL", 10)
    short = identify(*faces, fprs=(1e-3,))
    assert whole.tpr == short.tpr
    fpr, tpr = short.roc
    assert fpr[-1] == pytest.approx(2e-3, rel=0.02)
    assert tpr == pytest.approx(whole.roc[1][np.searchsorted(whole.roc[0], fpr + 1e-12, side="right") - 1])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=20), max_size=20))
def test_the_tail_is_the_greatest(size, blocks):
    tail = HighestScores(size)
    for number, block in enumerate(blocks):
        scores = np.array([value for value in block if value > tail.threshold], dtype=np.float32)
        tail.add(scores, np.full(len(scores), number, dtype=np.int32))
    expected = sorted((value for block in blocks for value in block), reverse=True)[:size]
    found, probes = tail.descending()
    assert found.tolist() == expected
    assert all(score in blocks[probe] for score, probe in zip(found, probes, strict=True))


def test_missing_faces_rank_last_and_outrank_nobody():
    probes, labels, distractors = some_faces(5)
    clean = identify(probes, labels, distractors)
    holed, strangers = probes.copy(), np.vstack([distractors, np.full((2, 8), np.nan, np.float32)])
    holed[3] = np.nan
    result = identify(holed, labels, strangers, fprs=(1,))
    touched = (result.probe == 3) | (result.mate == 3)
    assert np.all(result.ranks[touched] == len(strangers))
    assert np.array_equal(result.ranks[~touched], clean.ranks[~touched])
    assert result.failures == (1, 2)
    assert result.tpr[1] == pytest.approx(1 - 3 / 36)
    assert result.devkit["matches"][3]["distractors"] == {"idx": [], "score": []}
    json.dumps(result.devkit, allow_nan=False)


def test_a_tie_is_won_by_the_mate():
    probes = normalise(np.eye(3)[[0, 1]])
    result = identify(probes, ["a", "a"], normalise(np.eye(3)[[2, 2, 2]]))
    assert result.ranks.tolist() == [0, 0]


def test_rates_beyond_the_negatives_are_marked(result):
    assert result.supported == {1e-3: True, 1e-6: False}
    assert set(result.metrics()) >= {"rank1", "tpr@1e-3", "pairs", "probes", "distractors"}
    assert "tpr@1e-6" not in result.metrics()


def test_names_and_numbers_are_both_labels(golden, result):
    numbers = np.unique(golden["ids"], return_inverse=True)[1]
    again = identify(golden["probes"], numbers, golden["distractors"])
    assert np.array_equal(again.ranks, result.ranks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, n, d: (p[0], n, d), "probes must be a float matrix"),
        (lambda p, n, d: (p, n, d[:0]), "distractors must be a float matrix"),
        (lambda p, n, d: (p, n, d[:, :-1]), "one model for both"),
        (lambda p, n, d: (p, n[:-1], d), "as many labels"),
        (lambda p, n, d: (p, np.arange(len(p)), d), "no mate"),
        (lambda p, n, d: (p, n, np.where(np.arange(len(d))[:, None] == 9, np.inf, d)), "Row 9 of the distractors"),
    ],
)
def test_bad_arrays_are_explained(change, message):
    with pytest.raises(FormatError, match=message):
        identify(*change(*some_faces(0)))


def test_bad_rates_are_explained():
    with pytest.raises(ParamsError, match="False-positive rates"):
        identify(*some_faces(0), fprs=(0.0,))


def test_normalise_marks_what_has_no_direction():
    rows = normalise(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0]]))
    assert rows[0].tolist() == pytest.approx([0.6, 0.8])
    assert np.isnan(rows[1:]).all()
