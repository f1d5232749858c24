"""The report of a real run: every stage has its time, a browser shows it, and its model can be had by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facerec.core import describe_arithmetic
from tests import browser
from tests.pipeline.conftest import Project
from tests.test_report import checked, shown_beside

pytestmark = pytest.mark.pipeline


def page(project: Project) -> str:
    return (project.root / "reports/index.html").read_text()


def test_a_run_from_nothing_has_a_time_for_every_stage(project: Project) -> None:
    facts, _, stages = shown_beside(project.root / "reports/index.html")
    times = {name: ran for name, ran, *_ in stages["rows"]}
    assert times.pop("together") == "26 of 26"
    assert len(times) == 12
    assert all(ran == "yes" or len(set(ran.split(" of "))) == 1 for ran in times.values())
    told = dict(facts["rows"])
    assert re.fullmatch(r"[0-9a-f]{40}", told["Revision of the code"])
    assert told["Arithmetic"] == describe_arithmetic()


def test_the_page_shows_everything_and_only_rendered_faces(project: Project) -> None:
    checker = checked(page(project))
    assert checker.names[0] == "verification"
    assert page(project).count("data:image/svg+xml") == 8
    assert page(project).count("data:image/jpeg") == 3 + 2 * 4
    cards = {path.stem for path in (project.root / "reports/cards").glob("*/*.md")}
    assert cards == {"backbone", *(f"synth_{name}" for name in ("people", "pack", "lfw", "facescrub", "megaface"))}


@pytest.mark.slow
def test_the_page_opens_in_a_browser(project: Project) -> None:
    with browser.launched(browser.required()) as chromium:
        for width in (360, 1600):
            with browser.opened(chromium, project.root / "reports/index.html", width) as (shown, problems):
                assert shown.evaluate("document.documentElement.scrollWidth") <= width
                assert "26 of 26" in shown.locator("#provenance").inner_text()
                assert problems == []


def test_a_second_report_has_the_same_bytes_and_its_own_provenance(copy: Project) -> None:
    (beside,) = (copy.root / "reports/provenance").iterdir()
    beside.unlink()
    copy.run("dvc", "repro", "--force", "--single-item", "report", FACEREC_WORKERS="2")
    (told,) = (copy.root / "reports/provenance").iterdir()
    assert told.name == beside.name
    assert dict(shown_beside(copy.root / "reports/index.html")[0]["rows"])["Worker processes"] == "2"
    assert copy.run("git", "status", "--porcelain") == ""


def test_the_model_can_be_had_by_name_and_version(copy: Project, tmp_path: Path) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    copy.run("git", *identity, "tag", "--annotate", "backbone@v0.1.0", "--message", "The first one")
    copy.run("dvc", "artifacts", "get", str(copy.root), "backbone", "-o", str(tmp_path / "got.onnx"))
    assert (tmp_path / "got.onnx").read_bytes() == (copy.root / "models/backbone.onnx").read_bytes()
