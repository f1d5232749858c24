"""The report of a run: it says what was measured, shows only what may be shown, and nothing in it is markup by itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from facerec.catalog import entries
from facerec.core import write_json
from facerec.core.timing import StageRun
from facerec.params import Params, profiles
from facerec.params.experiment import PerSet
from facerec.reporting import figures, provenance, run_figures
from facerec.reporting.provenance import Provenance
from facerec.reporting.report import SYNTHETIC, RunReport
from stages import report as stage
from tests import finished
from tests.conftest import ROOT

EVIL = '"><script>alert(1)</script><img src=http://x.example/y onerror=alert(1)>|`[a](javascript:alert(1))\n# b'
VOID = ("meta", "img", "link", "br", "hr")


class Checker(HTMLParser):
    """Fails on tags that do not nest, on scripts but the two of provenance, and on anything fetched from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.anchors: list[str] = []
        self.names: list[str] = []
        self.scripts: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("iframe", "object", "embed", "form", "base")
        if tag == "script":
            self.scripts.append(dict(attributes).get("src"))
        for name, value in attributes:
            assert not name.startswith("on")
            if name == "src" and tag != "script":
                assert value.startswith("data:image/")
            if name == "href":
                assert value.startswith(("#", "data:", "https://", "http://"))
                assert value.startswith(("#", "data:")) or tag == "a"
                self.anchors += [value[1:]] if value.startswith("#") else []
            if name == "id":
                self.names.append(value)
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open
    source, inline = checker.scripts
    assert inline is None
    assert re.fullmatch(r"provenance/([0-9a-f]{16})?\.js", source)
    return checker


def shown_beside(page: Path) -> list[dict[str, Any]]:
    """The tables of provenance that a page shows."""
    source = checked(page.read_text()).scripts[0]
    variable, _, tables = (page.parent / source).read_text().partition(" = ")
    assert variable == "var facerecProvenance"
    assert tables.isascii()
    return json.loads(tables.removesuffix(";\n"))


def made_on(date: str = "2025-11-25") -> Provenance:
    environment = {"Report made": date, "Python": "CPython 3.11.7"}
    stages = {
        "align": [StageRun(12.5, 206_000_000, "2025-11-25T19:58:07Z"), None],
        "train": [StageRun(129.0, 10**9, "x")],
        "embed": [None],
    }
    return Provenance("0123abc", environment, {"numpy": "2.4.6"}, stages)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return finished.make(tmp_path_factory.mktemp("run"), finished.default(), drawn=True)


@pytest.fixture(scope="module")
def html(default: RunReport) -> str:
    return default.page()


def test_the_page_is_whole_and_its_contents_lead_to_its_sections(html: str) -> None:
    checker = checked(html)
    sections = ["verification", "identification", "training", "faces", "cards", "parameters", "provenance"]
    assert checker.anchors == checker.names == sections
    assert checker.seen.count("h1") == 1
    assert len(html) < 4_000_000


def test_the_headline_has_every_benchmark_with_its_interval(default: RunReport, html: str) -> None:
    text = checked(html).text.replace("\u00a0", " ")
    for name, each in default.found["verification"].items():
        low, high = (f"{100 * each[f'accuracy_{end}']:.1f}" for end in ("low", "high"))
        assert re.search(rf"{name}{100 * each['accuracy']:.2f} % accuracy\s+95 % interval {low} to {high} %", text)
    rank1 = default.found["identification"]["synth_megaface"]["cleaned"]["rank1"]
    assert f"{100 * rank1:.2f} % rank 1" in text
    assert "4 of 480 gave none, 4 only by a fallback" in text
    assert SYNTHETIC in text


def test_every_figure_and_every_sheet_is_on_the_page(default: RunReport, html: str) -> None:
    drawn = list((default.figures).glob("*.svg"))
    assert len(drawn) == 2 + 3 + 2 + 1
    assert checked(html).seen.count("img") == len(drawn) + 3 + 2 * 4
    assert html.count("data:image/svg+xml") == len(drawn)


def test_the_tables_say_what_the_stages_found(html: str) -> None:
    text = checked(html).text.replace("\u00a0", " ")
    for words in ("needs 1,000 pairs", "119 (99.17 %)", "2.25 px", "differs by more than 0.0001", "240", "90.00 %"):
        assert words in text


