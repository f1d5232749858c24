"""`facerec new` and `facerec lock`: an experiment repository, and the digests of the code that its stages run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from facerec.core import ParamsError
from facerec.params import load_params
from facerec.repository import code, starting
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new experiment, not to be changed."""
    folder = tmp_path_factory.mktemp("experiments") / "mine"
    starting.start_experiment(folder, "lfw")
    return folder


def test_it_holds_what_the_stages_read_and_nothing_of_the_library(made: Path) -> None:
    names = {path.name for path in made.iterdir()}
    assert {"README.md", "code", "data", "dvc.yaml", "params.yaml", "profiles", "requirements.txt", "stages"} <= names
    assert {"facerec", "synthfaces", "tests", "tools"}.isdisjoint(names)
    assert load_params(made / "params.yaml").model == "data/raw/mobilefacenet_foamliu_pt"
    assert (made / "README.md").read_text().startswith("# mine\n")
    assert {path.name for path in (made / "data/catalog").glob("*.yaml")} == {
        path.name for path in (ROOT / "data/catalog").glob("*.yaml")
    }


def test_every_stage_depends_on_the_digests_of_the_code_that_it_ran_on_before(made: Path) -> None:
    ours, theirs = (yaml.safe_load((root / "dvc.yaml").read_text())["stages"] for root in (ROOT, made))
    for name, body in theirs.items():
        was, now = (set(each.get("do", each)["deps"]) for each in (ours[name], body))
        library = {dep for dep in was if dep.split("/")[0] in ("facerec", "synthfaces")}
        assert now == was - library | {f"code/{name}.sha256"}
        listed = {line.split("  ")[1] for line in (made / f"code/{name}.sha256").read_text().splitlines()}
        assert all(any(f"{each}/".startswith(f"{dep}/") for dep in library) for each in listed)
        assert {dep for dep in library if dep.endswith(".py")} <= listed


def test_the_digests_are_those_of_the_files(made: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "--quiet", made / "code/train.sha256"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_a_folder_with_something_in_it_and_a_wrong_profile_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ParamsError, match="is not empty"):
        starting.start_experiment(tmp_path)
    with pytest.raises(ParamsError, match="did you mean lfw"):
        starting.start_experiment(tmp_path / "new", "lfv")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An experiment, and an installed library, both to be changed."""
    shutil.copytree(made, tmp_path / "mine")
    for package in ("facerec", "synthfaces"):
        shutil.copytree(ROOT / package, tmp_path / "site" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "mine", tmp_path / "site"


def test_an_upgrade_changes_only_the_stages_that_run_other_code(copied: tuple[Path, Path]) -> None:
    project, site = copied
    assert code.changed_stages(project, site) == []
    with (site / "facerec/heads/margins.py").open("a") as file:
        file.write("# changed\n")
    assert code.changed_stages(project, site) == ["train"]
    code.check_code("embed", project, site)
    with pytest.raises(ParamsError, match=r"stage train would run with other code .*facerec/heads/margins\.py"):
        code.check_code("train", project, site)
    assert code.write_locks(project, site) == ["train"]
    code.check_code("train", project, site)


def test_a_stage_of_ones_own_and_one_that_is_gone_are_followed(copied: tuple[Path, Path]) -> None:
    project, site = copied
    (project / "stages/mine.py").write_text("from facerec.imaging import images\nimages.decode\n")
    (project / "stages/megaface_denoise.py").unlink()
    assert set(code.write_locks(project, site)) == {"mine", "megaface_denoise"}
    assert "facerec/imaging/images.py" in (project / "code/mine.sha256").read_text()
    assert not (project / "code/megaface_denoise.sha256").exists()


def test_lock_brings_requirements_to_the_installed_version(copied: tuple[Path, Path]) -> None:
    project, _ = copied
    before = (project / "requirements.txt").read_text()
    (project / "requirements.txt").write_text("facerec[pipeline]==0.0.1\nother==1\n")
    starting.lock_experiment(project)
    version = before.strip().rpartition("==")[2]
    assert (project / "requirements.txt").read_text() == f"facerec[pipeline]=={version}\nother==1\n"


def test_a_project_without_digests_is_free() -> None:
    code.check_code("train", ROOT)


def test_the_graph_is_valid_for_dvc(made: Path) -> None:
    listed = subprocess.run(
        ["dvc", "stage", "list", "--name-only"], cwd=made, capture_output=True, text=True, check=True
    )
    assert {"download@lfw", "verify@lfw", "report"} <= set(listed.stdout.split())
    json.loads((made / ".dvc/plots/roc.json").read_text())
