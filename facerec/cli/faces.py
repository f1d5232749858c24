"""Commands from photos to aligned faces."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Out, app, report

Photos = Annotated[Path, typer.Argument(help="Directory of photo shards.")]
DETECT, ALIGN = parameters.Detect(), parameters.Align()


@app.command()
def detect(
    photos: Photos,
    out: Annotated[Path, typer.Argument(help="Parquet table to write.")],
    detector: Annotated[str, typer.Option(help="Name of the detector.")] = DETECT.detector,
    min_face: Annotated[int, typer.Option(help="Smallest face, in pixels.")] = DETECT.min_face,
    as_json: Json = False,
) -> None:
    """Find every face of every photo."""
    from facerec.detection import table

    report("Detection", asdict(table.detect(photos, out, detector, {"min_face": min_face})), as_json)


@app.command()
def align(
    photos: Photos,
    detections: Annotated[Path, typer.Argument(help="Table written by detect.")],
    out: Out,
    size: Annotated[int, typer.Option(help="Side of the crop: a multiple of 112 or 128.")] = ALIGN.size,
    rule: Annotated[str, typer.Option(help="center, largest, score-area or best-score.")] = ALIGN.rule,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = ALIGN.quality,
    as_json: Json = False,
) -> None:
    """Keep one face a photo, warped to the 5-point template."""
    from facerec import enrolment

    options = enrolment.Options(rule, size, quality)
    report("Alignment", asdict(enrolment.align(photos, detections, out, options)), as_json)
