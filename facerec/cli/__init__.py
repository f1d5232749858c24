"""The `facerec` command: the steps of the graph on plain files, without DVC.

    facerec detect photos/ --json

One file for each group of commands, which registers them on `commands.app`:

    use.py          compare, enroll, search
    data.py         catalog, download, add, import, unpack, pack, export, inspect, sheet
    faces.py        detect, align
    curation.py     clean, overlap
    models.py       recipe, train, onnx, publish, embed
    measure.py      verify, quality, megaface, figure
    protocols.py    openset, ijb, tinyface
    experiments.py  profile, check, compare-runs, experiments, reproduced, verify-cache, run-part

People get tables and progress on standard error; `--json` prints one JSON object on standard output and nothing else
there. Imports that take long (torch, matplotlib, the renderer, DVC) are inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from facerec import __version__
from facerec.cli.commands import app
from facerec.core import collect_rarely, run_command, use_portable_arithmetic, without_pandas

__all__ = ["app", "main"]


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"facerec {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Face recognition, from photos to CMC and ROC curves. `dvc repro` runs every step; these are the steps."""


def main() -> None:
    """Run the command; a failure ends with one sentence and an exit code."""
    sys.exit(run_command(_run))


def _run() -> None:
    collect_rarely()
    use_portable_arithmetic()  # before a command imports numpy or torch
    with without_pandas():
        app()
