"""`facerec profile`: what each profile needs, what is here, and the same change as arguments of dvc exp run."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from facerec import params
from facerec.cli import app
from facerec.core import AcquireError, ParamsError
from facerec.params import profiles
from tests.conftest import ROOT

FOLDER = ROOT / "profiles"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with profiles and parameters, our catalog, and an empty mirror."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEREC_CATALOG", str(ROOT / "data/catalog"))
    monkeypatch.setenv("FACEREC_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    shutil.copytree(FOLDER, tmp_path / "profiles")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["profile", *words], catch_exceptions=False)


def listed(*words: str) -> Any:
    return json.loads(run("--needs", "--json", *words).stdout)


def test_it_lists_every_profile_with_what_it_needs() -> None:
    found = listed()
    assert [each["name"] for each in found["profiles"]] == profiles.profile_names(FOLDER)
    needs = {each["name"]: [need["name"] for need in each["needs"]] for each in found["profiles"]}
    assert needs["lfw"] == ["mobilefacenet_foamliu_pt", "retinaface_mnet025", "lfw", "lfw_protocols"]
    assert needs["multiface"] == ["ms1m_arcface"]
    assert all(each["about"] for each in found["profiles"])
    assert set(found["missing"]) == {name for each in needs.values() for name in each} - set(needs["default"])


def test_it_tells_what_is_here(project: Path) -> None:
    (project / "mirror/retinaface_mobilenet0.25.pth").write_bytes(b"")
    downloads = project / ".facerec/downloads"
    for name in ("mobilefacenet_foamliu_pt/mobilefacenet_foamliu.pt", "lfw/lfw-pairs.txt"):
        (downloads / name).parent.mkdir(parents=True)
        (downloads / name).write_bytes(b"")
    found = listed("lfw")
    (lfw,) = found["profiles"]
    here = {need["name"]: need["here"] for need in lfw["needs"]}
    weights = {"mobilefacenet_foamliu_pt": "downloads", "retinaface_mnet025": "mirror"}
    assert here == {**weights, "lfw": "partly", "lfw_protocols": ""}
    assert found["missing"].keys() == {"lfw", "lfw_protocols"}
    assert found["missing"]["lfw"]["files"] == ["lfw-deepfunneled.tgz"]
    assert found["missing"]["lfw"]["from"] == ["vis-www.cs.umass.edu"]
    (project / "mirror/lfw-deepfunneled.tgz").write_bytes(b"")
    found = listed("lfw")
    assert (found["profiles"][0]["needs"][2]["here"], found["missing"].keys()) == (
        "mirror, downloads",
        {"lfw_protocols"},
    )
    (project / "data/raw/lfw").mkdir(parents=True)
    (project / "data/raw/lfw/pairs.txt").write_text("")
    assert listed("lfw")["profiles"][0]["needs"][2]["here"] == "data/raw"


def test_people_get_text_that_says_where_to_get_what_is_missing(project: Path) -> None:
    for words in ((), ("--needs",)):
        shown = run(*words)
        assert shown.stdout == ""
        text = " ".join(shown.stderr.split())
        assert "synth_lfw rendered here" in text
        assert "cfp 86.3 MB missing, download" in text
        assert "casia_webface missing, by hand" in text
        assert "Save it as faces_webface_112x112.zip" in text
        assert f"{project}/mirror/casia_webface" in shown.stderr.replace("\n    ", "")
        assert "cfp-dataset.zip: the stage download fetches it from www.cfpw.io" in text
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_writing_a_profile_says_what_is_missing(project: Path) -> None:
    shown = json.loads(run("packs", "--json").stdout)
    assert shown["next"] == "dvc repro"
    assert shown["missing"].endswith("vgg2_fp: see facerec profile --needs packs")
    assert (project / "params.yaml").read_text() == profiles.compose_params(FOLDER, "packs")
    assert "missing" not in json.loads(run("default", "--json").stdout)
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_nothing_is_written_where_the_machine_is_set_up_wrongly(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_MIRROR", str(project / "nowhere"))
    with pytest.raises(AcquireError, match=r"FACEREC_MIRROR names .*nowhere"):
        run("lfw")
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_it_prints_the_change_from_the_parameters_that_are_here(project: Path) -> None:
    words = shlex.split(run("cfp", "--print").stdout)
    assert words[::2] == ["-S"] * (len(words) // 2)
    assert words == json.loads(run("cfp", "--print", "--json").stdout)["arguments"]
    assert {"~benchmarks.synth_lfw", "align.fallbacks=[retry,detector]", "+download.cfp={}"} <= set(words)
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()
    run("lfw")
    assert shlex.split(run("lfw_synthetic", "--print").stdout)[1] == "model=models/backbone.pt"
    assert run("lfw", "--print").stdout == "\n"


def test_a_broken_parameter_file_is_named_first(project: Path) -> None:
    (project / "params.yaml").write_text("model: x\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: key networks is missing"):
        run("cfp", "--print")
    assert params.parse_params(yaml.safe_load(profiles.compose_params(FOLDER, "cfp")))
