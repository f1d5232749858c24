"""Decisions about training faces: one file that people can read and change, and training obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from dvc.repo import Repo

from facerec import training
from facerec.core import FormatError, ParamsError, write_json
from facerec.params import parse_params
from facerec.reporting import summary
from facerec.store import decisions, shards
from facerec.store.decisions import Decision, Decisions, decided_labels, put_decisions, read_decisions, write_decisions
from facerec.training.data import TrainingFaces
from tests import finished
from tests.conftest import ROOT
from tests.models import recipe, write_set
from tests.pipeline.conftest import copy_sources

FOUND = (
    Decision("people", "leave-out", "foreign", photo="p001/2.jpg", like="p003", similarity=0.12345),
    Decision("people", "merge", "two-names", identity="p002", like="p000", similarity=0.8),
    Decision("people", "keep", "overlap", identity="p001", like="Ann: the first"),
    Decision("people", "leave-out", "overlap", identity="p004", like="Bob"),
)


@pytest.fixture
def people(tmp_path: Path) -> shards.Shards:
    return write_set(tmp_path / "people", range(6), photos=3)


def test_a_file_is_a_line_a_decision_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "decisions.yaml"
    write_decisions(Decisions(FOUND, {"model": "x.pt", "cut": 0.5}), path)
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# Change an action")
    assert lines[1] == "made: {model: x.pt, cut: 0.5}"
    assert lines[3] == (
        "- {set: people, photo: p001/2.jpg, action: leave-out, reason: foreign, like: p003, similarity: 0.1235}"
    )
    assert len(lines) == 3 + len(FOUND)
    again = read_decisions(path)
    assert [each.subject for each in again.decisions] == [each.subject for each in FOUND]
    assert again.made == {"model": "x.pt", "cut": 0.5}
    write_decisions(again, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == path.read_bytes()
    write_decisions(Decisions(()), path)
    assert read_decisions(path).decisions == ()


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    for number, decision in enumerate(FOUND):
        write_decisions(Decisions((decision,)), tmp_path / f"all/{number}/x.yaml")
    assert len(read_decisions(tmp_path / "all").decisions) == 4
    (tmp_path / "none").mkdir()
    with pytest.raises(FormatError, match=r"holds no \.yaml"):
        read_decisions(tmp_path / "none")


def test_what_a_person_decided_holds_when_proposals_are_made_again(tmp_path: Path) -> None:
    reviewed = tmp_path / "reviewed.yaml"
    write_decisions(Decisions((Decision("people", "keep", "foreign", photo="p001/2.jpg"),)), reviewed)
    decided = put_decisions(Decisions(FOUND), tmp_path / "out.yaml", reviewed)
    assert [each.action for each in decided.decisions] == ["keep", "merge", "keep", "leave-out"]
    assert read_decisions(tmp_path / "out.yaml").decisions[0].action == "keep"
    assert put_decisions(Decisions(FOUND), tmp_path / "out.yaml").decisions == FOUND


def test_labels_follow_the_decisions(people: shards.Shards) -> None:
    labels = decided_labels(people, people.labels, Decisions(FOUND).of_set("people"))
    assert labels.tolist() == [0] * 3 + [1, 1, -1] + [0] * 3 + [3] * 3 + [-1] * 3 + [5] * 3
    chain = [
        Decision("people", "merge", "two-names", identity="p000", like="p001"),
        Decision("people", "merge", "two-names", identity="p002", like="p000"),
        Decision("people", "leave-out", "overlap", identity="p001", like="Bob"),
    ]
    assert decided_labels(people, people.labels, chain).tolist() == [-1] * 9 + [3] * 3 + [4] * 3 + [5] * 3
    assert decided_labels(people, people.labels, []).tolist() == people.labels.tolist()


def test_training_obeys(people: shards.Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "decisions.yaml"
    write_decisions(Decisions((*FOUND, Decision("others", "leave-out", "overlap", identity="x"))), path)
    trained = training.fit([people], recipe(exclude=str(path), epochs=1), torch.device("cpu"))
    assert (trained.images, trained.identities) == (14, 4)
    assert "decisions about others change nothing" in capsys.readouterr().err
    faces = TrainingFaces([people], exclude=path)
    assert faces.classes == 4
    np.testing.assert_array_equal(np.unique(faces.labels), [-1, 0, 1, 2, 3])
    with pytest.raises(ParamsError, match=r"after train.min_images and train.exclude left out 18"):
        TrainingFaces([people], 7, path).check(8)


def test_another_file_is_another_training(people: shards.Shards, tmp_path: Path) -> None:
    path, wanted = tmp_path / "decisions.yaml", recipe(exclude=str(tmp_path / "decisions.yaml"))
    folders = []
    for found in (FOUND, FOUND[:2]):
        write_decisions(Decisions(found), path)
        with training.keep_checkpoints([people], wanted) as kept:
            folders.append(kept.folder.name)
    assert folders[0] != folders[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("decisions: [{set: people, photo: a.jpg, action: drop, reason: x}]", "decisions.0.action"),
        ("decisions: [{set: people, photo: a.jpg, action: keep, reason: x, colour: red}]", "decisions.0.colour"),
        ("decisions: [{set: people, action: keep, reason: x}]", "names an identity or a photo"),
        ("decisions: [{set: people, photo: a, action: merge, reason: x, like: b}]", "merge in people takes"),
        ("decisions: 7", "decisions:"),
        ("[", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"mine.yaml.*{message}"):
        read_decisions(path)
    with pytest.raises(FormatError, match="does not exist"):
        read_decisions(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("subject", [{"photo": "p009/1.jpg"}, {"identity": "p009"}])
def test_a_decision_about_what_is_not_there_is_an_error(subject: dict[str, str], people: shards.Shards) -> None:
    decision = Decision("people", "leave-out", "foreign", **subject)
    with pytest.raises(FormatError, match=r"'p009.*does not hold; make the decisions again"):
        decided_labels(people, people.labels, [decision])
    assert decisions.Decisions((decision,)).sets == ["people"]


def asked(**changes: Any) -> dict[str, Any]:
    """The default experiment, in which a network checks the training set and looks for people of benchmarks."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["download"] = {"mobilefacenet_foamliu_pt": {}}
    raw["clean"] = {"synth_people": {"model": "data/raw/mobilefacenet_foamliu_pt", "reviewed": None}}
    raw["overlap"] = {
        "synth_lfw": {"model": "data/raw/mobilefacenet_foamliu_pt", "faces": "synth_lfw", "reviewed": None},
        "synth_megaface": {"model": "data/raw/mobilefacenet_foamliu_pt", "faces": "synth_facescrub", "reviewed": None},
    }
    raw["train"] |= {"exclude": "data/decisions", "teacher": "data/raw/mobilefacenet_foamliu_pt"}
    return raw | changes


