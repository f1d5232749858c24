"""What the stages share: where things lie, running with validated parameters, writing metrics and curves."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from facerec.core import ParamsError, ShareMade, making_share, run_command, timing, without_pandas, write_json
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


PARTED = ("unpack", "detect", "align", "embed", "megaface_features")
"""Stages whose long work is in parts, so that several machines can share it."""


def run(stage: Callable[..., None]) -> None:
    """Call `stage(params, *arguments)` with params.yaml and the arguments of the command line.

    With `--part I/N` at its end the stage makes only part I of N of its work; a run without it then finds all parts.
    """
    script, *words = sys.argv
    name = Path(script).stem

    def timed() -> None:
        arguments, share = _split_part(name, words)
        check_names(arguments)
        check_code(name)
        if share is not None:
            _make_share(share, lambda: stage(load_params(), *arguments))
            return
        with timing.record_stage(name, *arguments[:1]), without_pandas():
            stage(load_params(), *arguments)

    sys.exit(run_command(timed))


def _split_part(name: str, words: list[str]) -> tuple[list[str], tuple[int, int] | None]:
    """The arguments of a stage, and I and N of `--part I/N`, where it is given."""
    if words[-2:-1] != ["--part"]:
        return words, None
    if name not in PARTED:
        raise ParamsError(f"Stage {name} has no parts; those with parts are {', '.join(PARTED)}.")
    found = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", words[-1])
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ParamsError(f"--part must be I/N with I from 1 to N, such as 3/16, not {words[-1]!r}.")
    return words[:-2], (int(found[1]), int(found[2]))


def _make_share(share: tuple[int, int], stage: Callable[[], None]) -> None:
    number, of = share
    try:
        with without_pandas(), making_share(number - 1, of):
            stage()
    except ShareMade as made:
        note(f"part {number} of {of}: {made.parts} pieces of work, {made.new} done now, {made.parts - made.new} before")


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
