"""What every stage shares: validated parameters in, exit code and one clear sentence out, and where things lie."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from facerec import params
from facerec.core import run_command, timing
from facerec.distributed import launching

RAW = Path("data/raw")
DETECTIONS = Path("data/detections")
FACES = Path("data/faces")
EMBEDDINGS = Path("data/embeddings")
SCORES = Path("data/scores")
MEGAFACE = Path("data/megaface")
MODELS = Path("models")
REPORTS = Path("reports")
METRICS = REPORTS / "metrics"
CURVES = REPORTS / "curves"
SHEETS = REPORTS / "sheets"
FIGURES = REPORTS / "figures"


def run(stage: Callable[..., None]) -> None:
    """Call `stage(params, *arguments)` with params.yaml and the arguments of the command line."""
    script, *arguments = sys.argv

    def timed() -> None:
        with timing.record_stage(Path(script).stem, *arguments[:1]):
            stage(params.load_params(), *arguments)

    sys.exit(run_command(timed))


def run_together(stage: Callable[..., None]) -> None:
    """As `run`, in the processes that the machine setting FACEREC_TORCHRUN asks for."""
    if not launching.should_launch():
        run(stage)
    name, arguments = stage.__name__, sys.argv[1:]

    def timed() -> None:  # each process notes its time too; this note, of all of them, is the last
        with timing.record_stage(name, *arguments[:1]):
            launching.launch([f"stages.{name}", *arguments])

    sys.exit(run_command(timed))
