"""The command that shows the catalogue: what can be had, under which terms, and what is here already."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from facerec.cli.common import Json, app, report

if TYPE_CHECKING:
    from facerec.catalog.entries import CatalogEntry


@app.command()
def catalog(
    name: Annotated[
        str | None, typer.Argument(help="An entry to show in full; all in short without.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the data sets and weights that `facerec download` knows, or show one in full."""
    from facerec.catalog import entries

    if name is not None:
        report(name, _full(entries.load_entry(name)), as_json)
        return
    rows = [_short(entries.load_entry(each)) for each in entries.entry_names()]
    if as_json:
        sys.stdout.write(json.dumps({"entries": rows}, sort_keys=True) + "\n")
        return
    lines = [{**row, "MB": "" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.0f}"} for row in rows]
    table, room = Table(box=None, pad_edge=False), Console(stderr=True).width
    for heading in ("name", "kind", "MB", "how", "here"):  # a line an entry: only what it is gives way
        width = max(len(heading), *(len(line[heading]) for line in lines))
        table.add_column(heading, min_width=width, justify="right" if heading == "MB" else "left")
        room -= width + 1
    table.add_column("what", no_wrap=True, overflow="ellipsis", width=max(room - 1, 8))
    for line in lines:
        table.add_row(*(line[key] for key in ("name", "kind", "MB", "how", "here", "title")))
    Console(stderr=True).print(table)


def _short(entry: CatalogEntry) -> dict[str, Any]:
    from facerec.catalog import downloads

    return {
        "name": entry.name,
        "title": entry.title,
        "kind": entry.kind,
        "licence": entry.licence,
        "bytes": downloads.total_size(entry),
        "how": downloads.acquisition(entry),
        "here": downloads.location(entry),
    }


def _full(entry: CatalogEntry) -> dict[str, Any]:
    """Every field that says something, files by their names."""
    from facerec.catalog import downloads

    counts = {name: count for name, count in entry.counts.model_dump().items() if count is not None}
    published = {name: count for name, count in entry.published.model_dump().items() if count is not None}
    texts = {
        "terms": entry.terms,
        "citation": entry.citation,
        "homepage": entry.homepage,
        "by hand": entry.manual,
        "counts": _listed(counts),
        "published counts": _listed(published),
        "people in reports": _shown(entry),
    }
    files = {f"file {file.name}": "\n".join(file.urls) or "no address" for file in entry.files}
    places = {} if not entry.files else {"put files into": downloads.target_folders(entry)}
    return {**_short(entry), **files, **places, **{key: text for key, text in texts.items() if text}}


def _shown(entry: CatalogEntry) -> str:
    if entry.kind not in ("photos", "pack"):
        return ""
    return "shown" if entry.shown else "not shown; pictures: true would allow it"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
