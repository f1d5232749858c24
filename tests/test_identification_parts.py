"""The parts of identification: both engines, sweeps, bands, the traditional CMC, matrices on disk."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facerec.core import FormatError
from facerec.evaluation.identification import devkit, engines, identify
from facerec.evaluation.identification.on_files import map_rows
from facerec.evaluation.identification.result import IdentificationBootstrap
from facerec.evaluation.identification.scoring import CountsAbove, checked_features
from facerec.evaluation.identification.torch_engine import TorchEngine
from facerec.evaluation.statistics import bootstrap
from facerec.store.embeddings import normalise

GOLDEN = Path(__file__).parent / "golden" / "megaface"
PUBLISHED = "megaface/cmc_facescrub_megaface_0_1000000_1.json"


def faces(seed: int = 0, people: int = 12, photos: int = 5, strangers: int = 2500, spread: float = 1.2):
    """Unit features, probes around their person's centre, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(people), photos))
    probes = rng.normal(size=(people, 24))[labels] + spread * rng.normal(size=(people * photos, 24))
    return normalise(probes), labels, normalise(rng.normal(size=(strangers, 24)))


@pytest.fixture(scope="module")
def result():
    return identify(*faces(), fprs=(1e-3, 1e-2), sweeps=3, seed=5)


@pytest.fixture(scope="module", params=["g1", "g2"])
def golden(request):
    with np.load(GOLDEN / f"{request.param}.npz") as file:
        arrays = file["probes"], file["ids"], file["distractors"]
    return *arrays, json.loads((GOLDEN / f"{request.param}_cmc.json").read_text())


def assert_same_devkit(ours, theirs):
    """Equal but for the last bits of the scores, since the engines multiply with different libraries."""
    assert {**ours, "matches": []} == {**theirs, "matches": []}
    for mine, other in zip(ours["matches"], theirs["matches"], strict=True):
        scores = mine["distractors"].pop("score"), other["distractors"].pop("score")
        assert mine == other
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_the_torch_engine_gives_identical_ranks(result):
    probes, labels, distractors = faces()
    engine = TorchEngine(checked_features(probes, "probes"), torch.device("cpu"))
    other = identify(probes, labels, distractors, fprs=(1e-3, 1e-2), sweeps=3, seed=5, engine=engine)
    assert 0 < result.rank1 < 1
    assert np.array_equal(result.ranks, other.ranks)
    assert (result.tpr, result.sweeps) == (other.tpr, other.sweeps)
    assert_same_devkit(copy.deepcopy(result.devkit), other.devkit)
    for name in ("identity", "false_positives"):
        assert np.array_equal(getattr(result.separation, name), getattr(other.separation, name))
    tails = [np.bincount(each.separation.tail_identity) for each in (result, other)]  # near ties may swap
    np.testing.assert_array_equal(*tails)


def test_the_torch_engine_knows_missing_faces():
    probes, labels, distractors = faces(strangers=40)
    probes[3], distractors[7:38] = np.nan, np.nan
    engine = TorchEngine(checked_features(probes, "probes"), torch.device("cpu"))
    ours, theirs = identify(probes, labels, distractors), identify(probes, labels, distractors, engine=engine)
    assert np.array_equal(ours.ranks, theirs.ranks)
    assert_same_devkit(ours.devkit, theirs.devkit)


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(engines, "ROWS", 16)  # several slices of the 60 probes
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("FACEREC_WORKERS", threads)
        results.append(identify(*faces(), fprs=(1e-3, 1e-2), sweeps=3, seed=5))
    one, several = results
    assert np.array_equal(one.ranks, several.ranks)
    assert (one.tpr, one.devkit, one.sweeps) == (several.tpr, several.devkit, several.sweeps)


