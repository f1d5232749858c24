"""What every stage shares: validated parameters in, exit code and one clear sentence out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from facerec import console, launching, params

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


def run_together(stage: Callable[..., None]) -> None:
    """As `run`, in the processes that the machine setting FACEREC_TORCHRUN asks for."""
    if not launching.wanted():
        run(stage)
    module = [f"stages.{stage.__name__}", *sys.argv[1:]]
    sys.exit(console.run(lambda: launching.launch(module)))
