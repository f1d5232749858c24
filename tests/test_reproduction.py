"""The verdict on a run: made-up locks for every way in which two can differ, and the reasons of this machine."""

from __future__ import annotations

import copy
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from facerec import core
from facerec.core import PORTABLE, FormatError
from facerec.core.portable import VARIABLES
from facerec.reporting import reproduction, summary
from facerec.reporting.reproduction import LockComparison, RecordedRun
from tests.conftest import ROOT

Lock = dict[str, Any]
PAGE = ROOT / "docs/reproducing.md"
COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
STAGES = ("render@people", "train@backbone", "verify@lfw", "plots")


def item(path: str, digest: str) -> dict[str, Any]:
    return {"path": path, "hash": "md5", "md5": digest, "size": 1}


LOCK: Lock = {
    "schema": "2.0",
    "stages": {
        "render@people": {
            "cmd": "python -m stages.render people",
            "deps": [item("synthfaces/render.py", "c0"), item("data/catalog/people.yaml", "d0")],
            "params": {"params.yaml": {"render.people": {"photos": 12}}},
            "outs": [item("data/raw/people", "a0.dir"), item("reports/metrics/download/people.json", "a1")],
        },
        "train@backbone": {
            "cmd": "python -m stages.train backbone",
            "deps": [item("facerec/training", "c1.dir"), item("data/raw", "a0.dir")],
            "params": {"params.yaml": {"train": {"seed": 1, "head": {"name": "arcface", "margin": 0.2}}}},
            "outs": [item("models/backbone.pt", "b0")],
        },
        "verify@lfw": {
            "cmd": "python -m stages.verify lfw",
            "deps": [item("models/backbone.pt", "b0"), item("data/raw/people/pairs.txt", "a2")],
            "params": {"params.yaml": {"verify": {"far": 0.01}}},
            "outs": [item("data/scores/lfw", "e0.dir")],
        },
        "plots": {
            "cmd": "python -m stages.plots",
            "deps": [item("data/scores", "e0.dir")],
            "outs": [item("s.json", "f0")],
        },
        "detect@gone": {"cmd": "python -m stages.detect gone", "outs": [item("data/detections/gone.parquet", "00")]},
    },
}
"""The run to reproduce; detect@gone is a stage that its dvc.yaml no longer has."""


def record(lock: Lock, revision: str = "workspace", names: tuple[str, ...] = STAGES, **more: str) -> RecordedRun:
    return reproduction.record_run(
        revision, more.pop("commit", ""), yaml.safe_dump(lock, sort_keys=False), names, **more
    )


def changed(**digests: str) -> Lock:
    """The lock with other digests, where a stage records these paths ("/" written as "__", "." as "_0_")."""
    lock = copy.deepcopy(LOCK)
    wanted = {name.replace("__", "/").replace("_0_", "."): digest for name, digest in digests.items()}
    for stage in lock["stages"].values():
        for each in (*stage.get("deps", []), *stage["outs"]):
            each["md5"] = wanted.get(each["path"], each["md5"])
    return lock


def compare(here: Lock) -> LockComparison:
    return reproduction.compare_locks(record(LOCK, "HEAD", commit=COMMIT), record(here))


def test_equal_outputs_are_counted() -> None:
    found = compare(LOCK)
    assert found.reproduced
    assert reproduction.verdict_lines(found, []) == ["All 5 outputs have the bytes of the run at HEAD (1a2b3c4)."]


def test_stages_that_dvc_yaml_no_longer_has_do_not_count() -> None:
    found = compare(changed(data__detections__gone_0_parquet="11"))
    assert (found.reproduced, found.outputs) == (True, 5)


def test_code_that_gives_the_same_bytes_is_no_difference() -> None:
    assert compare(changed(facerec__training="c9.dir")).reproduced


def test_a_commit_is_its_own_name() -> None:
    assert record(LOCK, "1a2b3c4", commit=COMMIT).name == "1a2b3c4"
    assert record(LOCK, "HEAD@{1}", commit=COMMIT).name == "HEAD@{1} (1a2b3c4)"


