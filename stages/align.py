"""align@photos: photo shards and detections -> face shards, and which photos gave no face."""

from __future__ import annotations

from facerec import enrolment
from facerec.files import write_json
from facerec.params import Params
from stages import common


def align(params: Params, name: str, split: str) -> None:
    """Keep one face a photo of set `name`, aligned, in data/faces/<split>/<name>/."""
    counts = enrolment.align(
        common.RAW / name,
        common.DETECTIONS / f"{name}.parquet",
        common.FACES / split / name,
        enrolment.Options(**params.align.model_dump()),
    )
    metrics = {"faces": counts.faces, "enrolled": counts.share, "residual_px": counts.residual}
    write_json(common.METRICS / f"align/{name}.json", {name: metrics})


if __name__ == "__main__":
    common.run(align)
