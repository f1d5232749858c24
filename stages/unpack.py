"""unpack@pack: train.rec and *.bin of an InsightFace-layout pack -> face shards and pairs, and how many."""

from __future__ import annotations

from facerec.interop.unpacking import unpack_pack
from stages import common


def unpack(params: common.Params, name: str) -> None:
    """Unpack `name`: training faces to data/faces/train/, each verification pack to data/faces/test/."""
    found = unpack_pack(common.RAW / name, common.FACES / "train" / name, common.FACES / "test" / name)
    common.write_metrics("unpack", name, found.images)


if __name__ == "__main__":
    common.run(unpack)