def test_the_first_stages_are_those_whose_inputs_are_equal() -> None:
    other = changed(
        data__raw__people="a9.dir", data__raw="a9.dir", models__backbone_0_pt="b9", data__scores__lfw="e9.dir"
    )
    found = compare(other)
    assert found.first == {"render@people": ["data/raw/people"]}
    assert found.following == ["train@backbone", "verify@lfw"]
    assert found.differing == ["data/raw/people", "models/backbone.pt", "data/scores/lfw"]
    assert (found.parameters, found.code, found.inputs) == ([], [], []), "what a stage makes is no input of the run"
    assert reproduction.verdict_lines(found, ["it rains"]) == [
        "3 of 5 outputs differ from those of the run at HEAD (1a2b3c4).",
        "First to differ, although their inputs are equal:",
        "  render@people: data/raw/people",
        "Stages that differ after these: 2.",
        "The likely reason: it rains.",
        "To compare runs made here, commit this one as a baseline first; see docs/reproducing.md.",
    ]


def test_two_stages_may_differ_first() -> None:
    found = compare(changed(data__raw__people="a9.dir", models__backbone_0_pt="b9"))
    assert list(found.first) == ["render@people", "train@backbone"]
    assert reproduction.verdict_lines(found, [])[-1] == (
        "The likely reason: unknown; please report it with the output of `facerec reproduced --json`."
    )


def test_of_many_first_stages_five_are_named() -> None:
    first = {f"render@{number}": ["a"] for number in range(7)}
    found = LockComparison("HEAD", 7, ["a"], first, [], [], [], [], [], [])
    assert reproduction.verdict_lines(found, [])[-3:-1] == ["  render@4: a", "  and 2 more"]


def test_other_parameters_are_another_experiment() -> None:
    other = changed(models__backbone_0_pt="b9")
    other["stages"]["train@backbone"]["params"]["params.yaml"]["train"] = {"head": {"name": "arcface", "margin": 0.3}}
    found = compare(other)
    assert found.parameters == ["train.seed", "train.head.margin"]
    assert found.first == {}
    assert reproduction.verdict_lines(found, []) == [
        "1 of 5 outputs differ from those of the run at HEAD (1a2b3c4).",
        "This is another experiment; only with equal parameters can bytes be equal, and these differ: train.seed, "
        "train.head.margin.",
    ]


def test_many_names_end_in_a_count() -> None:
    other = changed(models__backbone_0_pt="b9")
    other["stages"]["train@backbone"]["params"]["params.yaml"]["train"] = {f"k{number}": 1 for number in range(9)}
    assert "train.seed, train.head.name, train.head.margin, train.k0, train.k1 and 7 more." in "\n".join(
        reproduction.verdict_lines(compare(other), [])
    )


def test_other_code_and_other_files_are_named() -> None:
    other = changed(
        facerec__training="c9.dir", models__backbone_0_pt="b9", data__catalog__people_0_yaml="d9", data__raw__people="z"
    )
    other["stages"]["verify@lfw"].update(
        cmd="python -m stages.verify lfw --fast", outs=[item("data/scores/lfw", "e9.dir")]
    )
    found = compare(other)
    assert (found.code, found.inputs) == (["facerec/training", "dvc.yaml"], ["data/catalog/people.yaml"])
    assert found.first == {}
    lines = reproduction.verdict_lines(found, [])
    assert lines[1:] == [
        "The code is not the same: facerec/training, dvc.yaml.",
        "Files that no stage makes are not the same: data/catalog/people.yaml.",
    ]


def test_stages_of_one_side_are_named() -> None:
    other = copy.deepcopy(LOCK)
    other["stages"]["mine"] = other["stages"].pop("plots")
    there = record(LOCK, "HEAD@{1}", commit=COMMIT)
    found = reproduction.compare_locks(there, record(other, names=(*STAGES[:3], "mine")))
    assert (found.only_there, found.only_here, found.reproduced) == (["plots"], ["mine"], False)
    assert reproduction.verdict_lines(found, [])[1:] == [
        "Stages that only the run at HEAD@{1} (1a2b3c4) has: plots.",
        "Stages that only the workspace has: mine.",
    ]


def test_the_answer_for_programs_is_whole() -> None:
    found = compare(changed(s_0_json="f9"))
    answer = json.loads(json.dumps(reproduction.verdict_as_dict(found, ["it rains"])))
    assert answer == {
        "reproduced": False,
        "revision": "HEAD (1a2b3c4)",
        "outputs": 5,
        "differing": ["s.json"],
        "first": {"plots": ["s.json"]},
        "following": [],
        "parameters": [],
        "code": [],
        "inputs": [],
        "only_here": [],
        "only_there": [],
        "reasons": ["it rains"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "stages: 1",
        "stages:\n  plots: x",
        "<<<<<<< HEAD\na: {",
        "stages: {plots: {cmd: x, outs: [{path: a}]}}",
    ],
)
def test_a_damaged_lock_is_one_sentence(text: str) -> None:
    with pytest.raises(FormatError, match=r"dvc\.lock of HEAD \(1a2b3c4\) is damaged; .*dvc repro"):
        reproduction.record_run("HEAD", COMMIT, text, ["plots"])


