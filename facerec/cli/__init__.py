"""The `facerec` command: the steps of the graph on plain files, without DVC.

    facerec detect photos/ --json

One file for each group of commands, which registers them on `common.app`:

    use.py          compare, enroll, search
    data.py         catalog, download, add, import, unpack, pack, export, inspect, sheet
    faces.py        detect, align
    models.py       train, onnx, embed
    measure.py      verify, quality, megaface, figure
    templates.py    ijb, tinyface
    experiments.py  profile, check, compare-runs, experiments, reproduced, verify-cache

People get tables and progress on standard error; `--json` prints one JSON object on standard output and nothing else
there. Imports that take long (torch, matplotlib, the renderer, DVC) are inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from importlib import import_module

from facerec.cli.common import app
from facerec.core import run_command, use_portable_arithmetic, without_pandas

__all__ = ["GROUPS", "app", "main"]

GROUPS = ("use", "data", "faces", "models", "measure", "templates", "experiments")
"""Modules of this folder whose commands are registered."""

for group in GROUPS:
    import_module(f"facerec.cli.{group}")


def main() -> None:
    """Run the command; a failure ends with one sentence and an exit code."""
    sys.exit(run_command(_run))


def _run() -> None:
    use_portable_arithmetic()  # before a command imports numpy or torch
    with without_pandas():
        app()
