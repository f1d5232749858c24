"""The report of a real run: every stage has its time, a browser shows it, and its model can be had by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import browser
from tests.pipeline.conftest import Project
from tests.test_report import checked

pytestmark = pytest.mark.pipeline

PROVENANCE = re.compile(r'<section id="provenance">.*?</section>', re.DOTALL)


def page(project: Project) -> str:
    return (project.root / "reports/index.html").read_text()


def test_a_run_from_nothing_has_a_time_for_every_stage(project: Project) -> None:
    (provenance,) = PROVENANCE.findall(page(project))
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>(\d+ of \d+|yes|from the cache)</td>', provenance)
    times = dict(rows)
    assert times.pop("together") == "26 of 26"
    assert len(times) == 12
    assert all(ran == "yes" or len(set(ran.split(" of "))) == 1 for ran in times.values())
    assert re.search(r"[0-9a-f]{40}", provenance)


def test_the_page_shows_everything_and_only_rendered_faces(project: Project) -> None:
    checker = checked(page(project))
    assert checker.names[0] == "verification"
    assert page(project).count("data:image/svg+xml") == 9
    assert page(project).count("data:image/jpeg") == 3 + 2 * 4
    cards = {path.stem for path in (project.root / "reports/cards").glob("*/*.md")}
    assert cards == {"backbone", *(f"synth_{name}" for name in ("people", "pack", "lfw", "facescrub", "megaface"))}


def test_the_page_opens_in_a_browser(project: Project) -> None:
    with browser.launched(browser.required()) as chromium:
        for width in (360, 1600):
            with browser.opened(chromium, project.root / "reports/index.html", width) as (shown, problems):
                assert shown.evaluate("document.documentElement.scrollWidth") <= width
                assert problems == []


def test_a_second_report_differs_in_its_provenance_alone(copy: Project) -> None:
    before = page(copy)
    cards = {path: path.read_bytes() for path in (copy.root / "reports/cards").rglob("*.md")}
    copy.run("python", "-m", "stages.report")
    assert PROVENANCE.sub("", page(copy)) == PROVENANCE.sub("", before)
    assert {path: path.read_bytes() for path in (copy.root / "reports/cards").rglob("*.md")} == cards


def test_the_model_can_be_had_by_name_and_version(copy: Project, tmp_path: Path) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    copy.run("git", *identity, "tag", "--annotate", "backbone@v0.1.0", "--message", "The first one")
    copy.run("dvc", "artifacts", "get", str(copy.root), "backbone", "-o", str(tmp_path / "got.onnx"))
    assert (tmp_path / "got.onnx").read_bytes() == (copy.root / "models/backbone.onnx").read_bytes()
