"""align@photos: photo shards and detections -> face shards, which photos gave no face, and a sheet to look at."""

from __future__ import annotations

from facerec import enrolment
from facerec.files import write_json
from facerec.params import Params
from facerec.reporting import face_sheets
from stages import common


def align(params: Params, name: str, split: str) -> None:
    """Keep one face a photo of set `name`, aligned, in data/faces/<split>/<name>/."""
    photos, faces = common.RAW / name, common.FACES / split / name
    options = enrolment.Options(**params.align.model_dump())
    counts = enrolment.align(photos, common.DETECTIONS / f"{name}.parquet", faces, options)
    write_json(common.METRICS / f"align/{name}.json", {name: counts.as_dict()})
    face_sheets.write(faces, photos, common.SHEETS / f"{name}.jpg")


if __name__ == "__main__":
    common.run(align)
