"""What every stage shares: validated parameters in, exit code and one clear sentence out, and where things lie."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from facerec import console, params, timing

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
        with timing.recorded(Path(script).stem, *arguments[:1]):
            stage(params.load(), *arguments)

    sys.exit(console.run(timed))
