"""The report in headless Chromium: nothing fails, nothing is fetched, nothing hangs over the edge, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from facerec.reporting.provenance import Provenance
from tests import browser, finished
from tests.test_report import EVIL, made_on

SCHEMES: tuple[browser.Scheme, ...] = ("light", "dark")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.launched(browser.required()) as launched:
        yield launched


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    finished.make(folder, finished.default(), drawn=True).write(folder / "out", made_on())
    return folder / "out/index.html"


def test_a_bad_page_would_be_noticed(chromium: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<img src="https://a.example/b.png"><img src="missing.png"><div style="width:5000px">wide</div>'
        "<script>console.error('said'); undefined.nothing</script>"
    )
    with browser.opened(chromium, bad, 360) as (page, problems):
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth") > 360
        told = "\n".join(problems)
    for words in ("asked for https://a.example", "failed: https://a.example", "missing.png", "said", "exception: "):
        assert words in told


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [360, 820, 1600])
@pytest.mark.slow
def test_nothing_goes_wrong_and_nothing_hangs_over(
    chromium: Browser, report: Path, width: int, scheme: browser.Scheme
) -> None:
    with browser.opened(chromium, report, width, scheme=scheme) as (page, problems):
        for folds in ("as they are", "all open"):
            if folds == "all open":
                page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            reaches = page.evaluate("Math.max(document.body.scrollWidth, document.documentElement.scrollWidth)")
            assert reaches <= width, folds
        assert page.evaluate("Array.from(document.images).every(each => each.complete && each.naturalWidth > 0)")
        assert page.title() == "Face recognition report"
        assert problems == []


@pytest.mark.slow
def test_the_provenance_is_shown_where_its_file_is_beside_the_page(chromium: Browser, report: Path) -> None:
    with browser.opened(chromium, report, 1600) as (page, problems):
        section = page.locator("#provenance")
        assert section.locator("table").count() == 3
        rows = section.locator("tbody tr").all_inner_texts()
        assert "Report made\t2025-11-25" in rows
        assert "numpy\t2.4.6" in rows
        assert "Not shown" not in section.inner_text()
        assert problems == []


@pytest.mark.slow
def test_a_page_without_that_file_says_so(chromium: Browser, report: Path, tmp_path: Path) -> None:
    alone = tmp_path / "index.html"
    alone.write_bytes(report.read_bytes())
    with browser.opened(chromium, alone, 360) as (page, problems):
        section = page.locator("#provenance")
        assert section.locator("table").count() == 0
        assert "exists only where it was made" in section.inner_text()
        assert [each for each in problems if "exception" in each] == []


@pytest.mark.slow
def test_provenance_is_text_and_no_markup(chromium: Browser, report: Path, tmp_path: Path) -> None:
    spoilt = Provenance(EVIL, {EVIL: EVIL}, {EVIL: EVIL}, {})
    (beside,) = (report.parent / "provenance").iterdir()
    (tmp_path / "provenance").mkdir()
    (tmp_path / "provenance" / beside.name).write_text(spoilt.script())
    (tmp_path / "index.html").write_bytes(report.read_bytes())
    with browser.opened(chromium, tmp_path / "index.html", 1600) as (page, problems):
        section = page.locator("#provenance")
        assert section.locator("tbody th").all_text_contents()[:2] == ["Revision of the code", EVIL]
        assert section.locator("td").first.text_content() == EVIL
        assert section.locator("img").count() == 0
        assert section.locator("script").count() == 2
        assert problems == []


@pytest.mark.slow
def test_dark_is_dark_and_light_is_light(chromium: Browser, report: Path) -> None:
    """Mean brightness of what a person sees first, charts included."""
    shown = {scheme: brightness(chromium, report, scheme) for scheme in SCHEMES}
    assert shown["dark"] < 70
    assert shown["light"] > 200


def brightness(chromium: Browser, report: Path, scheme: browser.Scheme) -> float:
    import cv2
    import numpy as np

    with browser.opened(chromium, report, 1200, scheme=scheme) as (page, _):
        page.locator(".charts").first.scroll_into_view_if_needed()
        picture = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    return float(picture.mean())


@pytest.mark.slow
def test_the_contents_lead_to_every_section(chromium: Browser, report: Path) -> None:
    with browser.opened(chromium, report, 1600) as (page, problems):
        links = page.locator("nav a")
        assert links.count() == 7
        for number in range(links.count()):
            name = links.nth(number).get_attribute("href")
            links.nth(number).click()
            assert page.locator(f"section{name} > h2").is_visible()
        assert problems == []


@pytest.mark.slow
def test_paper_is_white_and_shows_what_is_folded(chromium: Browser, report: Path) -> None:
    with browser.opened(chromium, report, 1600, scheme="dark") as (page, problems):
        page.emulate_media(media="print")
        card = page.locator("details", has_text="Data card: synth_lfw").locator(".card")
        assert card.evaluate("each => each.getBoundingClientRect().height") > 100
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("nav").is_hidden()
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        assert problems == []
