"""`facerec ijb` on a made-up set in the form of the published files: figures equal brute force, and errors are a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facerec.cli import app
from facerec.core import console
from facerec.store.embeddings import Embeddings, write_embeddings
from tests.template_world import World, make_world, pool_by_hand, write_lists

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(2, people=60)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lists, and what InsightFace and CVLface would save: features of photos, of two views, and scores of pairs."""
    folder = tmp_path_factory.mktemp("ijb")
    write_lists(world, folder / "IJBC/meta")
    np.save(folder / "features.npy", world.features)
    np.save(folder / "views.npy", np.hstack([world.features / 4, world.features * 3 / 4]))
    np.save(folder / "scores.npy", scores_by_hand(world))
    return folder


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words: str) -> tuple[int, str, str]:
        code = console.run_command(lambda: app(["ijb", *words], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def scores_by_hand(world: World) -> np.ndarray:
    templates = pool_by_hand(world, world.scores)
    return np.array([templates[one] @ templates[other] for one, other, _ in world.pairs])


def tar_by_hand(scores: np.ndarray, same: np.ndarray, far: float) -> float:
    """The best true accept rate of all thresholds with a false accept rate that is not above `far`."""
    return max(np.mean(scores[same] >= at) for at in [*scores, np.inf] if np.mean(scores[~same] >= at) <= far)


def test_features_give_the_figures_of_brute_force(world: World, call: Call) -> None:
    code, out, err = call("IJBC", "--features", "features.npy", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    scores, same = scores_by_hand(world), world.same
    assert found["photos"] == len(world.features)
    assert (found["templates"], found["weighting"], found["without_face"]) == (180, "norm-detector", 0)
    pairs = found["verification"]
    assert (pairs["genuine"], pairs["impostor"]) == (same.sum(), (~same).sum())
    assert pairs["unsupported"] == ["1e-6", "1e-5", "1e-4"]
    for name, tar in pairs["tar"].items():
        expected = None if name in pairs["unsupported"] else tar_by_hand(scores, same, float(name))
        assert tar == expected, name
    assert pairs["tar_nearest"]["1e-3"] > pairs["tar"]["1e-3"]


def test_searches_give_the_figures_of_brute_force(world: World, call: Call) -> None:
    found = json.loads(call("IJBC", "--features", "features.npy", "--json")[1])["identification"]
    templates = pool_by_hand(world, world.scores)
    for name, enrolled in world.galleries.items():
        mates, ranks, strangers = [], [], []
        for probe in world.probes:
            scored = {number: templates[probe] @ templates[number] for number in enrolled}
            mate = [number for number in enrolled if world.subjects[number] == world.subjects[probe]]
            if mate:
                mates.append(scored[mate[0]])
                ranks.append(sum(score > mates[-1] for score in scored.values()))
            else:
                strangers.append(max(scored.values()))
        allowed = sorted(strangers)[-1 - int(0.1 * len(strangers))]
        expected = {f"rank{k}": np.mean(np.array(ranks) < k) for k in (1, 5, 10)}
        expected |= {"tpir@1e-1": np.mean(np.array(mates) > allowed), "tpir@1e-2": None}
        assert found["galleries"][name] == expected
    means = [np.mean([found["galleries"][name]["rank1"] for name in world.galleries]), found["separate"]["rank1"]]
    assert means[0] == pytest.approx(means[1])
    assert found["merged"]["rank1"] < found["separate"]["rank1"]  # among twice as many people


def test_scores_and_two_views_say_the_same_as_features(call: Call) -> None:
    whole = json.loads(call("IJBC/meta", "--features", "features.npy", "--json")[1])
    views = json.loads(call("IJBC", "--features", "views.npy", "--flip", "--json")[1])
    assert views["verification"]["tar"] == whole["verification"]["tar"]
    scores = json.loads(call("IJBC", "--similarities", "scores.npy", "--json")[1])
    assert scores["weighting"] is None
    assert "identification" not in scores
    assert scores["verification"]["tar"] == whole["verification"]["tar"]
    assert scores["verification"]["tar_nearest"] == whole["verification"]["tar_nearest"]


def test_each_weighting_is_another_measurement(world: World, call: Call) -> None:
    thresholds = {}
    for weighting in ("norm-detector", "norm", "detector", "none"):
        found = json.loads(call("IJBC", "--features", "features.npy", "--weighting", weighting, "--json")[1])
        assert found["weighting"] == weighting
        thresholds[found["verification"]["threshold"]["1e-2"]] = weighting
    assert len(thresholds) == 4


def test_our_embeddings_are_found_by_the_names_of_photos(world: World, call: Call, folder: Path) -> None:
    order = np.random.default_rng(0).permutation(len(world.names))[:-1]
    sources = [f"loose_crop/{world.names[row]}" for row in order]
    matrix = world.features[order]
    write_embeddings(Embeddings(matrix, sources, [""] * len(sources)), folder / "ours.npy")
    found = json.loads(call("IJBC", "ours.npy", "--json")[1])
    assert (found["photos"], found["without_face"]) == (len(world.names), 1)
    matrix[0] = np.nan
    write_embeddings(Embeddings(matrix, sources, [""] * len(sources)), folder / "ours.npy")
    assert json.loads(call("IJBC", "ours.npy", "--json")[1])["without_face"] == 2


def test_a_template_without_a_face_loses_its_pairs(world: World, call: Call, folder: Path) -> None:
    probe = world.probes[0]
    matrix = world.features.copy()
    matrix[world.template == probe] = np.nan
    write_embeddings(Embeddings(matrix, world.names, [""] * len(matrix)), folder / "ours.npy")
    pairs = json.loads(call("IJBC", "ours.npy", "--json")[1])["verification"]
    assert pairs["failures"] == sum(probe in pair[:2] for pair in world.pairs)


def test_intervals_hold_the_figures_and_are_seeded(call: Call) -> None:
    words = ("IJBC", "--features", "features.npy", "--bootstrap", "100", "--json")
    found = json.loads(call(*words)[1])
    pairs, search = found["verification"], found["identification"]
    assert pairs["interval_over"] == search["interval_over"] == "subjects"
    assert set(pairs["interval"]) == {"1e-3", "1e-2", "1e-1"}
    for name, span in pairs["interval"].items():
        assert span["lo"] <= pairs["tar"][name] <= span["hi"], name
    assert set(search["interval"]) == {"rank1", "rank5", "rank10", "tpir@1e-1"}
    for name, span in search["interval"].items():
        assert span["lo"] <= search["separate"][name] <= span["hi"], name
    assert json.loads(call(*words)[1]) == found
    assert json.loads(call(*words, "--seed", "2")[1])["verification"]["interval"] != pairs["interval"]


def test_without_lists_of_subjects_genuine_pairs_tell_who_is_who(world: World, call: Call, tmp_path: Path) -> None:
    lists = write_lists(world, tmp_path)
    words = ("--similarities", "scores.npy", "--bootstrap", "100", "--json")
    named = json.loads(call(str(lists), *words)[1])["verification"]
    for path in tmp_path.glob("*.csv"):
        path.unlink()
    joined = json.loads(call(str(lists), *words)[1])["verification"]
    assert joined["interval_over"] == "subjects as genuine pairs join them"
    for name, span in named["interval"].items():  # the same people in another order
        assert joined["interval"][name]["lo"] == pytest.approx(span["lo"], abs=0.1)


def test_people_get_a_table_and_a_curve(call: Call, folder: Path) -> None:
    code, out, err = call("IJBC", "--features", "features.npy", "--bootstrap", "50", "--roc", "roc.json")
    assert (code, out) == (0, "")
    assert "TAR at FAR 1e-6" in err
    assert "needs 1,000,000 impostor pairs" in err
    assert "nearest" in err
    roc = json.loads((folder / "roc.json").read_text())["roc"]
    assert len(roc) > 50
    assert all(point["lo"] <= point["tpr"] <= point["hi"] for point in roc)
    assert roc[-1]["tpr"] == 1


def lacking(world: World, folder: Path) -> Path:
    """The lists without the faces of one template that a pair names."""
    place = write_lists(world, folder / "lacking")
    media = place / "ijbc_face_tid_mid.txt"
    lines = [line for line in media.read_text().splitlines() if int(line.split()[1]) != world.pairs[0][0]]
    media.write_text("\n".join(lines) + "\n")
    np.save(folder / "fewer.npy", world.features[world.template != world.pairs[0][0]])
    return place


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("IJBC",), "ijb takes one of EMBEDDED, --features and --similarities"),
        (("IJBC", "--similarities", "scores.npy", "--flip"), "--flip only with --features"),
        (("IJBC", "--similarities", "scores.npy", "--features", "features.npy"), "ijb takes one of"),
        (("IJBC", "--features", "features.npy", "--weighting", "best"), "a weighting is one of norm-detector, norm"),
        (("IJBC", "--features", "scores.npy"), "needed is a float matrix of 776 rows, one a line of the list"),
        (("IJBC", "--similarities", "features.npy"), "needed are 3,335 floats, one for each line of"),
        (("IJBC", "--features", "odd.npy", "--flip"), "odd.npy has 7 columns, which are not those of two views"),
        (("IJBC", "--features", "nan.npy"), "row 5 of nan.npy, counted from 0, holds NaN"),
        (("IJBC", "--similarities", "nan_scores.npy"), "the score of pair 3 is NaN"),
        (("IJBC", "--similarities", "scores.npy", "--bootstrap", "1"), "a bootstrap has 0 or at least 2 trials"),
        (("lacking", "--features", "fewer.npy", "--weighting", "norm"), "is not in the list of templates and media"),
        (("one_kind", "--similarities", "scores.npy"), "all 3,335 pairs are genuine; rates need both kinds"),
        (
            ("unscored", "--features", "features.npy"),
            "has no *_name_5pts_score.txt with the detector's scores; choose the",
        ),
        (("other", "--features", "features.npy"), "do not list the same photos in the same order"),
        (
            ("bare", "--features", "features.npy", "--weighting", "norm"),
            "neither a list of pairs nor lists of galleries",
        ),
        (
            ("bare", "--similarities", "scores.npy"),
            "has no list of pairs, *_template_pair_label.txt, to go with scores.npy",
        ),
        (
            ("IJBC", "strangers.npy"),
            "strangers.npy has none of the photos that are listed, the first of which is '1.jpg'",
        ),
    ],
)
def test_bad_input_ends_in_one_sentence(
    world: World, folder: Path, call: Call, words: tuple[str, ...], sentence: str
) -> None:
    spoiled = world.features.copy()
    spoiled[5, 1] = np.nan
    scores = scores_by_hand(world)
    np.save(folder / "nan.npy", spoiled)
    np.save(folder / "nan_scores.npy", np.where(np.arange(len(scores)) == 2, np.nan, scores))
    np.save(folder / "odd.npy", world.features[:, :7])
    write_embeddings(Embeddings(world.features[:1], ["a/b.png"], [""]), folder / "strangers.npy")
    lacking(world, folder)
    pairs = write_lists(world, folder / "one_kind") / "ijbc_template_pair_label.txt"
    pairs.write_text(pairs.read_text().replace(" 0\n", " 1\n"))
    (write_lists(world, folder / "unscored") / "ijbc_name_5pts_score.txt").unlink()
    landmarks = write_lists(world, folder / "other") / "ijbc_name_5pts_score.txt"
    landmarks.write_text(landmarks.read_text().replace("1.jpg", "one.jpg", 1))
    for path in write_lists(world, folder / "bare").iterdir():
        if path.name != "ijbc_face_tid_mid.txt":
            path.unlink()
    code, out, err = call(*words)
    assert (code, out) == (1, "")
    assert sentence in " ".join(err.split())
    assert err.count("\n") == 1
