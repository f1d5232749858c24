"""Whether a run was reproduced, and what compares with it then, with real commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from facerec.core import PORTABLE, describe_arithmetic
from tests.pipeline.conftest import Project, commit

pytestmark = pytest.mark.pipeline

GPU = "a GPU (cuda)"


def edit_lock(project: Project, stage: str, path: str) -> None:
    """As if the run on this machine had given another output."""
    lock = yaml.safe_load((project.root / "dvc.lock").read_text())
    (out,) = (out for out in lock["stages"][stage]["outs"] if out["path"] == path)
    out["md5"] = "0" * 32
    (project.root / "dvc.lock").write_text(yaml.safe_dump(lock))


def changed_files(project: Project) -> list[str]:
    return project.run("git", "status", "--porcelain").splitlines()


def test_the_verdict_on_a_finished_run(project: Project) -> None:
    told = project.run("facerec", "reproduced")
    commit_id = project.run("git", "rev-parse", "--short=7", "HEAD").strip()
    found = project.json("facerec", "reproduced", "main", "--json")
    assert found["reproduced"]
    assert found["outputs"] > 50
    assert told == f"All {found['outputs']} outputs have the bytes of the run at HEAD ({commit_id}).\n"
    before = project.run("facerec", "reproduced", "HEAD~1", check=False)
    assert (
        before
        == "error: HEAD~1 has no dvc.lock, so no run is recorded there; `dvc repro` makes one, a commit keeps it.\n"
    )
    assert project.run("facerec", "reproduced", "nope", check=False).startswith("error: there is no revision nope;")
    below = Project(project.root / "reports").run("facerec", "reproduced")
    assert below == told


def test_the_cache_of_a_finished_run_is_sound_until_a_byte_of_it_changes(copy: Project) -> None:
    told = copy.run("facerec", "verify-cache")
    assert re.fullmatch(r"All [\d,]+ files of [\d,]+ outputs have the bytes that dvc\.lock records\.\n", told)
    lock = yaml.safe_load((copy.root / "dvc.lock").read_text())
    (out,) = (out for out in lock["stages"]["train@backbone"]["outs"] if out["path"] == "models/backbone.pt")
    kept = copy.root / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    told = copy.run("facerec", "verify-cache", check=False)
    assert f"  {kept} (models/backbone.pt" in told
    assert "workspace" not in told


@pytest.mark.slow
def test_the_verdict_on_another_run(copy: Project) -> None:
    edit_lock(copy, "detect@synth_lfw", "data/detections/synth_lfw.parquet")
    off = {"FACEREC_PORTABLE": "no", "OMP_NUM_THREADS": "3"}
    told = copy.run("facerec", "reproduced", check=False, **off).splitlines()
    assert told[0].startswith("1 of ")
    assert told[1] == "First to differ, although their inputs are equal:"
    assert told[2] == "  detect@synth_lfw: data/detections/synth_lfw.parquet"
    assert told[3].startswith("The likely reason: the workspace was computed on ")
    assert "x86-64 with portable arithmetic turned off" in told[3] or describe_arithmetic() != PORTABLE
    copy.run("dvc", "remove", "report")
    told = copy.run("facerec", "reproduced", check=False).splitlines()
    assert "Stages that only the run at HEAD" in told[1]
    assert told[1].endswith(" has: report.")


@pytest.mark.slow
def test_a_lock_in_conflict_is_one_sentence(copy: Project) -> None:
    lock = copy.root / "dvc.lock"
    lock.write_text(f"<<<<<<< HEAD\n{lock.read_text()}=======\n>>>>>>> other\n")
    told = copy.run("facerec", "reproduced", check=False)
    assert told.startswith("error: DVC cannot read workspace: ")
    assert "'dvc.lock'" in told
    assert told.count("\n") == 1


@pytest.mark.slow
def test_without_git_the_verdict_says_what_it_needs(copy: Project) -> None:
    (copy.root / ".git").rename(copy.root.parent / "away")
    told = copy.run("facerec", "reproduced", check=False)
    assert told == f"error: {copy.root} is not a git repository; go to a clone of the project, made with git.\n"


@pytest.mark.slow
def test_runs_of_different_machines_are_told_apart(copy: Project) -> None:
    path = copy.root / "reports/summary.json"
    summary = json.loads(path.read_text())
    here = summary["arithmetic"]
    assert here == describe_arithmetic()
    command = ("facerec", "compare-runs", "main", "--bootstrap", "100")
    assert copy.json(*command, "--json")["note"] == ""
    path.write_text(json.dumps(summary | {"arithmetic": GPU}))
    found = copy.json(*command, "--json")
    sentence = f"main on {here}; workspace on {GPU}."
    assert found["note"].endswith(sentence)
    assert found["arithmetic"] == [here, GPU]
    assert copy.run(*command, "--markdown").splitlines()[0] == found["note"]
    table = copy.run(*command)
    assert table.index(found["note"]) < table.index("verdict")
    rows = copy.json("facerec", "experiments", "--json")["experiments"]
    assert {row["name"]: row["arithmetic"] for row in rows} == {"workspace": GPU, "main": here}
    assert copy.run("facerec", "experiments").rstrip().endswith(f"workspace on {GPU}; main on {here}.")


@pytest.mark.slow
def test_scores_that_are_not_here_ask_for_a_baseline(copy: Project) -> None:
    for name in ("cache", "tmp"):
        (copy.root / ".dvc" / name).rename(copy.root.parent / name)
    told = copy.run("facerec", "compare-runs", "main", check=False)
    assert told.startswith("error: some scores of main are not in DVC's cache. ")
    assert "make a baseline" in told


@pytest.mark.slow  # a whole run from nothing
def test_a_fresh_clone_gives_the_same_bytes_and_compares(project: Project, tmp_path: Path) -> None:
    """What README.md does after `make repro`, in its order."""
    project.run("git", "clone", "--quiet", str(project.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert not (clone.root / ".dvc/cache").exists()
    clone.run("dvc", "repro")
    verdict = clone.json("bash", "-c", "facerec reproduced --json || true")
    assert verdict["differing"] == []
    assert changed_files(clone) == []
    clone.run("dvc", "exp", "run", "-S", "verify.far=0.1")
    assert list(json.loads(clone.run("dvc", "params", "diff", "--json"))["params.yaml"]) == ["verify.far"]
    assert json.loads(clone.run("dvc", "metrics", "diff", "--json")).keys() <= {"reports/summary.json"}
    found = clone.json("facerec", "compare-runs", "main", "workspace", "--bootstrap", "100", "--json")
    assert list(found["benchmarks"]) == ["synth_agedb", "synth_cfp", "synth_lfw", "synth_megaface"]
    assert found["note"] == ""
    assert clone.run("facerec", "experiments").count("verify.far=0.1") == 2


@pytest.mark.slow
def test_a_baseline_of_this_machine_is_what_later_runs_compare_with(copy: Project) -> None:
    """A run that cannot be reproduced is committed; it takes the place of the one before."""
    copy.run("dvc", "exp", "run", "-S", "verify.far=0.1")
    assert "verify.far" in copy.run("facerec", "reproduced", check=False)
    commit(copy)
    assert copy.json("facerec", "reproduced", "--json")["reproduced"]
    assert "another experiment" in copy.run("facerec", "reproduced", "HEAD~1", check=False)
