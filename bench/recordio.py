"""Record reads against MXNet's own MXIndexedRecordIO, both in one process, one thread, file in memory.

Times reads of a training pack in random and in stored order: as stored bytes (`Reader.payload` and `read_idx` or
`read`) and as label and image (`Reader[key]` and `unpack`). `make mxnet` makes an environment with MXNet and runs this
there. Records hold noise as large as aligned 112x112 JPEG faces; that both return equal bytes is checked first.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _mxnet import recordio as mx
from _timing import print_head, print_row, report, side_by_side

from facerec.interop import recordio

RECORDS = 20_000
IDENTITIES = 200


def main() -> None:
    if mx is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.rec")
        write(path)
        compare(path)


def write(path: Path) -> None:
    """Write a pack of noise: 3 to 9 KB a record, scalar labels."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(3000, 9000, RECORDS)
    with recordio.RecordWriter(path) as writer:
        for key, size in enumerate(sizes):
            writer.write(key, float(key % IDENTITIES), b"\xff\xd8" + rng.bytes(int(size)))


def compare(path: Path) -> None:
    theirs = mx.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "r")
    ours = recordio.RecordReader(path)
    stored = list(range(RECORDS))
    shuffled = random.Random(1).sample(stored, RECORDS)

    def their_records() -> Iterator[bytes]:
        theirs.reset()
        while (payload := theirs.read()) is not None:
            yield payload
        theirs.reset()

    for key, payload in zip(stored, their_records(), strict=True):
        header, image = mx.unpack(payload)
        record = ours[key]
        assert ours.payload(key) == theirs.read_idx(key) == payload
        assert (record.label, record.image, record.id) == (header.label, image, header.id)

    print_head(f"{RECORDS:,} records", "facerec", "MXNet 1.9.1")
    for what, aim, our_side, their_side in (
        (
            "random, stored bytes",
            5,
            lambda: drain(map(ours.payload, shuffled)),
            lambda: drain(map(theirs.read_idx, shuffled)),
        ),
        ("in order, stored bytes", 4, lambda: drain(map(ours.payload, stored)), lambda: drain(their_records())),
        (
            "random, label and image",
            None,
            lambda: drain(map(ours.__getitem__, shuffled)),
            lambda: drain(mx.unpack(theirs.read_idx(key)) for key in shuffled),
        ),
        (
            "in order, label and image",
            None,
            lambda: drain(ours.images()),
            lambda: drain(map(mx.unpack, their_records())),
        ),
        ("open", None, lambda: recordio.RecordReader(path), lambda: theirs.reset()),
    ):
        seconds = side_by_side({"ours": our_side, "theirs": their_side})
        print_row(what, seconds["ours"], seconds["theirs"], RECORDS, aim)
        report(f"{RECORDS:,} records, {what}", "MXNet 1.9.1", seconds.ratios("theirs", "ours"), aim=str(aim or ""))


def drain(items: Iterator[object]) -> None:
    for _ in items:
        pass


if __name__ == "__main__":
    main()
