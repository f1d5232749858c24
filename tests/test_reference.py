"""What `make docs` writes is committed: the page of parameters and the graph in README.md are those of the code."""

from __future__ import annotations

import pytest

from facerec.params import Params
from tests.conftest import ROOT
from tests.pipeline.test_experiments import RERUNS
from tools import reference, speed
from tools.graph import ASKED, Graph, with_picture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")  # DVC uses pygtrie as it was


@pytest.fixture(scope="module")
def page() -> str:
    return reference.page()


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


def test_the_page_of_parameters_is_current(page: str) -> None:
    assert reference.PAGE.read_text() == page, "run `make docs`"


def test_the_graph_in_the_readme_is_that_of_dvc_yaml(graph: Graph) -> None:
    readme = (ROOT / "README.md").read_text()
    assert with_picture(readme, graph.picture()) == readme, "run `make docs`"


def test_the_table_of_speed_is_that_of_the_last_benchmarks() -> None:
    text = speed.PAGE.read_text()
    assert speed.page(text) == text, "run `make docs`"


def test_every_key_says_what_it_is(page: str) -> None:
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    silent = [row[0] for row in rows if not row[3].strip(" |")]
    assert silent == [], "give these fields of facerec/params a docstring"
    leaves = {row[0].strip("| `") for row in rows if row[1].strip()}
    assert {"model", "photos.NAME", "detect.thresholds", "train.head.margin", "identify.fprs"} <= leaves
    for name, field in Params.model_fields.items():
        assert any(leaf.split(".")[0] == name for leaf in leaves), (name, field)


def test_limits_and_defaults_are_the_models(page: str) -> None:
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert "| whole number 1 to 10,000 | `12` |" in rows["train.epochs"]
    assert "| number above 0, below 1 | `0.001` |" in rows["verify.far"]
    assert "`sgd`, `adamw`" in rows["train.optimiser"]
    assert "whole number 16 to 1,024 or two values, each" in rows["align.size"]


@pytest.mark.parametrize("setting", RERUNS)
def test_the_page_says_what_the_graph_reruns(setting: str, graph: Graph) -> None:
    reruns = graph.reruns(setting.partition("=")[0])
    assert tuple(stage for stage in reruns if stage not in ASKED) == RERUNS[setting]  # not in the default


def test_a_path_made_of_a_parameter_is_a_dependency(graph: Graph) -> None:
    assert graph.reruns("model")[0] == "embed"
    assert graph.reruns("detect.weights") == graph.reruns("detect.min_face")
    assert graph.reruns("benchmarks.NAME.pairs")[0] == "verify"
    assert graph.reruns("identification.NAME.probe_noises")[0] == "megaface_denoise"
    assert graph.reruns("nothing.of.the.kind") == []