@pytest.mark.slow
def test_equal_runs_give_equal_pages_whenever_they_were_made(default: RunReport, tmp_path: Path) -> None:
    again = finished.make(tmp_path, finished.default(), drawn=True)
    days = {"2025-11-25": default, "2025-11-26": again}
    for day, report in days.items():
        report.write(tmp_path / day, made_on(day))
    one, other = (tmp_path / day / "index.html" for day in days)
    assert one.read_bytes() == other.read_bytes()
    assert [shown_beside(page)[0]["rows"][1] for page in (one, other)] == [["Report made", day] for day in days]
    assert again.data_cards == default.data_cards
    assert again.model_cards == default.model_cards


def test_a_page_never_shows_the_provenance_of_another(tmp_path: Path) -> None:
    run = finished.default()
    one = finished.make(tmp_path / "one", run)
    one.write(tmp_path / "out", made_on())
    before = (tmp_path / "out/index.html").read_text()
    other = finished.make(tmp_path / "other", run)
    other.found["train"]["backbone"]["epochs"] = 4
    other.write(tmp_path / "out", made_on("2025-11-26"))
    assert shown_beside(tmp_path / "out/index.html")[0]["rows"][1] == ["Report made", "2025-11-26"]
    (tmp_path / "out/index.html").write_text(before)  # as dvc checkout brings it back
    assert shown_beside(tmp_path / "out/index.html")[0]["rows"][1] == ["Report made", "2025-11-25"]


def test_the_times_say_what_came_from_the_cache() -> None:
    rows = {name: cells for name, *cells in made_on().stages_table().rows}
    assert rows["align"] == ["1 of 2", "12.5 s", "12.5 s", "206 MB", "2025-11-25 19:58"]
    assert rows["train"][:2] == ["yes", "2 min 9 s"]
    assert rows["embed"][:2] == ["from the cache", "–"]  # noqa: RUF001
    assert rows["together"][:2] == ["2 of 4", "2 min 22 s"]


def test_the_cards_are_written_and_folded_into_the_page(default: RunReport, tmp_path: Path) -> None:
    default.write(tmp_path, made_on())
    cards = {path.relative_to(tmp_path / "cards").as_posix() for path in tmp_path.glob("cards/*/*.md")}
    assert cards == {"models/backbone.md", *(f"data/{name}.md" for name in default.sources.params.entries)}
    data, model = (tmp_path / f"cards/{name}.md" for name in ("data/synth_lfw", "models/backbone"))
    for words in (
        "| Used as | test photos, benchmark synth\\_lfw |".replace("\\_", "_"),
        "| Holds | 120 photos, 20 identities |",
        f"1.23 MB, sha256 of all files `{'ab' * 32}`",
        "| Options | seed: 1, pairs: 800 |",
        "| Photos left out | 1: undecodable 1 |",
        "| Sides of the photos | 200 to 640 pixels |",
        "rendered here; its people do not exist",
    ):
        assert words in data.read_text()
    for words in (
        "| Faces | 240 of 40 identities |",
        "| Set | synth_people: Synthetic people, raw photos for training (CC0-1.0",
        "| synth_lfw | ",
        "| synth_megaface, cleaned | ",
        "It has seen rendered faces only",
        "head: {name: arcface",
    ):
        assert words in model.read_text()


def test_the_card_of_a_set_shows_its_own_settings(tmp_path: Path) -> None:
    own = {"per_set": {"synth_lfw": PerSet(detect={"min_face": 30})}}
    finished.make(tmp_path / "run", finished.default().model_copy(update=own)).write(tmp_path, made_on())
    cards = [(tmp_path / f"cards/data/{name}.md").read_text() for name in ("synth_lfw", "synth_people")]
    assert ["min_face: 30" in card.replace("\\", "") for card in cards] == [True, False]


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    run = finished.default()
    rendered = {**run.render, "synth_lfw": {"pairs": EVIL}}
    entry = entries.load_entry("synth_lfw")
    evil = entry.model_copy(update=dict.fromkeys(("title", "licence", "terms", "citation", "homepage"), EVIL))
    report = finished.make(tmp_path, run.model_copy(update={"render": rendered}), synth_lfw=evil)
    report.found["align"]["synth_lfw"]["reasons"] = {EVIL: 1}
    html = report.page()
    checker = checked(html)
    assert "alert(1)" in checker.text
    assert checker.seen.count("img") == html.count('src="data:image/')
    shown = " ".join(EVIL.split())
    assert checker.text.count(shown) >= 7  # every field of the card says what the catalog says


