"""Texts from anywhere: in a card they are cells, and on the page they are text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facerec.core import visible
from facerec.reporting import formatting
from facerec.reporting.formatting import escape_markdown, facts_table, join_document, link_markdown, markdown_table
from facerec.reporting.report import markdown_to_html


class Cells(HTMLParser):
    """The texts of all cells, and every tag that was met."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert all(name in ("href", "style") for name, _ in attributes)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def cells(text: str) -> Cells:
    parser = Cells()
    parser.feed(str(markdown_to_html(text)))
    parser.close()
    return parser


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
@example(
    "<script>alert(1)</script> | `code` *a* [x](javascript:alert(1)) ![y](http://z/) <http://z/> &lt; a_b _c_ ~~d~~ \\"
)
@example("a\n\n# b\n\n<img src=x onerror=alert(1)>\n|---|")
@example("___ **** ``` ~~~ https://a.example <!-- --> ]]>")
def test_any_text_comes_out_of_a_card_as_it_went_in(text: str) -> None:
    table = facts_table([("name", escape_markdown(text) or "empty")])
    found = cells(join_document("Card", table))
    expected = visible(" ".join(text.split())) or "empty"
    assert [cell.strip() for cell in found.cells] == ["name", expected]
    assert found.tags <= {"h3", "table", "thead", "tbody", "tr", "th", "td"}


def test_only_web_addresses_become_links() -> None:
    assert 'href="https://a.example/b?c=d"' in markdown_to_html(link_markdown("https://a.example/b?c=d"))
    for bad in ("javascript:alert(1)", "https://a.example/ onmouseover=x", 'https://a"onclick="x', "file:///etc", ""):
        assert "<a" not in markdown_to_html(link_markdown(bad))


def test_a_card_draws_no_picture_and_runs_no_html() -> None:
    html = markdown_to_html("![x](https://a.example/y.png) <b>bold</b>\n\n<script>alert(1)</script>\n\n# Top")
    assert "<img" not in html
    assert "<b>" not in html
    assert "<script" not in html
    assert "<h3>Top</h3>" in html


def test_tables_leave_out_what_is_unknown() -> None:
    assert facts_table([("a", "1"), ("b", "")]) == "| | |\n|---|---|\n| a | 1 |"
    assert markdown_table(("a", "b", "c"), [("x", "1", "2")]).splitlines()[1] == "|---|---:|---:|"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (formatting.as_percent(0.92754), "92.75 %"),
        (formatting.as_percent(None), formatting.UNKNOWN),
        (formatting.as_interval(0.879, 0.9732), "87.9 to 97.3 %"),
        (formatting.as_interval(None, 1.0), formatting.UNKNOWN),
        (formatting.as_count(1234567), "1,234,567"),
        (formatting.as_number(0.00012346), "0.0001235"),
        (formatting.as_bytes(999), "999 bytes"),
        (formatting.as_bytes(2_828_736), "2.83 MB"),
        (formatting.as_bytes(None), formatting.UNKNOWN),
        (formatting.as_duration(3.21), "3.2 s"),
        (formatting.as_duration(488), "8 min 8 s"),
        (formatting.as_duration(7530), "2 h 5 min"),
        (formatting.as_duration(59.97), "60.0 s"),
    ],
)
def test_numbers_are_said_as_people_say_them(said: str, expected: str) -> None:
    assert said == expected
