"""What `facerec detect` does: photos from anywhere, what was found in them, and pictures of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import tee
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from facerec import detection
from facerec.core import FormatError, ImageError, ParamsError, track
from facerec.detection import table
from facerec.detection.faces import Detector
from facerec.detection.finding import FoundFaces, find_faces
from facerec.imaging import images, sheets
from facerec.interop import archives, exporting, photos
from facerec.store import shards

POINTS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""The five landmarks in the order of every array and table, as seen in the photo."""


@dataclass(frozen=True)
class NamedPhoto:
    """An encoded photo and how it is called: its path, or its path inside a folder, archive or set."""

    name: str
    data: bytes | memoryview


@dataclass(frozen=True)
class Looked:
    """A photo's name and what was found in it."""

    name: str
    found: FoundFaces


def collect(paths: Sequence[Path]) -> Iterator[NamedPhoto]:
    """The photos named by files, folders, archives and sets of photo shards, in this order.

    FormatError for a path that does not exist, a folder without photos and a damaged archive or set.
    """
    for path in paths:
        if not path.exists():
            raise FormatError(f"{path} does not exist; name photos, folders, archives or photo shards.")
        if shards.is_shard_set(path):
            opened = shards.read_shards(path, "photos")
            yield from (NamedPhoto(source, opened.image(row)) for row, source in enumerate(opened.sources))
        elif _holds_several(path):
            yield from (
                NamedPhoto(row["source"], row["image"]) for row in photos.photo_rows(path, labelled=False)
            )
        else:
            yield NamedPhoto(str(path), path.read_bytes())


def _holds_several(path: Path) -> bool:
    """Whether `path` is a folder or, by its content, an archive."""
    return path.is_dir() or archives.is_archive(path)


class Drawer:
    """Writes photos with what was found in them: to `out` itself for one photo, else to files in that folder."""

    def __init__(self, out: Path, paths: Sequence[Path]) -> None:
        self._out, self._taken = out, exporting.TakenNames()
        self._single = out.suffix in (".jpg", ".png") and not out.is_dir()
        if self._single and (len(paths) != 1 or (paths[0].exists() and _holds_several(paths[0]))):
            raise ParamsError(f"--draw {out} is one picture, but there may be several photos; name a folder.")
        if not self._single and out.is_file():
            raise ParamsError(f"--draw takes a folder, or a .jpg or .png for one photo, not the file {out}.")

    def __call__(self, photo: NamedPhoto, found: FoundFaces) -> None:
        """Draw one photo."""
        name = self._taken.claim(exporting.safe_name(f"{PurePosixPath(photo.name).stem}.jpg"))
        picture = detection.draw_faces(images.decode(photo.data), found.faces)
        sheets.write_sheet(picture, self._out if self._single else self._out / name)


def look(detector: Detector, wanted: Iterator[NamedPhoto], draw: Drawer | None = None) -> Iterator[Looked]:
    """What the detector finds in each photo, in order; drawn as well where there is a drawer."""
    seen, given = tee(track(wanted, "Detecting faces", unit="photos"))
    for found, photo in zip(find_faces(detector, (photo.data for photo in given)), seen, strict=False):
        if draw is not None and not found.error:
            draw(photo, found)
        yield Looked(photo.name, found)


def show(looked: Sequence[Looked], landmarks: bool) -> None:
    """A table for people, one row a face; a photo without faces or that failed has one row too."""
    shown = Table(title="Faces", title_justify="left")
    shown.add_column("photo", overflow="fold")
    for column in ("face", "score"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("x1, y1, x2, y2", overflow="fold")
    if landmarks:
        shown.add_column("landmarks", no_wrap=True)
    for each in looked:
        faces = each.found.faces
        if len(faces) == 0:
            shown.add_row(escape(each.name), "-", "-", escape(each.found.error or "no face found"))
        for number in range(len(faces)):
            box = ", ".join(f"{value:.1f}" for value in faces.boxes[number])
            points = zip(POINTS, faces.landmarks[number], strict=True)
            lines = [f"{name} {x:.1f}, {y:.1f}" for name, (x, y) in points] if landmarks else []
            row = (escape(each.name), str(number), f"{faces.scores[number]:.3f}", box)
            shown.add_row(*row, *(["\n".join(lines)] if landmarks else []))
    Console(stderr=True).print(shown)


def show_json(looked: Sequence[Looked]) -> None:
    """Everything found, as one JSON object on standard output; pixels of the upright photo."""
    sys.stdout.write(json.dumps({"photos": [_described(each) for each in looked]}) + "\n")


def _described(each: Looked) -> dict[str, Any]:
    (height, width), faces = each.found.size, each.found.faces
    described = [
        {
            "box": [round(float(value), 2) for value in faces.boxes[number]],
            "score": round(float(faces.scores[number]), 5),
            "landmarks": [[round(float(value), 2) for value in point] for point in faces.landmarks[number]],
        }
        for number in range(len(faces))
    ]
    error = each.found.error or None
    return {"photo": each.name, "height": height, "width": width, "error": error, "faces": described}


def tabulate(
    paths: Sequence[Path], out: Path, detector: str, options: dict[str, Any], draw: Path | None
) -> dict[str, int]:
    """Write the Parquet table of one set of photo shards; returns the totals."""
    if len(paths) != 1 or not shards.is_shard_set(paths[0]) or draw is not None:
        raise ParamsError("--table takes one directory of photo shards, and no --draw.")
    return asdict(table.detect_set(paths[0], out, detector, options))


def check(looked: Sequence[Looked]) -> None:
    """ImageError when not one photo could be decoded."""
    failed = [each for each in looked if each.found.error]
    if failed and len(failed) == len(looked):
        first = failed[0]
        raise ImageError(
            f"{first.name}: {first.found.error}"
            if len(failed) == 1
            else f"None of the {len(failed)} photos could be decoded; the first, {first.name}: {first.found.error}"
        )
