"""compare, enroll and search as a user runs them: tables, one JSON object, pictures, one clear sentence."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from facerec.cli import app
from facerec.core import console
from facerec.imaging import images
from facerec.store import gallery as galleries
from facerec.store import shard_writing, shards
from tests.conftest import ROOT
from tests.recognition import blank, group, photo, save_model, write_scores

CAUTION = "No evidence about real people: the network was trained on synthetic faces only (synth_people)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with a model, scores of it, photos in folders named after people, and photos to look up."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "models").mkdir()
    digest = save_model(folder / "models/backbone.pt")
    for name in ("ann", "bob"):
        (folder / f"people/{name}").mkdir(parents=True)
        (folder / f"people/{name}/1.jpg").write_bytes(photo(name))
    (folder / "people/ann/2.jpg").write_bytes(photo("ann", roll=0.2))
    (folder / "eve.jpg").write_bytes(photo("eve"))
    (folder / "group.jpg").write_bytes(group())
    (folder / "blank.jpg").write_bytes(blank())
    (folder / "text.jpg").write_text("no photo")
    near = np.full(100, 1e-6) + np.arange(100) * 1e-9
    write_scores(folder / "data/scores/near", digest, near, "near", rendered=True)
    return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Run a command in the project, inside this process; returns exit code, standard output and error."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")
    capsys.readouterr()

    def call(command, *words):
        words = words if "--model" in words else (*words, "--model", "models/backbone.pt")
        code = console.run_command(lambda: app([command, *map(str, words)], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def one_object(out):
    """The JSON object of an output that holds nothing else."""
    assert out.count("\n") == 1
    return json.loads(out)


def one_sentence(result):
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.slow
def test_compare_as_a_process(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    words = (
        "compare",
        "people/ann/1.jpg",
        "people/ann/2.jpg",
        "--model",
        "models/backbone.pt",
        "--far",
        "0.05",
        "--json",
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("facerec")), *words, "--picture", "pair.png"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = one_object(done.stdout)
    assert found["same"] is (found["distance"] < found["threshold"]["distance"])
    assert found["threshold"]["benchmark"] == "near"
    assert found["caution"].startswith(CAUTION)
    assert [each["faces"] for each in found["photos"]] == [1, 1]
    assert images.decode((folder / "pair.png").read_bytes()).shape[1] == 1350


def test_compare_says_it_to_people(call):
    code, out, err = call("compare", "people/ann/1.jpg", "people/ann/1.jpg", "--far", "0.05")
    assert (code, out) == (0, "")
    assert "1 face, score 0." in err
    assert "1.000 (squared distance 0.000)" in err
    assert "5 of the 100 different pairs are above it" in err
    assert (
        "Same person, at a false accept rate of 5e-2 measured on near (100 different pairs of synthetic faces)." in err
    )
    assert CAUTION in err
    _, _, err = call("compare", "people/ann/1.jpg", "group.jpg", "--rule", "largest")
    assert "one of 2 faces, score " in err
    assert "Different people, at a false accept rate of 1e-2" in err


def test_compare_without_scores_decides_nothing(call, tmp_path):
    save_model(tmp_path / "other.pt", seed=3, trained_on=None)
    words = ("people/ann/1.jpg", "eve.jpg", "--model", tmp_path / "other.pt")
    found = one_object(call("compare", *words, "--json")[1])
    assert (found["same"], found["threshold"], found["caution"]) == (None, None, "")
    assert "facerec verify" in found["decision"]
    _, _, err = call("compare", *words)
    assert "similarity" in err
    assert "No threshold is known for this model, so nothing is decided" in err
    assert "was measured with another model" in one_sentence(call("compare", *words, "--scores", "data/scores/near"))


def test_matplotlib_is_loaded_for_pictures_only(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "facerec.reporting.recognition_pictures", None)  # importing it now fails
    assert call("compare", "people/ann/1.jpg", "people/ann/2.jpg", "--json")[0] == 0


def test_rates_that_the_benchmark_cannot_tell_are_refused(call):
    err = one_sentence(call("compare", "people/ann/1.jpg", "eve.jpg", "--far", "1e-3"))
    assert "near is too small: a false accept rate of 1e-3 needs 1,000 different-person pairs" in err
    assert "the lowest rate they can tell is 1e-2" in err
    assert "lies between 0 and 1" in one_sentence(call("compare", "people/ann/1.jpg", "eve.jpg", "--far", "2"))


def test_enrolling_and_searching(call, folder, tmp_path):
    team = tmp_path / "team.gallery"
    made = one_object(call("enroll", team, "people", "--json")[1])
    assert (made["added"], made["replaced"], made["refused"]) == (3, 0, [])
    assert made["people"] == {"ann": 2, "bob": 1}
    found = one_object(call("search", team, "people/bob/1.jpg", "--json", "--far", "0.01")[1])
    assert [face["name"] for face in found["faces"]] == ["bob"]
    assert found["faces"][0]["candidates"][0]["photo"] == "bob/1.jpg"
    assert found["comparisons"] == 3
    assert found["fpir"] == pytest.approx(1 - 0.99**3)
    code, out, err = call("search", team, "group.jpg", "--top", "1", "--picture", tmp_path / "who.png")
    assert (code, out) == (0, "")
    assert err.count("unknown") == 2
    assert "for each comparison; among 3 photos a stranger is taken for somebody in about 10 % of searches." in err
    assert CAUTION in err
    assert images.decode((tmp_path / "who.png").read_bytes()).ndim == 3
    listed = one_object(call("search", team, "eve.jpg", "--every-photo", "--rule", "center", "--json")[1])
    assert [len(face["candidates"]) for face in listed["faces"]] == [3]


def test_adding_again_replaces_and_moves(call, folder, tmp_path):
    team = tmp_path / "team.gallery"
    call("enroll", team, "people")
    before = team.read_bytes()
    again = one_object(call("enroll", team, "people", "--json")[1])
    assert (again["added"], again["replaced"], again["photos"]) == (0, 3, 3)
    assert team.read_bytes() == before
    code, _, err = call("enroll", team, "people/bob/1.jpg", "--name", "Bobby")
    assert code == 0
    assert "note: people/bob/1.jpg: was bob's, is now Bobby's" in err
    assert galleries.read_gallery(team).people == {"Bobby": 1, "ann": 2}


def test_forgetting_needs_no_model(call, tmp_path):
    team = tmp_path / "team.gallery"
    call("enroll", team, "people")
    code, out, _ = call("enroll", team, "--remove", "ann", "--json", "--model", "nowhere.onnx")
    assert code == 0
    assert one_object(out)["removed"] == {"ann": 2}
    assert galleries.read_gallery(team).people == {"bob": 1}
    assert b"ann/1.jpg" not in team.read_bytes()
    assert "has no 'bop'; did you mean bob?" in one_sentence(call("enroll", team, "--remove", "bop"))
    call("enroll", team, "--remove", "bob")
    assert "gallery is empty" in one_sentence(call("search", team, "eve.jpg"))
    code, out, _ = call("enroll", team, "eve.jpg", "--name", "eve", "--remove", "ann", "--json")
    assert code == 1, "ann is not in it any more"
    assert galleries.read_gallery(team).people == {}


@pytest.mark.slow
def test_photos_come_from_anywhere(call, folder, tmp_path):
    with tarfile.open(tmp_path / "people.tgz", "w:gz") as tar:
        tar.add(folder / "people", "people")
    (tmp_path / "list.txt").write_text("ann/1.jpg\tAnn of the list\nbob/1.jpg\tBob\n")
    rows = [{"image": photo("eve"), "label": 0, "identity": "Eve", "source": "Eve/1.jpg"}]
    shard_writing.write_shards(rows, tmp_path / "shards", shards.Meta("photos", "x"))
    for words, people in (
        ((tmp_path / "people.tgz",), {"ann": 2, "bob": 1}),
        (("people", "--name", "all of them"), {"all of them": 3}),
        (("people", "--list", tmp_path / "list.txt"), {"Ann of the list": 1, "Bob": 1}),
        ((tmp_path / "shards",), {"Eve": 1}),
        (("people/ann", "people/bob"), {"ann": 2, "bob": 1}),
    ):
        team = tmp_path / f"{len(list(tmp_path.iterdir()))}.gallery"
        result = call("enroll", team, *words, "--json")
        assert result[0] == 0, result
        made = one_object(result[1])
        assert made["people"] == people
    bare = one_object(call("enroll", tmp_path / "bare", "eve.jpg", "--name", "Eve", "--without-faces", "--json")[1])
    assert bare["people"] == {"Eve": 1}
    assert galleries.read_gallery(tmp_path / "bare").entries[0].face is None
    assert call("search", tmp_path / "bare", "eve.jpg", "--picture", tmp_path / "x.svg")[0] == 0


def test_photos_that_cannot_be_enrolled_are_told_and_the_others_are_kept(call, folder, tmp_path):
    box = tmp_path / "box"
    (box / "ann").mkdir(parents=True)
    (box / "loose.jpg").write_bytes(photo("bob"))
    (box / "ann/1.jpg").write_bytes(photo("ann"))
    (box / "ann/2.jpg").write_bytes(blank())
    (box / "ann/3.jpg").write_text("no photo")
    (box / "ann/4.jpg").write_bytes(group())
    (box / "ann/5.jpg").write_bytes(blank() + b" ")
    code, _, err = call("enroll", tmp_path / "team", box)
    assert code == 0
    notes = [line for line in err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 4  # one for each reason
    for told in (
        "loose.jpg: It has no name",
        "ann/2.jpg, ann/5.jpg: There is no face (fallbacks tried: detector, retry)",
        "ann/3.jpg: The file is not an image",
        "ann/4.jpg: several faces, of which one was taken",
    ):
        assert f"note: {told}" in err
    assert galleries.read_gallery(tmp_path / "team").people == {"ann": 2}
    before = (tmp_path / "team").read_bytes()
    err = one_sentence(call("enroll", tmp_path / "team", "blank.jpg", "text.jpg", "--name", "x"))
    assert "None of the 2 photos can be enrolled; the first, blank.jpg: There is no face" in err
    assert "blank.jpg: There is no face" in one_sentence(call("enroll", tmp_path / "new", "blank.jpg", "--name", "x"))
    assert (tmp_path / "team").read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_mistakes_are_one_sentence(call, folder, tmp_path):
    team = tmp_path / "team.gallery"
    call("enroll", team, "people")
    (tmp_path / "damaged").write_bytes(team.read_bytes()[:-50])
    for words, reason in (
        (("compare", "eve.jpg", "missing.jpg"), "missing.jpg does not exist; name a photo"),
        (("compare", "eve.jpg", "people"), "people is a folder; name one photo in it"),
        (("compare", "eve.jpg", "text.jpg"), "text.jpg: The file is not an image of a known format"),
        (("compare", "eve.jpg", "blank.jpg"), "blank.jpg: There is no face"),
        (("compare", "eve.jpg", "eve.jpg", "--picture", "x.jpg"), "written as .png or .svg, not x.jpg"),
        (("compare", "eve.jpg", "eve.jpg", "--scores", "nowhere"), "nowhere is not a readable table"),
        (("search", tmp_path / "none", "eve.jpg"), "none does not exist; `facerec enroll` makes one"),
        (("search", tmp_path / "damaged", "eve.jpg"), "not a readable table"),
        (("search", folder / "models/backbone.pt", "eve.jpg"), "not a readable table"),
        (("search", team, "eve.jpg", "--far", "0.1", "--fpir", "0.1"), "give one of them"),
        (("search", team, "eve.jpg", "--fpir", "0.01"), "needs an --fpir of 0.03 or more"),
        (("search", team, "eve.jpg", "--rule", "best"), "No rule 'best'"),
        (("enroll", tmp_path / "damaged", "people"), "not a readable table"),
        (("enroll", team, "people", "--name", "x", "--list", "y"), "give one of them"),
        (("enroll", team, "people", "people", "--list", "y"), "give exactly one"),
        (("enroll", team, "people", "--name", " "), "--name takes a name"),
        (("enroll", team, "nobody"), "nobody does not exist"),
        (("enroll", tmp_path / "new", "eve.jpg"), "It has no name"),
    ):
        assert reason in one_sentence(call(*words)), words
    assert "takes PHOTOS, or --remove" in one_sentence(call("enroll", team))
    save_model(tmp_path / "other.pt", seed=4)
    for command, words in (("search", ("eve.jpg",)), ("enroll", ("people",))):
        err = one_sentence(call(command, team, *words, "--model", tmp_path / "other.pt"))
        assert "team.gallery was made with another model" in err
    (tmp_path / "bare.onnx").write_bytes(b"")
    err = one_sentence(call("compare", "eve.jpg", "eve.jpg", "--model", tmp_path / "bare.onnx"))
    assert "cannot be read as ONNX" in err


def test_a_search_can_be_held_to_a_rate_of_its_own(call, tmp_path):
    team = tmp_path / "team.gallery"
    call("enroll", team, "people")
    found = one_object(call("search", team, "people/ann/1.jpg", "--fpir", "0.1", "--json")[1])
    assert found["fpir"] == pytest.approx(0.1)
    assert found["threshold"]["far"] == pytest.approx(1 - 0.9 ** (1 / 3))
    assert found["threshold"]["different_accepted"] == 3
    assert one_sentence(call("search", team, "eve.jpg", "--fpir", "0.0296")).endswith("of 0.03 or more.\n")
    assert call("search", team, "eve.jpg", "--fpir", "0.03")[0] == 0
