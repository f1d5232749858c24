"""The command line as a whole: its help, its options, and inputs that are checked before any work."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer

import facerec
from facerec.cli import app
from facerec.cli.common import DETECTORS, Panel
from facerec.detection import detector_names
from tests.commands import run as start
from tests.recognition import photo


def commands(parser: Any = None, name: str = "facerec") -> dict[str, Any]:
    """Every command by the words that call it."""
    parser = parser or typer.main.get_command(app)
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


def test_an_option_is_a_flag_everywhere_or_nowhere() -> None:
    kinds: dict[str, set[bool]] = defaultdict(set)
    for command in commands().values():
        for each in command.params:
            if each.param_type_name == "option":
                kinds[each.opts[0]].add(bool(each.is_flag))
    assert [name for name, flags in kinds.items() if len(flags) > 1] == []


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
