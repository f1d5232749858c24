"""What the stages share: where things lie, running with validated parameters, writing metrics and curves."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from facerec.core import ParamsError, run_command, timing, without_pandas, write_json
from facerec.core import note as note
from facerec.params import Params as Params
from facerec.params import load_params
from facerec.repository.code import check_code

RAW = Path("data/raw")
DETECTIONS = Path("data/detections")
FACES = Path("data/faces")
EMBEDDINGS = Path("data/embeddings")
SCORES = Path("data/scores")
MEGAFACE = Path("data/megaface")
DECISIONS = Path("data/decisions")
MODELS = Path("models")
REPORTS = Path("reports")
METRICS = REPORTS / "metrics"
CURVES = REPORTS / "curves"
SHEETS = REPORTS / "sheets"
FIGURES = REPORTS / "figures"


def write_metrics(stage: str, name: str, values: Any) -> None:
    """Write reports/metrics/<stage>/<name>.json, which holds {name: values}."""
    write_json(METRICS / f"{stage}/{name}.json", {name: values})


def write_curve(name: str, kind: str, records: list[dict[str, Any]]) -> None:
    """Write the plot data reports/curves/<name>_<kind>.json, which holds {kind: records}."""
    write_json(CURVES / f"{name}_{kind}.json", {kind: records})


def check_names(arguments: Sequence[str]) -> None:
    """Raise ParamsError for an argument that is no name of a set, network or benchmark, since it becomes a path."""
    for argument in arguments:
        if not re.fullmatch("[A-Za-z0-9_]+", argument):
            raise ParamsError(f"{argument!r} is no name for a stage; use one of params.yaml (letters, digits and _).")


def run(stage: Callable[..., None]) -> None:
    """Call `stage(params, *arguments)` with params.yaml and the arguments of the command line."""
    script, *arguments = sys.argv

    def timed() -> None:
        check_names(arguments)
        check_code(Path(script).stem)
        with timing.record_stage(Path(script).stem, *arguments[:1]), without_pandas():
            stage(load_params(), *arguments)

    sys.exit(run_command(timed))


def run_together(stage: Callable[..., None]) -> None:
    """As `run`, in the processes that the machine setting FACEREC_TORCHRUN asks for."""
    from facerec.distributed import launching  # only here, as it imports torch

    if not launching.should_launch():
        run(stage)
    name, arguments = stage.__name__, sys.argv[1:]

    def timed() -> None:  # each process notes its time too; this note, of all of them, is the last
        check_names(arguments)
        check_code(name)
        with timing.record_stage(name, *arguments[:1]):
            launching.launch([f"stages.{name}", *arguments])

    sys.exit(run_command(timed))
