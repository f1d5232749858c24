"""Identification on files: feature directories, plain .npy files, the devkit's folders, and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facerec import cli
from facerec.core import FacerecError, FormatError
from facerec.evaluation.identification import identify
from facerec.evaluation.identification.devkit import read_published
from facerec.evaluation.identification.on_files import identify_files, identify_npy, write_identification
from facerec.interop import devkit, photo_lists
from facerec.reporting import tables
from facerec.store import embeddings
from facerec.store.embeddings import Embeddings

GOLDEN = Path(__file__).parent / "golden" / "megaface"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "g1.npz") as file:
        return dict(file)


@pytest.fixture
def plain(golden, tmp_path) -> Path:
    """P.npy, D.npy and ids.txt, lists of photos and lists of noise."""
    np.save(tmp_path / "P.npy", golden["probes"])
    np.save(tmp_path / "D.npy", golden["distractors"])
    (tmp_path / "ids.txt").write_text("\n".join(golden["ids"]) + "\n")
    probes, distractors = photos(golden)
    (tmp_path / "P.txt").write_text("\n".join(probes))
    photo_lists.write_feature_list(photo_lists.FeatureList(tuple(distractors)), tmp_path / "D.json")
    (tmp_path / "Pn.txt").write_text("\n".join(["#noise", "nobody.png", *(f"p_{k}.png" for k in range(0, 144, 4))]))
    (tmp_path / "Dn.txt").write_text("0/0/32.jpg\n")
    return tmp_path


@pytest.fixture
def features(golden, tmp_path) -> Path:
    probes, distractors = photos(golden)
    embeddings.write_feature_sets(
        Embeddings(golden["probes"], probes, golden["ids"].tolist()),
        Embeddings(golden["distractors"], distractors, [""] * len(distractors)),
        tmp_path / "features",
    )
    return tmp_path / "features"


def photos(golden) -> tuple[list[str], list[str]]:
    """Photos as the uncropped list spells them, and distractors."""
    probes = [f"{name}/p {k}.JPG" for k, name in enumerate(golden["ids"])]
    return probes, [f"0/0/{k}.jpg" for k in range(len(golden["distractors"]))]


def run(*arguments: object) -> dict:
    result = CliRunner().invoke(cli.app, ["megaface", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def on_files(folder: Path, *more: object) -> dict:
    files = ("--probes", folder / "P.npy", "--ids", folder / "ids.txt", "--distractors", folder / "D.npy")
    return run("identify", *files, *more)


def test_plain_files_give_the_devkits_files(plain, golden):
    found = on_files(plain, "--fpr", 1e-3, "--fpr", 1e-6, "--devkit", plain / "devkit", "--bootstrap", 50)
    ours = identify(golden["probes"], golden["ids"], golden["distractors"], fprs=(1e-3, 1e-6))
    assert (found["pairs"], found["probes"], found["distractors"]) == (ours.pairs, 144, 500)
    assert found["rank1"] == ours.rank1
    assert found["tpr"] == {"1e-3": ours.tpr[1e-3], "1e-6": None}
    assert found["unsupported"] == ["1e-6"]
    assert found["interval"]["rank1"]["lo"] < found["rank1"] < found["interval"]["rank1"]["hi"]
    assert found["devkit"]["tpr@1e-3"].keys() == {"log", "linear", "next"}
    expected = json.loads((GOLDEN / "g1_cmc.json").read_text())
    wrote = json.loads((plain / "devkit/identify_cmc.json").read_text())
    for curve in ("cmc", "roc"):
        assert np.allclose(wrote[curve], expected[curve], rtol=0, atol=1e-6)
    assert read_published(plain / "devkit/identify_cmc.json").traditional_cmc is not None
    matches = json.loads((plain / "devkit/identify_matches.json").read_text())
    theirs = json.loads((GOLDEN / "g1_matches.json").read_text())
    assert [row["probes"] for row in matches] == [row["probes"] for row in theirs]


@pytest.mark.parametrize("variant", ["published", "centre", "zero", "delete"])
def test_plain_noise_equals_noise_of_a_directory(plain, features, variant):
    noise = ["--noise", variant, "--seed", 3, "--probe-list", plain / "P.txt", "--probe-noises", plain / "Pn.txt"]
    noise += ["--distractor-list", plain / "D.json", "--distractor-noises", plain / "Dn.txt"]
    direct = on_files(plain, *noise)
    lists_of_noise, out = (plain / "Pn.txt", plain / "Dn.txt"), plain / "cleaned"
    counts = run("denoise", features, *lists_of_noise, out, "--variant", variant, "--seed", 3)
    assert counts == direct.pop("noise")
    assert (counts["probes_matched"], counts["distractors_matched"]) == (36, 1)
    assert direct == run("identify", out, "--seed", 3)
    assert direct["rank1"] != on_files(plain)["rank1"]


def test_sweeps_are_listed(plain):
    found = on_files(plain, "--sweeps", 2, "--fpr", 1e-3)
    assert [(each["size"], each["set"]) for each in found["sweeps"]] == [
        *[(10, 1), (10, 2), (100, 1), (100, 2)],
        (500, 0),
    ]
    assert found["sweeps"][-1]["rank1"] == found["rank1"]
    assert found["sweeps"][0]["rank1"] > found["rank1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give FEATURES, or --probes"),
        (("--probes", "P.npy"), "Give FEATURES, or --probes"),
        (("features", "--probes", "P.npy"), "leave out the options"),
        (("--probes", "P.npy", "--ids", "x", "--distractors", "D.npy", "--noise", "zero"), "--probe-list"),
        (("--probes", "P.npy", "--ids", "x", "--distractors", "D.npy", "--probe-list", "x"), "no --noise"),
        (("--probes", "none.npy", "--ids", "x", "--distractors", "D.npy"), "cannot read"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments, message):
    with pytest.raises(FacerecError, match=message):
        CliRunner().invoke(cli.app, ["megaface", "identify", *arguments], catch_exceptions=False)


def test_lists_that_do_not_fit_are_refused(plain):
    (plain / "ids.txt").write_text("a\nb\n")
    with pytest.raises(FacerecError, match="144 probes need as many labels"):
        on_files(plain)


def test_features_travel_through_the_devkits_folders(features, tmp_path):
    counts = run("export", features, tmp_path / "devkit", "--algorithm", "mine")
    assert counts == {"probes": 144, "distractors": 500, "dim": 16}
    listed = [tmp_path / f"devkit/{name}_features_list.json" for name in ("facescrub", "megaface")]
    assert run("import", tmp_path / "devkit", *listed, tmp_path / "back", "--algorithm", "mine") == counts
    for name in ("probes", "distractors"):
        before, after = (embeddings.read_embeddings(folder / f"{name}.npy") for folder in (features, tmp_path / "back"))
        assert np.array_equal(before.matrix, after.matrix)
        assert (before.sources, before.identities) == (after.sources, after.identities)


def test_score_files_equal_the_devkits(features, golden, tmp_path):
    assert run("scores", features, tmp_path / "scores") == {"probes": 144, "distractors": 500}
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "facescrub_facescrub.bin",
        "facescrub_megaface.bin",
    }
    for name, key in (("facescrub_facescrub", "score_pp"), ("facescrub_megaface", "score_pd")):
        found = devkit.read_matrix(tmp_path / "scores" / f"{name}.bin")
        assert found.dtype == np.float32
        assert np.allclose(found, golden[key], rtol=0, atol=1e-6)


def test_what_a_stage_writes(features, tmp_path):
    judged = identify_files(features, (1e-3, 1e-9), sweeps=2, bootstrap=50, seed=1)
    write_identification({"raw": judged, "again": judged}, tmp_path / "out")
    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    assert written["raw_curves.json"] == written["again_curves.json"]
    assert set(written) >= {"raw_sweeps.json", "raw_matches.json", "raw_cmc.json", "result.json"}
    for name in ("cmc", "roc"):
        points = written["raw_curves.json"][name]
        rate = "rate" if name == "cmc" else "tpr"
        assert all(point["lo"] <= point[rate] <= point["hi"] for point in points)
        assert any(point["lo"] < point[rate] < point["hi"] for point in points)
    metrics = written["result.json"]["raw"]
    assert metrics["interval"].keys() == {"rank1", "tpr@1e-3"}
    assert metrics["rank1"] == judged.result.rank1


def test_a_published_file_is_read_in_three_ways(tmp_path):
    text = '{"cmc": [[0, 9], [0.9, 1]], "roc": [[0, 1e-6, 1e-4, 1], [0.5, 0.6, 0.8, 1]]}'
    (tmp_path / "cmc.json").write_text(text)
    found = run("published", tmp_path / "cmc.json", "--fpr", 1e-5)
    assert found["tpr"]["1e-5"] == pytest.approx({"log": 0.7, "linear": 0.6 + 0.2 / 11, "next": 0.8})
    shown = CliRunner().invoke(cli.app, ["megaface", "published", str(tmp_path / "cmc.json")])
    assert shown.exit_code == 0
    assert shown.stdout == ""


@pytest.mark.attack("Numbers", "copied probes, few distractors", "a note beside the number")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("sound", ""),
        ("copies", "50.0 % of the probes have the features of another probe"),
        ("few people", "the pairs show only 4 people"),
        ("distractors", "75.0 % of the distractors have no features"),
        ("probes", "25.0 % of the probes have no features"),
    ],
)
def test_identification_that_says_little_carries_a_note(tmp_path: Path, kind: str, told: str) -> None:
    rng = np.random.default_rng(1)
    people = 4 if kind == "few people" else 20
    probes, strangers = (rng.normal(size=(count, 16)).astype(np.float32) for count in (2 * people, 40))
    if kind == "copies":
        probes[1::2] = probes[::2]
    if kind == "distractors":
        strangers[:30] = np.nan
    if kind == "probes":
        probes[:10] = np.nan
    np.save(tmp_path / "P.npy", probes)
    np.save(tmp_path / "D.npy", strangers)
    (tmp_path / "ids.txt").write_text("".join(f"p{row // 2}\n" for row in range(2 * people)))
    judged, _ = identify_npy(tmp_path / "P.npy", tmp_path / "ids.txt", tmp_path / "D.npy", [0.1])
    assert (judged.doubt is None) == (kind == "sound")
    assert told in (judged.doubt or "")
    assert judged.metrics().get("doubt") == judged.doubt
    assert judged.metrics()["people"] == people
    found = {"identification": {"mine": {"raw": judged.metrics(), "cleaned": judged.metrics()}}}
    assert told in tables.identification_table(found).note
    assert told in " ".join(tables.headline_numbers(found)[0].notes)


@pytest.mark.attack("Numbers", "no distractors", "refused")
@pytest.mark.parametrize(("missing", "who"), [("D", "distractors"), ("P", "pairs of probes")])
def test_identification_of_nothing_is_refused(missing: str, who: str) -> None:
    probes, strangers = np.eye(6, dtype=np.float32)[[0, 0, 1, 1]], np.eye(6, dtype=np.float32)[2:]
    (strangers if missing == "D" else probes)[:] = np.nan
    with pytest.raises(FormatError, match=f"None of the {who} has features"):
        identify(probes, ["a", "a", "b", "b"], strangers)


@pytest.mark.attack("Numbers", "one probe a person", "refused")
def test_one_probe_a_person_is_refused() -> None:
    with pytest.raises(FormatError, match="two probes"):
        identify(np.eye(6, dtype=np.float32)[:3], ["a", "b", "c"], np.eye(6, dtype=np.float32)[3:])
