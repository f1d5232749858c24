"""dvc.yaml: every stage depends on all the code that can change its bytes, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from facerec import params
from facerec.params import profiles
from tests.conftest import ROOT
from tests.pipeline.conftest import copy_sources
from tools.graph import code_of, folded

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def body(stage: str) -> dict[str, list[str]]:
    return GRAPH[stage].get("do", GRAPH[stage])


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_depends_on_the_code_it_runs_and_on_no_other(stage: str) -> None:
    code = [dep for dep in body(stage)["deps"] if dep.startswith(("facerec", "stages", "synthfaces"))]
    assert code == folded(code_of(stage)), "make docs writes the code dependencies into dvc.yaml"


def test_code_that_only_types_need_or_that_another_stage_runs_is_no_dependency() -> None:
    assert "facerec/catalog/entries.py" not in code_of("export")
    assert not {"facerec/reporting/figures.py", "facerec/reporting/run_figures.py"} & {*code_of("report")}


def test_every_stage_script_is_in_the_graph() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__", "common"}
    assert scripts == set(GRAPH)


def test_every_stage_can_come_from_the_run_cache() -> None:
    for stage in GRAPH:
        uncached = [out for out in body(stage)["outs"] if not isinstance(out, str)]
        assert uncached == [], f"{stage}: DVC never restores a stage with a plain output that it does not cache"


def mappings(value: object) -> list[dict[str, object]]:
    """All mappings inside a value."""
    if not isinstance(value, dict):
        return []
    return [value, *(inner for each in value.values() for inner in mappings(each))]


@pytest.mark.parametrize("stage", GRAPH)
def test_no_parameter_is_invisible_to_the_run_cache(stage: str) -> None:
    """DVC leaves keys named size and nfiles out of a run's hash: they may be parameters only as leaves."""
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in body(stage).get("params", []):
        value = parameters
        for part in name.replace("${key}", "").rstrip(".").split("."):
            value = value[part]
        assert all({"size", "nfiles"}.isdisjoint(inner) for inner in mappings(value)), name


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone holds: no output of any stage."""
    folder = tmp_path_factory.mktemp("clone")
    copy_sources(folder)
    Repo.init(str(folder), no_scm=True, force=True).close()
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")  # DVC uses pygtrie as it was
@pytest.mark.parametrize("name", profiles.profile_names(ROOT / "profiles"))
def test_every_profile_makes_a_graph_in_which_nothing_is_missing(name: str, clone: Path) -> None:
    profiles.apply_profile(ROOT / "profiles", name, clone / "params.yaml")
    parsed = params.load_params(clone / "params.yaml")
    with Repo(str(clone)) as repo:
        repo.index.check_graph()
        stages = {str(getattr(stage, "name", "")) for stage in repo.index.stages}
        made = [Path(out.fs_path) for out in repo.index.outs]
        needed = {Path(dep.fs_path) for dep in repo.index.deps if dep.fs_path}
    missing = {
        path
        for path in needed
        if not path.exists() and not any(path == out or path in out.parents or out in path.parents for out in made)
    }
    assert missing == set()
    assert {f"render@{entry}" for entry in parsed.render} <= stages
    assert {f"download@{entry}" for entry in parsed.download} <= stages
    assert {f"verify@{benchmark}" for benchmark in parsed.benchmarks} <= stages
    assert {f"megaface_identify@{task}" for task in parsed.identification} <= stages
    assert {f"openset@{task}" for task in parsed.openset} <= stages
    assert {f"train@{network}" for network in parsed.networks} == {
        stage for stage in stages if stage.startswith("train@")
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    """A project that renders, downloads and trains, whose stages take the code as it is for what they ran."""
    folder = tmp_path_factory.mktemp("recorded")
    copy_sources(folder)
    profiles.apply_profile(ROOT / "profiles", "lfw_synthetic", folder / "params.yaml")
    Repo.init(str(folder), no_scm=True, force=True).close()
    with chdir(folder), Repo() as repo, repo.lock:
        for stage in repo.index.stages:
            stage.save_deps(allow_missing=True)
        yield repo


def changed_code(repo: Repo) -> set[tuple[str, str]]:
    """Stages and their changed dependencies, as `dvc status` reports them, without the data that a clone lacks."""
    states = {stage.addressing: stage.status() for stage in repo.index.stages}
    return {
        (name.split("@")[0], file)
        for name, state in states.items()
        for change in state.get(name, [])
        for file, how in change.get("changed deps", {}).items()
        if how != "deleted"
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")
@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("synthfaces/hair.py", {"render"}),
        ("facerec/catalog/http.py", {"download"}),
        ("facerec/heads/__init__.py", {"train"}),
        ("facerec/interop/exporting.py", set()),
    ],
)
def test_an_edit_invalidates_the_stages_that_run_the_file_and_no_other(
    file: str, stages: set[str], recorded: Repo
) -> None:
    assert changed_code(recorded) == set()
    path = Path(recorded.root_dir) / file
    text = path.read_text()
    path.write_text(f"{text}# edited\n")
    changed = changed_code(recorded)
    path.write_text(text)
    assert {stage for stage, _ in changed} == stages
