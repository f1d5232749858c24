"""The `facerec` command: the steps of the graph on plain files, without DVC.

One file a group of commands; each registers its commands on `common.app`. People get tables and progress on
standard error; `--json` prints one JSON object on standard output and nothing else there. Heavy imports
happen inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import sys

from facerec.cli import (
    catalogue,
    comparing,
    data,
    evaluation,
    experiment,
    faces,
    figures,
    megaface,
    models,
    recognising,
)
from facerec.cli.common import app
from facerec.core import console

__all__ = [
    "app",
    "catalogue",
    "comparing",
    "data",
    "evaluation",
    "experiment",
    "faces",
    "figures",
    "main",
    "megaface",
    "models",
    "recognising",
]


def main() -> None:
    """Entry point: one clear sentence and an exit code on failure."""
    sys.exit(console.run_command(app))
