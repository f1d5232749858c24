"""align@photos: photo shards and detections -> face shards, which photos gave no face, and sheets to look at."""

from __future__ import annotations

from facerec import aligning
from facerec.core import write_json
from facerec.params import Params
from facerec.reporting import photo_sheets
from facerec.store import shards
from stages import common


def align(params: Params, name: str, split: str) -> None:
    """Keep one face a photo of set `name`, aligned, in data/faces/<split>/<name>/."""
    photos, faces = common.RAW / name, common.FACES / split / name
    detections = common.DETECTIONS / f"{name}.parquet"
    options = aligning.AlignOptions(**params.align.model_dump())
    counts = aligning.align_set(photos, detections, faces, options)
    found = {**counts.as_dict(), "identities": shards.read_shards(faces, "faces").classes}
    write_json(common.METRICS / f"align/{name}.json", {name: found})
    photo_sheets.write_face_sheet(faces, photos, common.SHEETS / f"faces/{name}.jpg")
    photo_sheets.write_photo_sheet(photos, detections, faces, common.SHEETS / f"photos/{name}.jpg")


if __name__ == "__main__":
    common.run(align)
