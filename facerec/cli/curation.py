"""Commands that decide which faces to train on: clean, overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Panel, command, file_place, network_place, report
from facerec.core import ParamsError

_CLEAN = parameters.CleanParams.model_construct(model="", reviewed=None)

Judge = Annotated[
    Path,
    typer.Option(
        help="The network that judges: a file, a folder with one, or the name of a model of the catalog.",
        metavar="NAME|PATH",
        callback=network_place,
    ),
]
Decided = Annotated[Path, typer.Option(help="YAML of decisions to write.", callback=file_place)]
Reviewed = Annotated[Path | None, typer.Option(help="An earlier YAML, whose actions hold.")]


def _sheet_place(sheet: Path | None) -> Path | None:
    if sheet is not None and sheet.suffix not in (".jpg", ".png"):
        raise ParamsError(f"a sheet is written as .png or .jpg, not {sheet.name}.")
    return sheet and file_place(sheet)


Sheet = Annotated[
    Path | None, typer.Option(help="Contact sheet of what was found, .jpg or .png.", callback=_sheet_place)
]
Engine = Annotated[str, typer.Option(help="What runs the network: torch, fused, bf16, onnxruntime.")]


@command(Panel.DATA)
def clean(
    faces: Annotated[Path, typer.Argument(help="Directory of face shards with identities.")],
    model: Judge,
    out: Decided = Path("decisions.yaml"),
    reviewed: Reviewed = None,
    sheet: Sheet = None,
    missed: Annotated[float, typer.Option(help="Share of foreign photos that may pass.")] = _CLEAN.missed,
    expected: Annotated[
        float, typer.Option(help="Pairs of different people that may be taken for one.")
    ] = _CLEAN.expected,
    engine: Engine = "torch",
    as_json: Json = False,
) -> None:
    """Find errors in a training set: foreign photos, one person under two names, duplicates, unusable faces.

    Writes decisions for you to review, which training obeys with `train.exclude`.
    """
    from facerec.curation import cleaning

    options = cleaning.CleaningOptions(missed=missed, expected=expected)
    _write(cleaning.find_errors(faces, model, options, engine), model, out, sheet, reviewed, as_json)


@command(Panel.DATA)
def overlap(
    train: Annotated[Path, typer.Argument(help="Face shards of a training set.")],
    test: Annotated[Path, typer.Argument(help="Face shards of a benchmark.")],
    model: Judge,
    out: Decided = Path("decisions.yaml"),
    reviewed: Reviewed = None,
    sheet: Sheet = None,
    expected: Annotated[float, typer.Option(help="Candidates that may be there by chance.")] = 1.0,
    engine: Engine = "torch",
    as_json: Json = False,
) -> None:
    """Find the people that a training set shares with a benchmark, by name and by similarity.

    Writes decisions for you to review, which training obeys with `train.exclude`.
    """
    from facerec.curation.overlap import overlap_of_sets

    _write(overlap_of_sets([train], test, model, expected, engine), model, out, sheet, reviewed, as_json)


def _write(found: Any, model: Path, out: Path, sheet: Path | None, reviewed: Path | None, as_json: bool) -> None:
    """Write the decisions and the sheet, and show the counts."""
    from facerec.reporting.decision_sheets import write_decided

    report(f"Decisions in {out}", write_decided(found, model, out, sheet, reviewed), as_json)
