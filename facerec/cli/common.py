"""What the groups of commands share: the application, its usual arguments, and how results are shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Face recognition, from photos to CMC and ROC curves. `dvc repro` runs every step; these are the steps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Out = Annotated[Path, typer.Argument(help="What to write; replaced whole.")]


def report(title: str, values: dict[str, Any], as_json: bool = False) -> None:
    """Show flat `values` as a table for people, or as JSON for programs."""
    if as_json:
        sys.stdout.write(json.dumps(values, sort_keys=True) + "\n")
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for key, value in values.items():
        table.add_row(key, f"{value:.5g}" if isinstance(value, float) else str(value))
    Console(stderr=True).print(table)
