"""Commands from photos to aligned faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, app, check_out, detector_options, parse_size, report

DETECT, ALIGN = parameters.Detect(), parameters.Align()


@app.command()
def detect(
    photos: Annotated[list[Path], typer.Argument(help="Photos, folders, archives, or photo shards.")],
    detector: Annotated[str, typer.Option(help="Name of the detector.")] = DETECT.detector,
    weights: Annotated[Path | None, typer.Option(help="File of the detector's weights.")] = None,
    min_face: Annotated[int | None, typer.Option(help="Smallest face, in pixels.")] = None,
    landmarks: Annotated[bool, typer.Option("--landmarks", help="Show the five landmarks too.")] = False,
    draw: Annotated[
        Path | None, typer.Option(help="Folder (or .jpg, .png) for the photos with faces drawn.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Parquet table to write, as the stage does, of shards.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find every face of every photo.

    A photo that cannot be decoded is listed with the reason; it is an error only if none can.
    """
    from facerec import detection
    from facerec.cli import detect_photos

    options = detector_options(weights, min_face)
    if table is not None:
        report("Detection", detect_photos.tabulate(photos, table, detector, options, draw), as_json)
        return
    drawer = None if draw is None else detect_photos.Drawer(draw, photos)
    looked = list(
        detect_photos.look(
            detection.build_detector(detector, **options), detect_photos.collect(photos), drawer
        )
    )
    (detect_photos.show_json if as_json else partial(detect_photos.show, landmarks=landmarks))(looked)
    detect_photos.check(looked)


@app.command()
def align(
    photos: Annotated[Path, typer.Argument(help="Photo folder, archive (tar, tgz, zip) or photo shards.")],
    out: Annotated[Path, typer.Argument(help="Face set to write; must be new or empty.")],
    size: Annotated[str, typer.Option(help="Crop: 112, or 112x96 (height x width).")] = str(ALIGN.size),
    rule: Annotated[
        str, typer.Option(help="Which face: center, largest, score-area, best-score or annotated.")
    ] = ALIGN.rule,
    fallback: Annotated[
        list[str] | None,
        typer.Option(help="What is tried in turn, repeatable: detector, retry, low-score, annotation, crop."),
    ] = None,
    min_score: Annotated[float, typer.Option(help="Score a detected face needs.")] = ALIGN.min_score,
    crop: Annotated[str, typer.Option(help="What is cut: template or box.")] = ALIGN.crop,
    margin: Annotated[float, typer.Option(help="Share added around a box.")] = ALIGN.margin,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = ALIGN.quality,
    subsampling: Annotated[
        str, typer.Option(help="JPEG colour: yuv444, yuv422 or yuv420.")
    ] = ALIGN.subsampling,
    detector: Annotated[str, typer.Option(help="Name of the detector.")] = DETECT.detector,
    weights: Annotated[Path | None, typer.Option(help="File of the detector's weights.")] = None,
    min_face: Annotated[int | None, typer.Option(help="Smallest face, in pixels.")] = None,
    detections: Annotated[
        Path | None,
        typer.Option(help="Table of PHOTOS made before by detect --table; nothing is detected then."),
    ] = None,
    folder: Annotated[bool, typer.Option("--folder", help="Write JPEG files instead of shards.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet to write, .png or .jpg.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace OUT whole if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Find the faces of photos, keep one a photo, and write them aligned."""
    from facerec.cli import align_photos

    check_out(out, photos, replace)
    options = parameters.parse_options(
        parameters.Align,
        {
            "size": parse_size(size),
            "rule": rule,
            "fallbacks": fallback or ALIGN.fallbacks,
            "min_score": min_score,
            "crop": crop,
            "margin": margin,
            "quality": quality,
            "subsampling": subsampling,
        },
        "align",
    )
    found = detections or align_photos.DetectorChoice(detector, detector_options(weights, min_face))
    align_photos.show(align_photos.align(photos, out, options, found, folder, sheet), as_json)
