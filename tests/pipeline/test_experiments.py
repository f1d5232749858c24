"""Experiments with real dvc commands: what a changed parameter re-runs, and what it leaves alone."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from facerec.store import shards
from tests.conftest import ROOT
from tests.pipeline.conftest import Project, executed

pytestmark = pytest.mark.pipeline

EVALUATION = ("embed", "verify", "megaface_features", "megaface_denoise", "megaface_identify", "plots", "report")
RERUNS = {
    "detect.min_face=60": ("detect", "align", "train", "export", *EVALUATION),
    "align.size=224": ("align", "train", "export", *EVALUATION),
    "train.head.margin=0.3": ("train", "export", *EVALUATION),
    "verify.far=0.1": ("verify", "plots", "report"),
    "identify.noise=delete": ("megaface_denoise", "megaface_identify", "plots", "report"),
    "identify.fprs=[0.01]": ("megaface_identify", "plots", "report"),
}


def test_the_docs_say_what_each_parameter_reruns() -> None:
    rows = re.findall(r"^\| `([a-z_.]+=\S+)` \| (.+?) \|$", (ROOT / "docs/dvc.md").read_text(), re.MULTILINE)
    told = {setting: tuple(re.findall(r"[a-z_]+", stages)) for setting, stages in rows}
    assert told == RERUNS


@pytest.mark.parametrize("setting", RERUNS)
def test_the_graph_reruns_what_the_table_says(setting: str, project: Project) -> None:
    dag = project.run("dvc", "dag", "--dot")
    edges = re.findall(r'^"([^"@]+)\S*" -> "([^"@]+)', dag, re.MULTILINE)
    key = setting.partition("=")[0]
    graph = yaml.safe_load((project.root / "dvc.yaml").read_text())["stages"]
    reached = {
        stage
        for stage, body in graph.items()
        if f'"{stage}' in dag  # some measure only where params.yaml asks for it
        and any(f"{key}.".startswith(f"{name}.") for name in body.get("do", body).get("params", []))
    }
    for _ in graph:
        reached |= {after for before, after in edges if before in reached}
    assert reached == set(RERUNS[setting])


def test_a_second_run_does_nothing(project: Project) -> None:
    output = project.run("dvc", "repro")
    assert executed(output) == []
    assert "Data and pipelines are up to date." in output


@pytest.mark.slow
def test_a_new_crop_size_does_not_detect_again(copy: Project) -> None:
    output = copy.run("dvc", "exp", "run", "-S", "align.size=224", "align")
    assert {name.split("@")[0] for name in executed(output)} == {"align"}
    assert shards.read_shards(copy.root / "data/faces/test/synth_lfw").meta.size == (224, 224)


@pytest.mark.slow
def test_a_new_rate_does_not_embed_again(copy: Project) -> None:
    ran = executed(copy.run("dvc", "exp", "run", "-S", "verify.far=0.1"))
    assert {name.split("@")[0] for name in ran} == {"verify", "plots", "report"}


@pytest.mark.slow
def test_an_experiment_is_compared_and_taken_back(copy: Project) -> None:
    ran = executed(copy.run("dvc", "exp", "run", "--name", "margin", "-S", "train.head.margin=0.3"))
    assert [name.split("@")[0] for name in ran][:2] == ["train", "export"]
    assert {name.split("@")[0] for name in ran} == set(RERUNS["train.head.margin=0.3"])
    difference = json.loads(copy.run("dvc", "params", "diff", "--json"))
    assert list(difference["params.yaml"]) == ["train.head.margin"]
    assert difference["params.yaml"]["train.head.margin"]["new"] == 0.3
    changed = json.loads(copy.run("dvc", "metrics", "diff", "--json"))
    assert list(changed) == ["reports/summary.json"]
    assert "backbone.train_loss" in changed["reports/summary.json"]
    shown = copy.run("dvc", "exp", "show", "--only-changed", "--csv")
    assert "margin" in shown
    runs_are_compared(copy, changed["reports/summary.json"])
    page = copy.run("dvc", "plots", "diff", "HEAD", "workspace", "-o", "plots")
    assert "index.html" in page
    html = (copy.root / "plots/index.html").read_text()
    assert '"type": "log"' in html or '"type":"log"' in html
    restored = copy.run("dvc", "exp", "run", "-S", "train.head.margin=0.2")
    assert executed(restored) == []
    assert json.loads(copy.run("dvc", "metrics", "diff", "--json")) == {}


def runs_are_compared(copy: Project, changed: dict[str, dict[str, float]]) -> None:
    """`facerec` tells of the experiment what `dvc metrics diff` told, from the cache alone, and what it is worth."""
    found = copy.json("facerec", "compare-runs", "HEAD", "margin", "--bootstrap", "100", "--json")
    assert list(found["benchmarks"]) == ["synth_agedb", "synth_cfp", "synth_lfw", "synth_megaface"]
    assert found["omitted"] == {}
    for name, benchmark in found["benchmarks"].items():
        headline = benchmark["metrics"][benchmark["headline"]]
        assert 2 / 101 <= headline["p"] <= benchmark["p_holm"] <= 1
        told = changed.get(f"{name}.{benchmark['headline']}")
        assert headline["difference"] == pytest.approx(told["diff"] if told else 0)
    on_disk = copy.run("facerec", "compare-runs", "margin", "--bootstrap", "100", "--markdown")
    assert on_disk.count("| identical |") == 4
    table = copy.json("facerec", "experiments", "--json")["experiments"]
    assert [row["name"] for row in table] == ["workspace", "main", "margin"]
    assert table[2]["changed"] == ["train.head.margin=0.3"]
    assert table[2]["metrics"].keys() == found["benchmarks"].keys()


@pytest.mark.slow
def test_experiments_pile_up_until_the_commit_is_restored(copy: Project) -> None:
    for setting in ("verify.far=0.1", "verify.seed=2"):
        copy.run("dvc", "exp", "run", "-S", setting, "verify@synth_lfw")
    piled = json.loads(copy.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert piled.keys() == {"verify.far", "verify.seed"}
    copy.run("git", "restore", "params.yaml", "dvc.lock", "reports")
    copy.run("dvc", "checkout")
    assert copy.run("git", "status", "--porcelain") == ""
    assert "up to date" in copy.run("dvc", "status")


def test_the_stages_of_a_fresh_profile_are_listed(copy: Project) -> None:
    copy.run("facerec", "profile", "lfw")
    listed = executed(copy.run("dvc", "repro", "--dry", "--force"))
    assert {"download@lfw", "detect@lfw", "align@lfw", "embed@lfw", "verify@lfw", "plots", "report"} <= set(listed)


def test_metrics_are_few(project: Project) -> None:
    shown = json.loads(project.run("dvc", "metrics", "show", "--json"))
    files = shown[""]["data"]
    assert list(files) == ["reports/summary.json"]
    summary = files["reports/summary.json"]["data"]
    benchmarks = yaml.safe_load((project.root / "params.yaml").read_text())["benchmarks"]
    assert set(benchmarks) <= set(summary)
    assert isinstance(summary.pop("arithmetic"), str)
    assert sum(len(values) for values in summary.values()) <= 40


def test_curves_are_short_and_finite(project: Project) -> None:
    judged = project.root / "reports/curves/backbone_validation.json"
    assert json.loads(judged.read_text()) == {"validation": []}, "nothing is judged while the default trains"
    for path in sorted({*(project.root / "reports/curves").glob("*.json")} - {judged}):
        (records,) = json.loads(path.read_text()).values()
        assert 0 < len(records) <= 200
        assert all(abs(value) < float("inf") for record in records for value in record.values())
