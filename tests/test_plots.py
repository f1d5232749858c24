"""Plots of DVC: every plot of dvc.yaml is drawn from its committed data with its template, by Vega itself."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from dvc.repo import Repo
from dvc_render import VegaRenderer
from dvc_render.html import HTML

from tests.conftest import ROOT
from tools import plots_page

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")  # DVC uses pygtrie as it was
TEMPLATES = ROOT / ".dvc/plots"
RATES = ("roc", "cmc")  # one drawing under two names, which earlier revisions hold on to
RUNS = {"one run": ["workspace"], "three runs": ["workspace", "HEAD", "margin-0.3"]}
OLDEST, NEWEST = (
    pick(vl_convert.get_vegalite_versions(), key=lambda each: [*map(int, each.split("."))]) for pick in (min, max)
)
"""Versions of Vega-Lite that are at hand; DVC's page loads an older one still, 5.2, VS Code a newer one."""


@cache
def plots() -> dict[str, dict[str, Any]]:
    """Path -> how dvc.yaml wants it drawn."""
    with Repo(str(ROOT)) as repo:
        found = [out for out in repo.index.outs if getattr(out, "plot", None)]
    return {str(Path(out.fs_path).relative_to(ROOT)): dict(out.plot) for out in found}


def names() -> list[str]:
    return sorted(path.stem for path in (ROOT / "reports/curves").glob("*.json"))


def records(path: str) -> list[dict[str, float]]:
    (found,) = json.loads((ROOT / path).read_text()).values()
    return found


def filled(path: str, runs: list[str]) -> dict[str, Any]:
    """The specification that `dvc plots` makes of the committed curve, the same for every run."""
    wanted = plots()[path]
    points = [
        {**record, "rev": run, "filename": path, "field": wanted["y"]} for run in runs for record in records(path)
    ]
    source = [{"filename": path, "field": wanted["y"]}]
    drawn = VegaRenderer(points, path, **wanted, template_dir=str(TEMPLATES), anchors_y_definitions=source)
    return drawn.get_filled_template()


def marks(svg: str, kind: str) -> list[str]:
    """The paths of all marks of a kind, such as "line"."""
    tree = ET.fromstring(svg)
    groups = [each for each in tree.iter() if f"mark-{kind} role-mark" in each.get("class", "")]
    shapes = [shape.get("d", "") for group in groups for shape in group.iter() if shape.get("d")]
    return [shape for shape in shapes if shape]


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter() if each.tag.endswith("text")]


def test_every_plot_has_a_template_and_the_fields_it_draws() -> None:
    assert {Path(path).stem for path in plots()} <= {*names()}
    used = set()
    for path, wanted in plots().items():
        used.add(wanted["template"])
        assert (TEMPLATES / f"{wanted['template']}.json").is_file(), path
        fields = {wanted["x"], wanted["y"]} | ({"lo", "hi"} if wanted["template"] in RATES else set())
        assert all(fields <= record.keys() for record in records(path)), path
        assert wanted["title"]
    assert len({(TEMPLATES / f"{name}.json").read_text() for name in RATES}) == 1
    assert used == {path.stem for path in TEMPLATES.glob("*.json")}, "a template that nothing uses"


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_plot_shows_a_line_and_its_band_for_every_run(runs: list[str], version: str) -> None:
    for path, wanted in plots().items():
        spec = filled(path, runs)
        svg = vl_convert.vegalite_to_svg(spec, vl_version=version)
        lines = marks(svg, "line")
        assert len(lines) == len(runs), path
        shown = [record for record in records(path) if record[wanted["x"]] > 0]
        assert all(len(re.findall("[A-Z]", line, re.IGNORECASE)) >= min(len(shown), 2) for line in lines), path
        bands = marks(svg, "area")
        assert len(bands) == (len(runs) if wanted["template"] in RATES else 0), path
        assert {*runs, wanted["title"], wanted["x_label"], wanted["y_label"]} <= {*texts(svg)}, path


def test_rates_stand_over_a_logarithmic_axis_in_percent() -> None:
    for path, wanted in plots().items():
        vega = vl_convert.vegalite_to_vega(filled(path, RUNS["one run"]))
        (x,) = [scale for scale in vega["scales"] if scale["name"] == "x"]
        assert (x["type"] == "log") == (wanted["template"] in RATES), path
        if wanted["template"] in RATES:
            words = texts(vl_convert.vegalite_to_svg(filled(path, RUNS["one run"])))
            assert any(re.fullmatch(r"\d+%", word) for word in words), path
            assert any(re.fullmatch(r"1e-\d|1k?|10+", word) for word in words), path


def test_the_tooltip_of_a_rate_tells_its_band() -> None:
    path = next(path for path, wanted in plots().items() if wanted["template"] in RATES)
    told = json.dumps(vl_convert.vegalite_to_vega(filled(path, ["workspace"])))
    assert "95 % band from" in told
    assert all(field in told for field in ("rev", "lo", "hi"))


@pytest.mark.parametrize("template", [*TEMPLATES.glob("*.json")], ids=lambda path: path.stem)
def test_colours_are_the_theme_s_and_dvc_s(template: Path) -> None:
    """VS Code draws on dark ground and gives each run the colour that it has in the table of experiments."""
    text = template.read_text()
    assert not re.search(r"#[0-9a-fA-F]{3,8}\"|white|black|background", text)
    assert '"<DVC_METRIC_COLOR>"' in text
    path = next(path for path, wanted in plots().items() if wanted["template"] == template.stem)
    dark = vl_convert.vegalite_to_svg(filled(path, RUNS["one run"]), theme="dark")
    written = [each.get("fill") for each in ET.fromstring(dark).iter() if each.tag.endswith("text")]
    assert {*written} == {"#fff"}


@pytest.mark.slow
def test_the_page_for_work_without_a_network_holds_vega() -> None:
    html = HTML(plots_page.page()).with_scripts(VegaRenderer.SCRIPTS).with_element("<div>here</div>").embed()
    assert "<div>here</div>" in html
    assert html.index("window.vegaEmbed=") < html.index("<div>here</div>"), "it is there before plots are drawn"
    loaded = re.findall(r"<script[^>]*src=|<link|import\s*\(|^\s*(?:import|export)\s", html, re.MULTILINE)
    assert loaded == []


@pytest.mark.slow
def test_dvc_is_told_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.chdir(tmp_path)
    plots_page.main()
    with Repo(str(tmp_path)) as repo:
        named = Path(repo.dvc_dir) / repo.config["plots"]["html_template"]
    assert "{plot_divs}" in named.read_text()
    assert "html_template" in (tmp_path / ".dvc/config.local").read_text()
