"""Commands from photos to aligned faces: detect, align."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import tee
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from facerec import params as parameters
from facerec.cli.common import (
    DetectKeys,
    Detector,
    Engine,
    Json,
    MinFace,
    Panel,
    Replace,
    Weights,
    check_out,
    command,
    named_detector,
    optional_file_place,
    parse_size,
    parse_values,
    report,
)
from facerec.core import ImageError, ParamsError, require_path, shown, terminal, track

if TYPE_CHECKING:
    from facerec import aligning, detection
    from facerec.detection import FoundFaces


DETECT, ALIGN = parameters.Detect.model_construct(), parameters.Align.model_construct()
POINTS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""The five landmarks in the order of every array and table; left and right as seen in the photo."""


@command(Panel.USE)
def detect(
    photos: Annotated[list[Path], typer.Argument(help="Photos, folders, archives, or photo shards.")],
    detector: Detector = DETECT.detector,
    weights: Weights = None,
    min_face: MinFace = None,
    engine: Engine = None,
    detect_option: DetectKeys = None,
    landmarks: Annotated[bool, typer.Option("--landmarks", help="Show the five landmarks too.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Folder (or .jpg, .png) for the photos with faces drawn.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Parquet table of all faces to write, for photo shards.", callback=optional_file_place),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find every face of every photo.

    A photo that cannot be decoded is listed with the reason; it is an error only if none can.
    """
    from facerec import detection
    from facerec.detection.table import detect_set
    from facerec.store import shards

    for path in photos:  # before any of them is looked at
        require_path(path, "name photos, folders, archives or photo shards")
    found = _detection(named_detector(str(detector), weights, min_face, engine), detect_option)
    if table is not None:
        if len(photos) != 1 or not shards.is_shard_set(photos[0]) or draw is not None:
            raise ParamsError("--table takes one directory of photo shards, and no --draw.")
        counts = detect_set(photos[0], table, found.detector, found.options(), retry=found.retry)
        report("Detection", asdict(counts), as_json)
        return
    drawer = None if draw is None else FaceDrawer(draw, photos)
    detected = list(
        detect_photos(detection.build_detector(found.detector, **found.options()), collect_photos(photos), drawer)
    )
    if as_json:
        sys.stdout.write(json.dumps({"photos": [_describe_photo(*each) for each in detected]}) + "\n")
    else:
        _show_photos(detected, landmarks)
    _check_decoded(detected)


@command(Panel.USE)
def align(
    photos: Annotated[Path, typer.Argument(help="Photo folder, archive (tar, tgz, zip) or photo shards.")],
    out: Annotated[Path, typer.Argument(help="Face set to write; must be new or empty.")],
    size: Annotated[str, typer.Option(help="Of the crops: 112, or 112x96 (height x width).", metavar="SIZE")] = str(
        ALIGN.size
    ),
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
    subsampling: Annotated[str, typer.Option(help="JPEG colour: yuv444, yuv422 or yuv420.")] = ALIGN.subsampling,
    detector: Detector = DETECT.detector,
    weights: Weights = None,
    min_face: MinFace = None,
    engine: Engine = None,
    detect_option: DetectKeys = None,
    detections: Annotated[
        Path | None, typer.Option(help="Table of PHOTOS made before by detect --table; nothing is detected then.")
    ] = None,
    landmark_list: Annotated[
        Path | None, typer.Option(help="Listed landmarks, as IJB-C's name_5pts_score.txt; nothing is detected then.")
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Write JPEG files instead of shards.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet to write, .png or .jpg.", callback=optional_file_place)
    ] = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Find the faces of photos, keep one of each photo, and write them aligned."""
    check_out(out, photos, replace)
    if landmark_list is not None and detections is not None:
        raise ParamsError("align takes --detections or --landmark-list, not both.")
    least = min_score if landmark_list is None else 0.0
    chosen = {"rule": rule, "fallbacks": fallback or ALIGN.fallbacks, "min_score": least}
    cut = {"size": parse_size(size), "crop": crop, "margin": margin, "quality": quality, "subsampling": subsampling}
    options = parameters.parse_options(parameters.Align, chosen | cut, "align")
    finder = _detection(named_detector(str(detector), weights, min_face, engine), detect_option)
    values = align_photos(photos, out, options, detections, finder, files, sheet, landmark_list).as_dict()
    if not as_json:
        values = {key.replace("_", " "): _in_words(value) for key, value in values.items()}
    report("Alignment", values, as_json)


def _detection(named: tuple[str, Mapping[str, Any]], keys: list[str] | None) -> parameters.Detect:
    """The parameters of the stage detect that a detector, its options and `keys` of the form key=value give."""
    values = {"detector": named[0], **named[1], **parse_values(keys or [], "--detect-option")}
    return parameters.parse_options(parameters.Detect, values, "detect")


def collect_photos(paths: Sequence[Path]) -> Iterator[tuple[str, bytes | memoryview]]:
    """(name, encoded bytes) of the photos in files, folders, archives and sets of photo shards, in this order.

    Raises FormatError for a path that does not exist, a folder without photos and a damaged archive or set.
    """
    from facerec.interop.photos import photo_rows
    from facerec.store import shards

    for path in paths:
        require_path(path, "name photos, folders, archives or photo shards")
        if shards.is_shard_set(path):
            opened = shards.read_shards(path, "photos")
            yield from ((source, opened.image(row)) for row, source in enumerate(opened.sources))
        elif _holds_several(path):
            yield from ((row["source"], row["image"]) for row in photo_rows(path, labelled=False))
        else:
            yield str(path), path.read_bytes()


def _holds_several(path: Path) -> bool:
    """Whether `path` is a folder or, by its content, an archive."""
    from facerec.interop.file_sources import is_archive

    return path.is_dir() or is_archive(path)


class FaceDrawer:
    """Writes photos with their faces drawn: one photo to the file `out`, several to files in that folder."""

    def __init__(self, out: Path, paths: Sequence[Path]) -> None:
        from facerec.interop import exporting

        self._out, self._taken = out, exporting.TakenNames()
        self._single = out.suffix in (".jpg", ".png") and not out.is_dir()
        if self._single and (len(paths) != 1 or (paths[0].exists() and _holds_several(paths[0]))):
            raise ParamsError(f"--draw {out} is one picture, but there may be several photos; name a folder.")
        if not self._single and out.is_file():
            raise ParamsError(f"--draw takes a folder, or a .jpg or .png for one photo, not the file {out}.")

    def __call__(self, photo: str, data: bytes | memoryview, found: FoundFaces) -> None:
        """Draw the photo called `photo`."""
        from facerec import detection
        from facerec.imaging import images, sheets
        from facerec.interop import exporting

        name = self._taken.claim(exporting.safe_name(f"{PurePosixPath(photo).stem}.jpg"))
        picture = detection.draw_faces(images.decode(data), found.faces)
        sheets.write_sheet(picture, self._out if self._single else self._out / name)


def detect_photos(
    detector: detection.Detector, photos: Iterator[tuple[str, bytes | memoryview]], draw: FaceDrawer | None = None
) -> Iterator[tuple[str, FoundFaces]]:
    """(name, what was found) for each photo, in order; also drawn if `draw` is given."""
    from facerec.detection import find_faces

    seen, given = tee(track(photos, "Detecting faces", unit="photos"))
    for found, (name, data) in zip(find_faces(detector, (data for _, data in given)), seen, strict=False):
        if draw is not None and not found.error:
            draw(name, data, found)
        yield name, found


def _show_photos(detected: Sequence[tuple[str, FoundFaces]], landmarks: bool) -> None:
    """A table with a row for each face, and one for each photo without faces or that failed."""
    table = Table(title="Faces", title_justify="left")
    table.add_column("photo", overflow="fold")
    for column in ("face", "score"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("x1, y1, x2, y2", overflow="fold")
    if landmarks:
        table.add_column("landmarks", no_wrap=True)
    for photo, found in detected:
        faces = found.faces
        if len(faces) == 0:
            table.add_row(shown(photo), "-", "-", shown(found.error or "no face found"))
        for number, (box, score, points) in enumerate(zip(faces.boxes, faces.scores, faces.landmarks, strict=True)):
            row = [shown(photo), str(number), f"{score:.3f}", ", ".join(f"{value:.1f}" for value in box)]
            if landmarks:
                row.append("\n".join(f"{name} {x:.1f}, {y:.1f}" for name, (x, y) in zip(POINTS, points, strict=True)))
            table.add_row(*row)
    terminal().print(table)


def _describe_photo(name: str, found: FoundFaces) -> dict[str, Any]:
    """Plain values, for JSON; coordinates are pixels of the upright photo."""
    (height, width), faces = found.size, found.faces
    described = [
        {
            "box": [round(float(value), 2) for value in box],
            "score": round(float(score), 5),
            "landmarks": [[round(float(value), 2) for value in point] for point in points],
        }
        for box, score, points in zip(faces.boxes, faces.scores, faces.landmarks, strict=True)
    ]
    return {"photo": name, "height": height, "width": width, "error": found.error or None, "faces": described}


def _check_decoded(detected: Sequence[tuple[str, FoundFaces]]) -> None:
    """Raise ImageError where not one photo could be decoded."""
    failed = [f"{name}: {found.error}" for name, found in detected if found.error]
    if failed and len(failed) == len(detected):
        several = f"None of the {len(failed)} photos could be decoded; the first, {failed[0]}"
        raise ImageError(failed[0] if len(failed) == 1 else several)


def align_photos(
    source: Path,
    out: Path,
    options: parameters.Align,
    detections: Path | None,
    detect: parameters.Detect,
    folder: bool = False,
    sheet: Path | None = None,
    landmarks: Path | None = None,
) -> aligning.AlignmentStatistics:
    """Write the faces of the photos at `source` to `out`, as shards or, where `folder`, as files.

    `detections` is the detection table of `source`, which is then a set of photo shards; without one, the faces are
    found as `detect` says, or the list `landmarks` names them.
    """
    from facerec import aligning
    from facerec.detection.table import detect_set, list_set
    from facerec.imaging import sheets
    from facerec.interop import exporting, template_lists
    from facerec.interop.ingest import as_shards
    from facerec.reporting import photo_sheets
    from facerec.store import shards

    if sheet is not None:
        sheets.check_sheet_name(sheet)
    if detections is not None and not shards.is_shard_set(source):
        raise ParamsError(f"--detections belong to photo shards, and {source} is none.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent) as name:
        temporary = Path(name)
        with as_shards(source, temporary) as photos:
            rows = detections or temporary / "detections.parquet"
            if landmarks is not None:
                sources = shards.read_shards(photos, "photos").sources
                list_set(photos, rows, *template_lists.landmarks_of(landmarks, sources))
            elif detections is None:
                detect_set(photos, rows, detect.detector, detect.options(), retry=detect.retry)
            faces = temporary / "faces" if folder else out
            counts = aligning.align_set(photos, rows, faces, options)
            if sheet is not None:
                photo_sheets.write_face_sheet(faces, photos, sheet)
            if folder:
                exporting.export_images(faces, out)
    return counts


def _in_words(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "none"
    return "none" if value is None else value
