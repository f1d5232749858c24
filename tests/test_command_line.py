"""The command line as a whole: its help, its options, and inputs that are checked before any work."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import facerec
from facerec.cli import app
from facerec.cli.commands import LISTING, load_commands
from facerec.cli.common import DETECTORS, Panel
from facerec.detection import detector_names
from tests.commands import run as start
from tests.conftest import ROOT
from tests.recognition import photo
from tools import commands as listing


def commands(parser: Any = None, name: str = "facerec") -> dict[str, Any]:
    """Every command by the words that call it."""
    parser = parser or load_commands()
    inner = getattr(parser, "commands", None)
    if not inner:
        return {name: parser}
    return {words: each for key, sub in inner.items() for words, each in commands(sub, f"{name} {key}").items()}


def run(*words: object, width: int = 80) -> CompletedProcess[str]:
    return start(*words, COLUMNS=str(width), TERM="dumb")


def test_help_has_the_groups_and_nothing_is_cut() -> None:
    shown = run("-h").stdout
    assert [shown.index(f" {panel} ") for panel in Panel]
    assert "..." not in shown.replace("ARGS]...", "").replace("OUT/lfw, ...;", "")
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_help_lists_what_the_files_hold() -> None:
    assert LISTING.read_text() == listing.text(listing.listing()), "run `make docs`"


def test_short_help_of_a_command_shows_no_types() -> None:
    shown = run("megaface", "identify", "-h").stdout
    assert "--probe-noises" in shown
    assert not any(word in shown for word in ("<path>", "<str>", "<bool>", "<int>", "list[", "INTEGER"))


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"facerec {facerec.__version__}\n"


@pytest.mark.parametrize("name", commands())
def test_every_option_says_what_it_takes(name: str) -> None:
    for each in commands()[name].params:
        assert getattr(each, "help", ""), each.name
        if each.param_type_name == "option" and not each.is_flag:
            assert each.metavar, each.name


def test_an_option_takes_the_same_kind_of_value_everywhere() -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    for command in commands().values():
        for each in command.params:
            if each.param_type_name == "option":
                kinds[each.opts[0]].add("flag" if each.is_flag else each.metavar.replace("NAME|PATH", "NAME"))
    assert [name for name, taken in kinds.items() if len(taken) > 1] == []


def test_the_usage_has_no_braces() -> None:
    assert "facerec detect [OPTIONS] PHOTOS..." in run("detect", "-h").stdout
    assert "facerec verify [OPTIONS] [EMBEDDED] [PAIRS]" in run("verify", "-h").stdout


@pytest.mark.parametrize("name", commands())
def test_help_fits_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*name.split()[1:], "--help"]).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown


def test_check_refuses_a_detector_as_the_model(tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "profiles/default.yaml").read_text())
    params |= {"model": "data/raw/retinaface_mnet025", "download": {"retinaface_mnet025": {}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = CliRunner().invoke(app, ["check", str(tmp_path / "params.yaml")])
    assert "the weights of the detector retinaface-mnet0.25; name a network" in str(done.exception)


def test_check_and_sheet_answer_in_json(tmp_path: Path) -> None:
    def call(*words: object) -> Any:
        done = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
        return json.loads(done.stdout)

    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "profiles/default.yaml").read_text())
    found = call("check", params)
    assert found == {"benchmarks": ["synth_lfw", "synth_agedb", "synth_cfp"], "model": "models/backbone.pt"}
    assert call("sheet", tmp_path / "sheet.png", "--rows", 1, "--columns", 1) == {"people": 1, "photos": 1}
    curves = tmp_path / "curves.json"
    curves.write_text(json.dumps({"roc": [{"fpr": 0.1, "tpr": 0.9, "lo": 0.8, "hi": 1.0}]}))
    out = tmp_path / "roc.svg"
    assert call("figure", out, f"ours={curves}") == {"curves": ["ours"], "kind": "roc", "written": str(out)}


@pytest.mark.parametrize(
    "words",
    [
        ("figure", "FOLDER", "ours=missing.json"),
        ("sheet", "FOLDER"),
        ("inspect", "missing", "--sheet", "FOLDER"),
        ("detect", "missing.jpg", "--table", "FOLDER"),
        ("align", "missing", "out", "--sheet", "FOLDER"),
        ("compare", "a.jpg", "b.jpg", "--picture", "FOLDER"),
    ],
)
def test_a_place_for_a_file_is_looked_at_before_any_work(words: tuple[str, ...], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [word.replace("FOLDER", str(tmp_path)) for word in words])
    assert "is a folder, and a file is to be written there" in str(done.exception)


def test_the_detectors_of_the_help_are_all_there_are() -> None:
    assert list(DETECTORS) == detector_names()


def test_a_missing_photo_is_noticed_before_the_first_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "there.jpg").write_bytes(photo("ann"))
    words = ("detect", *[tmp_path / "there.jpg"] * 15, tmp_path / "missing.jpg")
    done = run(*words, width=300)
    assert done.returncode == 1
    assert "missing.jpg does not exist" in done.stderr
    assert "Detecting" not in done.stderr


def test_a_missing_second_photo_is_noticed_before_a_network_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "there.jpg").write_bytes(photo("ann"))
    done = run("compare", tmp_path / "there.jpg", tmp_path / "missing.jpg")
    assert done.returncode == 1
    assert "missing.jpg does not exist" in done.stderr
    assert "note" not in done.stderr