def test_a_lock_of_another_graph_holds_no_run() -> None:
    with pytest.raises(FormatError, match=r"records no stage of its dvc\.yaml"):
        record(LOCK, names=("other",))


def reasons(
    monkeypatch: pytest.MonkeyPatch, here: str | None, there: str | None, now: str, pinned: str = ""
) -> list[str]:
    """The reasons on a machine whose arithmetic is `now`."""
    monkeypatch.setattr(reproduction, "describe_arithmetic", lambda device="cpu": now)
    one, other = record(LOCK, "HEAD", commit=COMMIT, constraints=pinned), record(LOCK)
    return reproduction.likely_reasons(
        RecordedRun(one.name, one.stages, there, one.versions), RecordedRun(other.name, other.stages, here)
    )


def test_the_kind_of_machine_is_the_first_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    off = "x86-64 with portable arithmetic turned off"
    assert reasons(monkeypatch, None, None, PORTABLE) == []
    assert reasons(monkeypatch, PORTABLE, PORTABLE, PORTABLE) == []
    assert reasons(monkeypatch, None, None, "Darwin on arm64") == ["the workspace was computed on Darwin on arm64"]
    assert reasons(monkeypatch, off, None, PORTABLE) == [f"the workspace was computed on {off}"], "as its run recorded"
    assert reasons(monkeypatch, f"a GPU (cuda), {PORTABLE}", None, "a GPU (cuda)") == [
        "the workspace was computed on a GPU (cuda)"
    ]
    assert reasons(monkeypatch, None, "a GPU (cuda)", PORTABLE) == [
        "the run at HEAD (1a2b3c4) was computed on a GPU (cuda)"
    ]


def test_settings_that_are_not_portable_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run = record(LOCK)
    (reason,) = reproduction.likely_reasons(run, run)
    assert reason == f"the workspace was computed on {core.describe_arithmetic()}"
    assert core.describe_arithmetic() != PORTABLE


def test_versions_that_differ_are_named_where_they_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy, torch = metadata.version("numpy"), metadata.version("torch").partition("+")[0]
    pinned = f"# pins\nnumpy==0.1 ; python_version > '3'\ntorch=={torch}\nrich==0.1\nretina-face==0.1\n"
    found = reasons(monkeypatch, None, None, PORTABLE, pinned)
    assert f"numpy is {numpy} here and 0.1 in constraints.txt" in found
    assert not any(name in reason for reason in found for name in ("torch", "rich"))


def test_the_page_gives_a_reason_for_each_setting() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)=([^`]+)` \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name: value for name, value, *_ in rows} == VARIABLES


def test_the_summary_names_every_kind_of_machine_once() -> None:
    gpu = {"arithmetic": "a GPU (cuda)"}
    runs = {"cleaned": {"rank1": 0.5, **gpu}, "raw": {"rank1": 0.4, **gpu}}
    trained = {"backbone": {"train_loss": 1.0, "arithmetic": PORTABLE}}
    assert summary.headline({"identification": {"mega": runs}})["arithmetic"] == "a GPU (cuda)"
    assert summary.headline({"identification": {"mega": runs}, "train": trained})["arithmetic"] == (
        f"a GPU (cuda), {PORTABLE}"
    )
    assert "arithmetic" not in summary.headline({"train": {"backbone": {"train_loss": 1.0}}})


def test_a_run_that_is_not_portable_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, told in (
        (PORTABLE, ""),
        ("Darwin on arm64", "note: this run was computed on Darwin on arm64, so its bytes"),
    ):
        summary.write_summary({"train": {"backbone": {"arithmetic": kind}}}, tmp_path / "summary.json")
        assert json.loads((tmp_path / "summary.json").read_text())["arithmetic"] == kind
        said = capsys.readouterr().err
        assert said.startswith(told)
        assert bool(said) == bool(told)
    summary.write_summary({"train": {"backbone": {"train_loss": 1.0}}}, tmp_path / "summary.json")
    assert capsys.readouterr().err == ""
