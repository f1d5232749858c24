"""Shared by the groups of commands: the application, common arguments, and how results are printed."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from rich.table import Table
from typer.models import ArgumentInfo

from facerec.cli.commands import HELP, PlainCommand, app
from facerec.core import ParamsError, check_place, parse_yaml, shown, terminal

F = TypeVar("F", bound=Callable[..., None])


def folder_place(out: Path) -> Path:
    """`out`, the argument for a folder to write; an error before any work where none can be put there."""
    check_place(out, folder=True)
    return out


def file_place(out: Path) -> Path:
    """`out`, the argument for a file to write; an error before any work where none can be put there."""
    check_place(out, folder=False)
    return out


def optional_file_place(out: Path | None) -> Path | None:
    """As `file_place`, of an option that can be left out."""
    return out and file_place(out)


def network_place(model: Path | None) -> Path | None:
    """`model`, which names a network, or where the model of that name in the catalog or on the hub lies."""
    from facerec.catalog import networks

    return model and networks.network_place(str(model))


DETECTORS = ("mtcnn", "retina-face", "retinaface-mnet0.25", "retinaface-r50")
"""Names of the detectors, here because `facerec.detection` imports slowly."""


class Panel(StrEnum):
    """The groups of commands in `facerec --help`."""

    USE = "Use a network"
    DATA = "Data"
    MEASURE = "Measure"
    TRAIN = "Train"
    EXPERIMENTS = "Experiments"


def command(panel: Panel | None, name: str | None = None, group: typer.Typer = app) -> Callable[[F], F]:
    """Register a function as command `name` (its own name by default) of `group`, below the heading `panel`.

    In its help an argument is called by its name in capitals, and an option's value PATH, NUMBER or NAME, or by the
    names it can have.
    """

    def register(function: F) -> F:
        hints = get_type_hints(function, include_extras=True)
        for key in inspect.signature(function).parameters:
            if get_origin(hints[key]) is Annotated:
                _name_value(key, hints[key])
        function.__annotations__ = hints
        group.command(name, cls=PlainCommand, rich_help_panel=panel, context_settings=HELP)(function)
        return function

    return register


def _name_value(key: str, hint: Any) -> None:
    """Say in the help what the value of a parameter is, where nothing says it yet."""
    kind, info = get_args(hint)[:2]
    if info.metavar is not None or kind is bool:
        return
    if isinstance(info, ArgumentInfo):
        info.metavar = key.upper()
        return
    kinds = {kind, *get_args(kind), *(inner for each in get_args(kind) for inner in get_args(each))}
    choices = [each for each in get_args(kind) if isinstance(each, str)]
    numbers = {int, float} & kinds
    info.metavar = "|".join(choices) or ("PATH" if Path in kinds else "NUMBER" if numbers else "NAME")


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Model = Annotated[
    Path,
    typer.Argument(
        help="backbone.pt, an .onnx file, a folder with one, the name of a model of the catalog, or hf://OWNER/NAME.",
        callback=network_place,
    ),
]
Out = Annotated[Path, typer.Argument(help="Folder to write; replaced whole.", callback=folder_place)]
Replace = Annotated[bool, typer.Option("--replace", help="Replace OUT whole if it exists.")]
Weights = Annotated[
    str | None,
    typer.Option(help="Weights of the detector: a file, or the name of weights of the catalog.", metavar="PATH|NAME"),
]
Detector = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(DETECTORS[:-1])} or {DETECTORS[-1]}, or the name of weights of the catalog.", metavar="NAME"
    ),
]
MinFace = Annotated[int | None, typer.Option(help="Smallest face, in pixels.")]
DetectKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--detect-option", help="A key of `detect:`, repeatable: retry=1, threshold=0.8.", metavar="KEY=VALUE"
    ),
]
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


def parse_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """The words key=value of an option as a mapping; values are read as YAML."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParamsError(f"{option} takes key=value, not {pair!r}.")
        values[key] = parse_yaml(value, f"{option} {key}", ParamsError)
    return values


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object on standard output, keys sorted."""
    sys.stdout.write(json.dumps(values, sort_keys=True) + "\n")


def report(title: str, values: dict[str, Any], as_json: bool = False) -> None:
    """Show flat `values` as a table for people, or as JSON for programs."""
    if as_json:
        print_json(values)
        return
    table = Table(title=shown(title), title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for key, value in values.items():
        table.add_row(shown(key), f"{value:.5g}" if isinstance(value, float) else str(value))
    terminal().print(table)


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]], note: str) -> None:
    """Show a table of the report, with its note below."""
    table = Table(title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(header):
        table.add_column(shown(title), justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*map(shown, row))
    terminal().print(table)
    terminal().print(shown(note, 2000))


def detector_options(weights: str | None, min_face: int | None, engine: str | None = None) -> dict[str, Any]:
    """The options of `facerec.recognition` for a detector that were given on the command line."""
    given = {"weights": weights, "min_face": min_face, "engine": engine}
    return {name: value for name, value in given.items() if value is not None}


def named_detector(
    detector: str, weights: str | None, min_face: int | None, engine: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The detector and its options for `facerec.detection.build_detector`; names of the catalog become files."""
    from facerec.catalog import networks

    name, files = networks.detector_files(detector, weights)
    return name, files | detector_options(None, min_face, engine)