def test_sweeps_equal_runs_on_their_subsets(result):
    probes, labels, distractors = faces()
    assert [(each.size, each.set) for each in result.sweeps] == [
        (size, number) for size in (10, 100, 1000) for number in (1, 2, 3)
    ]
    for each in result.sweeps:
        order = np.random.default_rng([5, each.set - 1]).permutation(len(distractors))
        alone = identify(probes, labels, distractors[np.sort(order[: each.size])], fprs=(1e-3, 1e-2))
        assert each.rank1 == alone.rank1
        assert each.tpr == {fpr: tpr for fpr, tpr in alone.tpr.items() if alone.supported[fpr]}
    assert {each.size for each in result.sweeps if 1e-3 in each.tpr} == {100, 1000}
    assert len({each.rank1 for each in result.sweeps}) > 3


def test_missing_faces_in_a_sweep_are_not_found():
    probes, labels, distractors = faces(strangers=101)
    probes[labels == 2] = np.nan
    found = identify(probes, labels, distractors, sweeps=1)
    assert all(each.rank1 <= 11 / 12 for each in found.sweeps)


def test_cmc_bands_equal_a_plain_bootstrap(result):
    weights = bootstrap.identity_weights(12, 300, seed=1)
    people = result.identity[result.probe]
    shares = [[np.average(result.ranks < k, weights=weight[people]) for k in (1, 10, 2501)] for weight in weights]
    low, high = IdentificationBootstrap(result, trials=300, seed=1).cmc([1, 10, 2501])
    assert np.allclose([low, high], bootstrap.percentile_interval(shares))
    assert low[0] < result.rank1 < high[0]
    assert low[2] == high[2] == 1


def test_roc_bands_equal_a_plain_bootstrap():
    probes, labels, distractors = faces(strangers=300)
    result = identify(probes, labels, distractors, fprs=(1e-3, 1e-2))
    scores = probes @ distractors.T
    same = np.triu(labels[:, None] == labels[None], 1)
    mates, person = (probes @ probes.T)[same], labels[np.nonzero(same)[0]]
    weights = bootstrap.identity_weights(12, 40, seed=2)
    expected = []
    for weight in weights:
        above = ((scores > mates[:, None, None]).sum(axis=2) * weight[labels]).sum(axis=1)
        limit = np.array([1e-3, 1e-2]) * (weight[labels].sum() * 300)
        expected.append([np.average(above <= most, weights=weight[person]) for most in limit])
    assert np.allclose(
        IdentificationBootstrap(result, trials=40, seed=2).roc([1e-3, 1e-2]), bootstrap.percentile_interval(expected)
    )


def test_the_traditional_cmc_agrees_with_the_devkits_draws(golden):
    probes, ids, distractors, expected = golden
    curves = [identify(probes, ids, distractors, seed=seed).devkit["traditional_cmc"] for seed in range(8)]
    x, y = (np.array(axis) for axis in expected["traditional_cmc"])
    for curve in curves:
        assert (curve[0][0], curve[0][-1], curve[1][-1]) == (0, x[-1], 1)
        assert x[-1] == len(distractors) + 39
    first = np.array([curve[1][0] for curve in curves])
    cases = 10 * (len(ids) - 40)
    assert np.allclose(first * cases, np.round(first * cases), atol=1e-2)
    assert abs(first.mean() - y[0]) < 4 * first.std(ddof=1) + 1e-3
    assert first.std() > 0


def test_the_traditional_gallery_holds_the_other_people():
    probes = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0.6, 0.8]], dtype=np.float32)
    found = identify(probes, ["a", "a", "b", "b"], np.array([[-1, 0, 0]], dtype=np.float32))
    assert found.rank1 == 1
    assert found.devkit["traditional_cmc"][0] == [0, 1, 2]
    assert found.devkit["traditional_cmc"][1][0] < 1


def test_counts_above_marks_equal_a_plain_count(monkeypatch):
    monkeypatch.setattr("facerec.evaluation.identification.scoring._BATCH", 50)
    rng = np.random.default_rng(0)
    marks = np.sort(rng.integers(-5, 5, size=30)).astype(np.float32)
    blocks = [rng.integers(-6, 6, size=(3, 7)).astype(np.float32) for _ in range(9)]
    above = CountsAbove(marks)
    for block in blocks:
        above.add(block)
    everything = np.concatenate(blocks).ravel()
    assert above.counts().tolist() == [(everything > mark).sum() for mark in marks]


