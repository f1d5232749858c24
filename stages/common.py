"""What every stage shares: validated parameters in, exit code and one clear sentence out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from facerec import console, params

RAW = Path("data/raw")
DETECTIONS = Path("data/detections")
FACES = Path("data/faces")
EMBEDDINGS = Path("data/embeddings")
SCORES = Path("data/scores")
MEGAFACE = Path("data/megaface")
MODELS = Path("models")
METRICS = Path("reports/metrics")
CURVES = Path("reports/curves")
SHEETS = Path("reports/sheets")


def run(stage: Callable[..., None]) -> None:
    """Call `stage(params, *arguments)` with params.yaml and the arguments of the command line."""
    sys.exit(console.run(lambda: stage(params.load(), *sys.argv[1:])))
