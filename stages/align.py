"""align@photos: photo shards and detections -> face shards, which photos gave no face, and sheets to look at."""

from __future__ import annotations

from facerec import aligning
from facerec.reporting import photo_sheets
from facerec.store import shards
from stages import common


def align(params: common.Params, name: str, split: str) -> None:
    """Keep one face a photo of set `name`, aligned, in data/faces/<split>/<name>/."""
    photos, faces = common.RAW / name, common.FACES / split / name
    detections = common.DETECTIONS / f"{name}.parquet"
    counts = aligning.align_set(photos, detections, faces, params.align_of(name))
    found = {**counts.as_dict(), "identities": shards.read_shards(faces, "faces").classes}
    common.write_metrics("align", name, found)
    photo_sheets.write_face_sheet(faces, photos, common.SHEETS / f"faces/{name}.jpg")
    photo_sheets.write_photo_sheet(photos, detections, faces, common.SHEETS / f"photos/{name}.jpg")


if __name__ == "__main__":
    common.run(align)
