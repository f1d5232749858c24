"""Write the table of docs/speed.md from reports/bench.json, which `make bench` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facerec.core import write_text
from tools.graph import ROOT

PAGE, FIGURES = ROOT / "docs/speed.md", ROOT / "reports/bench.json"
START, END = "<!-- made from reports/bench.json by make docs -->\n", "<!-- end -->\n"


def page(text: str, figures: Path = FIGURES) -> str:
    """The page `text` with the table of `figures` between its two comments."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return before + START + "".join(table(json.loads(figures.read_text(encoding="utf-8"))["rows"])) + END + after


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The rows that were measured as a Markdown table, then what had nothing to compare with."""
    yield "| what | against | ratio | in the rounds | measured |\n|---|---|---|---|---|\n"
    for row in rows:
        if "ratio" in row:
            spread = f"{row['low']:g} to {row['high']:g} ({row['rounds']})"
            ratio, place = f"{row['ratio']:g} {row['meaning']}", f"{row['date']}, {row['machine']}"
            yield f"| {row['what']} | {row['against']} | {ratio} | {spread} | {place} |\n"
    for row in rows:
        if "absent" in row:
            yield f"\n`bench/{row['script']}.py`, {row['date']}: {row['absent']}\n"


def main() -> None:
    """Write the page."""
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
