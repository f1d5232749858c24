"""Experiments with real dvc commands: what a changed parameter re-runs, and what it leaves alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.conftest import Project, executed

pytestmark = pytest.mark.pipeline

EVALUATION = {"embed", "verify", "megaface_features", "megaface_denoise", "megaface_identify", "plots"}
RERUNS = {
    "detect.min_face": {"detect", "align", "train", "export", *EVALUATION},
    "align.size": {"align", "train", "export", *EVALUATION},
    "train.head.margin": {"train", "export", *EVALUATION},
    "verify.far": {"verify", "plots"},
    "identify.noise": {"megaface_denoise", "megaface_identify", "plots"},
    "identify.fprs": {"megaface_identify", "plots"},
}
VALUES = {
    "detect.min_face": "60",
    "align.size": "224",
    "train.head.margin": "0.3",
    "verify.far": "0.2",
    "identify.noise": "delete",
    "identify.fprs": "[0.01,0.1]",
}


def test_the_readme_says_what_each_parameter_reruns() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)=\S+` \| (.+?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    told = {key: set(re.findall(r"[a-z_]+", stages)) for key, stages in rows}
    assert told == RERUNS


def test_a_second_run_does_nothing(project: Project) -> None:
    output = project.run("dvc", "repro")
    assert executed(output) == []
    assert "Data and pipelines are up to date." in output


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Project:
    """The finished experiment with a cache of its own, to vary."""
    shutil.copytree(project.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")
