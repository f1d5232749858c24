"""detect@photos: photo shards -> every face of every photo, and how many there are."""

from __future__ import annotations

from dataclasses import asdict

from facerec.detection import table
from stages import common


def detect(params: common.Params, name: str) -> None:
    """Run the detector of params.detect over photo set `name`."""
    output = common.DETECTIONS / f"{name}.parquet"
    found = params.detect_of(name)
    counts = table.detect_set(common.RAW / name, output, found.detector, found.options(), retry=found.retry)
    common.write_metrics("detect", name, asdict(counts))


if __name__ == "__main__":
    common.run(detect)