def test_rows_are_read_from_disk(tmp_path, result):
    probes, labels, distractors = faces()
    np.save(tmp_path / "d.npy", distractors)
    rows = map_rows(tmp_path / "d.npy")
    assert (len(rows), rows.shape, rows.dtype) == (2500, (2500, 24), np.float32)
    assert np.array_equal(rows[1020:1030], distractors[1020:1030])
    assert rows[2500:2600].shape == (0, 24)
    assert np.array_equal(identify(probes, labels, rows).ranks, result.ranks)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda path: path.write_bytes(b"hello"), "no array of numbers"),
        (lambda path: path.write_bytes(b""), "no array of numbers"),
        (lambda path: np.save(path, np.zeros(3, np.float32)), "float matrix"),
        (lambda path: np.save(path, np.zeros((3, 2), np.int64)), "float matrix"),
        (lambda path: np.save(path, np.asfortranarray(np.zeros((3, 2)))), "column after column"),
        (lambda path: np.save(path, np.array([["x"]], dtype=object), allow_pickle=True), "no array"),
        (lambda path: None, "cannot read"),
    ],
)
def test_other_files_are_no_rows(tmp_path, save, message):
    save(tmp_path / "d.npy")
    with pytest.raises(FormatError, match=message):
        map_rows(tmp_path / "d.npy")


def test_a_cut_matrix_is_refused(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros((4, 4), np.float32))
    data = (tmp_path / "d.npy").read_bytes()
    (tmp_path / "d.npy").write_bytes(data[:-1])
    with pytest.raises(FormatError, match="no array of numbers"):
        map_rows(tmp_path / "d.npy")


def test_readings_of_a_published_curve():
    curves = devkit.parse_published({"cmc": [[0, 9], [0.9, 1]], "roc": [[0, 1e-6, 1e-4, 1], [0.5, 0.6, 0.8, 1]]})
    assert (curves.rank1, curves.distractors) == (0.9, 9)
    assert curves.tpr(1e-5) == pytest.approx({"log": 0.7, "linear": 0.6 + 0.2 * 9 / 99, "next": 0.8})
    assert curves.tpr(1e-6) == {"log": 0.6, "linear": 0.6, "next": 0.6}
    assert curves.tpr(5e-7) == pytest.approx({"linear": 0.55, "next": 0.6})
    late = devkit.parse_published({"cmc": [[3, 9], [0.9, 1]], "roc": [[0.5], [1]]})
    assert (late.rank1, late.tpr(0.1), late.tpr(0.9)) == (0, {"next": 1.0}, {})


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"cmc": [[0], [1]], "roc": 3}', '{"cmc": [[0], [1]], "roc": [[0, 1], [1]]}']
    + ['{"cmc": [[0], [1]], "roc": [[1, 0], [1, 1]]}', '{"cmc": [[0], [1]], "roc": [[NaN], [1]]}', "[" * 9999],
)
def test_other_json_is_no_result(tmp_path, text):
    (tmp_path / "cmc.json").write_text(text)
    with pytest.raises(FormatError):
        devkit.read_published(tmp_path / "cmc.json")


def test_our_devkit_json_reads_like_a_published_one(result):
    curves = devkit.parse_published(result.devkit)
    assert curves.rank1 == pytest.approx(result.rank1, abs=1e-6)
    assert curves.distractors == result.distractors


def test_a_published_result(mirror):
    curves = devkit.read_published(mirror / PUBLISHED)
    assert (curves.distractors, round(curves.rank1, 6)) == (966804, 0.980616)
    assert curves.tpr(1e-6) == pytest.approx({"log": 0.982645, "linear": 0.980257, "next": 0.985376}, abs=1e-6)
    assert curves.traditional_cmc is not None
