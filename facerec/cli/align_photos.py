"""What `facerec align` does: photos from anywhere, their faces, aligned, and a picture of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec import aligning
from facerec.cli.common import report
from facerec.core import ParamsError
from facerec.detection import table
from facerec.imaging import sheets
from facerec.interop import exporting
from facerec.interop.photos import as_shards
from facerec.reporting import photo_sheets
from facerec.store import shards


@dataclass(frozen=True)
class DetectorChoice:
    """Name and options of `facerec.detection.build_detector`."""

    name: str
    options: Mapping[str, Any]


def align(
    source: Path,
    out: Path,
    options: aligning.AlignOptions,
    found: DetectorChoice | Path,
    folder: bool = False,
    sheet: Path | None = None,
) -> aligning.AlignmentStatistics:
    """Write the faces of the photos at `source` to `out`, as shards or, where `folder`, as files.

    `found` is a detector to run, or the detection table of `source`, which is then a set of photo shards.
    """
    options.check()
    if sheet is not None:
        sheets.check_name(sheet)
    if isinstance(found, Path) and not shards.is_set(source):
        raise ParamsError(f"--detections belong to photo shards, and {source} is none.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent) as name:
        temporary = Path(name)
        with as_shards(source, temporary) as photos:
            rows = found if isinstance(found, Path) else temporary / "detections.parquet"
            if isinstance(found, DetectorChoice):
                table.detect_set(photos, rows, found.name, found.options)
            faces = temporary / "faces" if folder else out
            counts = aligning.align_set(photos, rows, faces, options)
            if sheet is not None:
                photo_sheets.write_face_sheet(faces, photos, sheet)
            if folder:
                exporting.export_images(faces, out)
    return counts


def show(counts: aligning.AlignmentStatistics, as_json: bool) -> None:
    """The counts as JSON, or in a table for people."""
    values = counts.as_dict()
    if not as_json:
        values = {key.replace("_", " "): _words(value) for key, value in values.items()}
    report("Alignment", values, as_json)


def _words(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "none"
    return "none" if value is None else value
