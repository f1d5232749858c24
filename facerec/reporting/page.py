"""One self-contained HTML page: no network, no scripts, readable on a phone, a wide screen and paper.

A page is headline numbers and sections; a section is made of blocks. Everything is escaped by the template
(templates/page.html), which also has the style inside; pictures are embedded.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from facerec.core import FormatError
from facerec.reporting.tables import Table

_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Number:
    """A headline number: what it is of, itself, what it says, where it lies in 0..1 and how sure it is."""

    title: str
    value: str
    label: str
    place: float
    interval: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Grid:
    """A table whose first column names the rows and stays in view; `facts` are names and texts, no numbers."""

    kind: ClassVar = "grid"
    table: Table
    facts: bool = False


@dataclass(frozen=True)
class PagePicture:
    """A .svg, .png or .jpg file with its caption."""

    caption: str
    path: Path

    @property
    def data(self) -> Markup:
        """The file as an address that holds it; FormatError for another kind of file."""
        if self.path.suffix not in _TYPES:
            raise FormatError(f"The page cannot show {self.path.name}; give it {', '.join(_TYPES)}.")
        encoded = base64.b64encode(self.path.read_bytes()).decode("ascii")
        return Markup(f"data:{_TYPES[self.path.suffix]};base64,{encoded}")


@dataclass(frozen=True)
class Pictures:
    """Figures side by side; `photos` are shown over the full width and in their own colours."""

    kind: ClassVar = "pictures"
    pictures: Sequence[PagePicture]
    photos: bool = False


@dataclass(frozen=True)
class Card:
    """A Markdown document."""

    kind: ClassVar = "card"
    markdown: str

    @property
    def html(self) -> Markup:
        """The document with its headings below those of the page; HTML and pictures in it are text."""
        parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
        tokens = parser.parse(self.markdown)
        for token in tokens:
            if token.type in ("heading_open", "heading_close"):
                token.tag = f"h{int(token.tag[1]) + 2}"
        return Markup(parser.renderer.render(tokens, parser.options, {}))


@dataclass(frozen=True)
class Code:
    """Text as it is."""

    kind: ClassVar = "code"
    text: str


@dataclass(frozen=True)
class Fold:
    """Blocks below a line that opens and closes them; on paper they are open."""

    kind: ClassVar = "fold"
    title: str
    blocks: Sequence[Block]
    open: bool = False


Block: TypeAlias = Text | Grid | Pictures | Card | Code | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading, and an entry in its contents; `name` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block]


def render_page(
    title: str, lead: str, note: str, numbers: Sequence[Number], sections: Sequence[Section]
) -> str:
    """The page as HTML text; sections without blocks are left out.

    Under the heading stand `lead`, which says what this is about, and `note`, a remark nobody must miss.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_whole,
    )
    shown = [section for section in sections if section.blocks]
    return environment.get_template("page.html").render(
        title=title, lead=lead, note=note, numbers=numbers, sections=shown
    )


def _whole(value: Any) -> Any:
    """A text whose percent signs stay with their numbers."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value