def test_what_is_asked_for_is_checked() -> None:
    assert parse_params(asked()).train.exclude == "data/decisions"
    judge = {"model": "data/raw/mobilefacenet_foamliu_pt", "reviewed": None}
    for changes, message in (
        ({"clean": {"synth_lfw": judge}}, "clean.synth_lfw is no training set"),
        ({"overlap": {"synth_lfw": {**judge, "faces": "synth_pack"}}}, "the faces of synth_lfw are synth_lfw"),
        ({"overlap": {"other": {**judge, "faces": "synth_lfw"}}}, "it is no benchmark"),
        ({"clean": {}, "overlap": {}}, "neither clean nor overlap names a set"),
        ({"clean": {"synth_people": {**judge, "model": "models/backbone.pt"}}}, "trained after its decisions"),
        ({"download": {}}, "data/raw/mobilefacenet_foamliu_pt, which download does not fetch"),
        (
            {"clean": {"synth_people": {"model": "data/raw/mobilefacenet_foamliu_pt"}}},
            "clean.synth_people.reviewed is missing",
        ),
    ):
        with pytest.raises(ParamsError, match=message):
            parse_params(asked(**changes))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")
def test_the_graph_puts_decisions_between_faces_and_training(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(asked()))
    Repo.init(str(tmp_path), no_scm=True, force=True).close()
    with Repo(str(tmp_path)) as repo:
        repo.index.check_graph()
        follows = {(str(after.name), str(before.name)) for after, before in repo.index.graph.edges}
    assert {
        ("clean@synth_people", "align@synth_people"),
        ("overlap@synth_lfw", "align@synth_lfw"),
        ("overlap@synth_megaface", "unpack@synth_pack"),
        ("train@backbone", "clean@synth_people"),
        ("train@backbone", "overlap@synth_megaface"),
        ("train@backbone", "download@mobilefacenet_foamliu_pt"),
        ("disjoint@synth_lfw", "verify@synth_lfw"),
        ("disjoint@synth_lfw", "overlap@synth_lfw"),
        ("plots", "disjoint@synth_lfw"),
    } <= {(after, str(before)) for after, before in follows}


def test_the_report_and_the_summary_have_results_with_and_without_the_people_in_common(tmp_path: Path) -> None:
    run = parse_params(asked())
    counted = {"identities": 60, "images": 720, "identities_c": 58, "images_c": 696}
    tested = {"test_identities": 200, "test_images": 700, "test_identities_c": 198, "test_images_c": 693}
    measured = {"pairs": 800, "pairs_c": 780, "accuracy": 0.94, "accuracy_c": 0.93125}
    interval = {"accuracy_c_low": 0.91, "accuracy_c_high": 0.95}
    kinds = {"two_names": 1, "unusable": 7, "duplicate": 8, "foreign": 9, "cut_foreign": 0.27, "unjudged": 0}
    for stage, values in (("overlap", counted | tested), ("disjoint", measured | interval)):
        write_json(tmp_path / f"metrics/{stage}/synth_lfw.json", {"synth_lfw": values})
        write_json(
            tmp_path / f"metrics/{stage}/synth_megaface.json", {"synth_megaface": counted if stage == "overlap" else {}}
        )
    write_json(tmp_path / "metrics/clean/synth_people.json", {"synth_people": counted | kinds})
    made = finished.make(tmp_path, run)
    page = made.page()
    for text in ("Identities (C)", "Images (C)", "Accuracy (C)", "93.12\u00a0%", "Duplicates", "696"):
        assert text in page, text
    lines = summary.headline(made.found)
    assert lines["synth_lfw"]["accuracy_c"] == 0.93125
    assert lines["synth_lfw"]["identities_c"] == lines["synth_megaface"]["identities_c"] == 58
    assert lines["synth_people"]["duplicate"] == 8
    plain = finished.make(tmp_path / "plain", finished.default()).page()
    assert "(C)" not in plain
    assert "exclude" not in plain
