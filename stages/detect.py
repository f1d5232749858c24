"""detect@photos: photo shards -> every face of every photo, and how many there are."""

from __future__ import annotations

from dataclasses import asdict

from facerec.core import write_json
from facerec.detection import table
from facerec.params import Params
from stages import common


def detect(params: Params, name: str) -> None:
    """Run the detector of params.detect over photo set `name`."""
    output = common.DETECTIONS / f"{name}.parquet"
    found = params.detect
    counts = table.detect_set(common.RAW / name, output, found.detector, found.options(), retry=found.retry)
    write_json(common.METRICS / f"detect/{name}.json", {name: asdict(counts)})


if __name__ == "__main__":
    common.run(detect)
