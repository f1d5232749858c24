"""Shared by the groups of commands: the application, common arguments, and how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from facerec.core import ParamsError, check_place, shown, terminal


def folder_place(out: Path) -> Path:
    """`out`, the argument for a folder to write; an error before any work where none can be put there."""
    check_place(out, folder=True)
    return out


def file_place(out: Path) -> Path:
    """`out`, the argument for a file to write; an error before any work where none can be put there."""
    check_place(out, folder=False)
    return out


app = typer.Typer(
    help="Face recognition, from photos to CMC and ROC curves. `dvc repro` runs every step; these are the steps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Model = Annotated[Path, typer.Argument(help="backbone.pt, an .onnx file, or a downloaded model's directory.")]
Out = Annotated[Path, typer.Argument(help="Folder to write; replaced whole.", callback=folder_place)]
Replace = Annotated[bool, typer.Option("--replace", help="Replace OUT whole if it exists.")]
Weights = Annotated[Path | None, typer.Option(help="File of the detector's weights.")]
MinFace = Annotated[int | None, typer.Option(help="Smallest face, in pixels.")]
Engine = Annotated[str | None, typer.Option(help="What runs RetinaFace: torch, or onnxruntime, which is faster.")]


def check_out(out: Path, source: Path, replace: bool) -> None:
    """Raise ParamsError where `out` holds the source, or exists and is not to be replaced."""
    if out.resolve() in (source.resolve(), *source.resolve().parents):
        raise ParamsError(f"{out} holds the source {source} and would be replaced; name another OUT.")
    if not replace and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ParamsError(f"{out} exists; name another OUT, or add --replace to have it replaced whole.")


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "112" or "112x96"."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) < 1 << 15 for side in sides):
        raise ParamsError(f"--size takes 112 or 112x96 (height x width), not {text!r}.")
    return int(sides[0]), int(sides[-1])


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object on standard output, keys sorted."""
    sys.stdout.write(json.dumps(values, sort_keys=True) + "\n")


def report(title: str, values: dict[str, Any], as_json: bool = False) -> None:
    """Show flat `values` as a table for people, or as JSON for programs."""
    if as_json:
        print_json(values)
        return
    table = Table(title=shown(title), title_justify="left", show_header=False)
    for key, value in values.items():
        table.add_row(shown(key), f"{value:.5g}" if isinstance(value, float) else str(value))
    terminal().print(table)


def detector_options(weights: Path | None, min_face: int | None, engine: str | None = None) -> dict[str, Any]:
    """The options of `facerec.detection.build_detector` that were given on the command line."""
    given = {"weights": str(weights) if weights else None, "min_face": min_face, "engine": engine}
    return {name: value for name, value in given.items() if value is not None}