def test_real_people_are_shown_only_where_the_catalog_allows_it(tmp_path: Path) -> None:
    real = entries.load_entry("lfw")
    entry = real.model_copy(update={"name": "synth_lfw"})
    allowed = entry.model_copy(update={"pictures": True})
    hidden, shown = (
        finished.make(tmp_path / each.name / str(each.pictures), finished.default(), synth_lfw=each)
        for each in (entry, allowed)
    )
    pages = [report.page() for report in (hidden, shown)]
    photos = [page.count("data:image/jpeg") for page in pages]
    assert photos == [2 + 2 * 3, 3 + 2 * 4]
    assert "does not say that its people may be shown (pictures: true)" in pages[0]
    assert "reports/sheets/pairs/synth_lfw.jpg" in pages[0]
    assert "not shown in reports" in hidden.data_cards["synth_lfw"]


def test_a_network_judged_while_it_trained_says_so(tmp_path: Path) -> None:
    run = finished.default().model_copy(update={"model": "models/backbone_best.pt"})
    report = finished.make(tmp_path, run)
    judged = {"best_step": 30, "best_validation": 0.875}
    report.found["train"]["backbone"] |= judged
    card = report.model_cards["backbone"]
    assert "| Best of those judged on the way | step 30, mean accuracy 87.50 % |" in card
    assert "Of backbone_best.pt, the weights that were best while it trained." in card
    looks = [{"step": step, "accuracy": {"lfw": step / 40}} for step in (15, 30)]
    write_json(tmp_path / "curves/backbone_validation.json", {"validation": looks})
    drawn = {plot.name: plot for plot in run_figures.plan_figures(report.sources, report.found)}
    assert "best mean, step 30" in figures.render_figure(drawn["backbone_validation"].draw()).decode()


def test_another_network_than_the_one_that_was_trained_is_not_credited(tmp_path: Path) -> None:
    report = finished.make(tmp_path, finished.default().model_copy(update={"model": "data/raw/other"}))
    assert "Not measured in this run" in report.model_cards["backbone"]
    assert "| synth_lfw | " not in report.model_cards["backbone"]


def test_members_of_a_real_pack_are_not_shown(tmp_path: Path) -> None:
    pack = entries.load_entry("ms1m_arcface").model_copy(update={"name": "synth_pack"})
    report = finished.make(tmp_path, finished.default(), synth_pack=pack)
    assert report.page().count("data:image/jpeg") == 1 + 2 * 4  # neither agedb_30 nor cfp_fp


def test_a_run_that_trains_nothing_and_measures_a_published_network(tmp_path: Path) -> None:
    run = profile("lfw")
    report = finished.make(tmp_path, run)
    html = report.page()
    checker = checked(html)
    assert checker.names == ["verification", "openset", "faces", "cards", "parameters", "provenance"]
    assert SYNTHETIC not in checker.text
    assert "data:image/jpeg" not in html
    assert set(report.model_cards) == {"mobilefacenet_foamliu_pt", "retinaface_mnet025"}
    assert "| lfw | " in report.model_cards["mobilefacenet_foamliu_pt"]
    assert "## Results" not in report.model_cards["retinaface_mnet025"]


def profile(name: str) -> Params:
    return profiles.load_profile(ROOT / "profiles", name)


@pytest.mark.parametrize("name", ["default", "lfw"])
def test_the_report_knows_every_stage_of_the_graph(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = finished.default() if name == "default" else profile(name)
    stages = stage._stages(run)
    assert "report" not in stages
    assert [len(keys) for keys in stages.values()].count(0) == (7 if name == "default" else 12)
    assert stages["verify"] == [("verify", each) for each in run.benchmarks]
    assert stages["plots"] == [("plots",)]


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def test_the_revision_says_when_code_differs_but_not_that_results_do(tmp_path: Path) -> None:
    assert provenance.describe_revision(tmp_path).startswith("unknown")
    (tmp_path / "dvc.lock").write_text("1")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    clean = provenance.describe_revision(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}", clean)
    (tmp_path / "dvc.lock").write_text("2")
    assert provenance.describe_revision(tmp_path) == clean
    (tmp_path / "code.py").write_text("2")
    assert provenance.describe_revision(tmp_path) == f"{clean} and uncommitted changes"


def test_the_environment_names_no_machine_no_person_and_no_path() -> None:
    import getpass
    import platform

    told = provenance.describe_machine() | provenance.library_versions()
    assert told["Processor"]
    assert told["torch"][0].isdigit()
    words = " ".join(told.values())
    names = {platform.node(), getpass.getuser(), str(Path.home()), sys.prefix}
    assert not [name for name in names if re.search(rf"(^|\W){re.escape(name)}(\W|$)", words)]
    assert not re.search(r"(^|\s)/\w", words)
