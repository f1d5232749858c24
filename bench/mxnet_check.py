"""Our RecordIO against MXNet's own: bytes written and records read must be equal, both ways.

Writes the same records with MXNet and with `facerec.interop.recordio`, compares .rec and .idx byte for byte,
and reads each side's files with the other. Payloads hold the magic word in all places: aligned, unaligned, first, last,
repeated, in labels, and thousands of times at random. `make mxnet` runs this in an environment with MXNet.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from random import Random

import numpy as np
from _mxnet import recordio as mx

from facerec.interop import recordio

MAGIC = struct.pack("<I", 0xCED7230A)
MAGIC_LABEL = struct.unpack("<f", MAGIC)[0]
RANDOM_PAYLOADS = 5000

Labels = float | list[float]
Row = tuple[int, Labels, bytes]


def main() -> None:
    if mx is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        check_records(Path(folder), "planted magic words", planted())
        check_records(Path(folder), "a pack in InsightFace's layout", insightface(Path(folder)))
        check_payloads(Path(folder))


def planted() -> list[Row]:
    """Records with magic words in images or labels, under keys with gaps and out of order."""
    images = [
        b"",
        b"\xff",
        b"no magic word at all",
        MAGIC,
        MAGIC * 2,
        MAGIC * 7,
        MAGIC + b"tail",
        b"head" + MAGIC,
        b"head" + MAGIC + b"tail",
        b"head" + MAGIC + b"odd tail",
        b"h" + MAGIC,
        b"he" + MAGIC + b"tail",
        b"hea" + MAGIC * 2,
        b"head" + MAGIC + b"x" + MAGIC,
        b"head" + MAGIC + b"xxxx" + MAGIC * 2 + b"y",
        MAGIC[:3],
        b"head" + MAGIC[:3],
        MAGIC[1:] + MAGIC + MAGIC[:1],
        b"\0" * 9 + MAGIC,
        b"\xff\xd8" + bytes(range(256)) * 30 + MAGIC + b"\xff\xd9",
    ]
    labels: list[Labels] = [3.0, [1.0, 2.0], -1.5, [7.0], [MAGIC_LABEL, 0.0, MAGIC_LABEL]]
    keys = Random(1).sample(range(1, 1000), 3 * len(images))
    rows: list[Row] = [(0, [61.0, 72.0], b"")]
    for number, key in enumerate(keys):
        rows.append((key, labels[number % len(labels)], images[number % len(images)]))
    return rows


def insightface(folder: Path) -> list[Row]:
    """Records of a pack as `write_pack` writes them, with 0 to 4 images an identity."""
    rng = np.random.default_rng(2)
    groups = [(label, [b"\xff\xd8" + rng.bytes(50 * label + k) for k in range(label % 5)]) for label in range(12)]
    recordio.write_pack(folder / "pack", groups)
    reader = recordio.RecordReader(folder / "pack/train.rec")
    rows = []
    for key in reader.keys.tolist():
        label = reader[key].label
        rows.append((key, label if isinstance(label, float) else label.tolist(), reader[key].image))
    write_theirs(folder / "same.rec", rows)
    require_equal(folder / "pack/train.rec", folder / "same.rec")
    return rows


def check_records(folder: Path, what: str, rows: list[Row]) -> None:
    """Write `rows` with both, compare, and read each side's file with the other."""
    ours, theirs = folder / "ours.rec", folder / "theirs.rec"
    with recordio.RecordWriter(ours) as writer:
        for key, label, image in rows:
            writer.write(key, label, image)
    write_theirs(theirs, rows)
    require_equal(ours, theirs)
    reader, their_reader = recordio.RecordReader(theirs), open_theirs(ours, "r")
    for key, label, image in rows:
        record, (header, their_image) = reader[key], mx.unpack(their_reader.read_idx(key))
        assert record.image == their_image == image, key
        assert np.array_equal(record.label, header.label), key
        assert np.array_equal(record.label, np.float32(label)), key
        assert record.id == header.id == key
    print(f"{what}: {len(rows)} records, .rec ({ours.stat().st_size:,} bytes) and .idx equal, read both ways")


def check_payloads(folder: Path) -> None:
    """The same for payloads without an image header, made of magic words and noise at random."""
    rng = Random(3)
    pieces = [MAGIC, MAGIC, b"", b"x", b"xx", b"xxx", b"xxxx", MAGIC[:2], MAGIC[2:]]
    payloads = [b"".join(rng.choices(pieces, k=rng.randrange(1, 12))) or b"-" for _ in range(RANDOM_PAYLOADS)]
    ours, theirs = folder / "ours.rec", folder / "theirs.rec"
    with recordio.RecordWriter(ours) as writer:
        for key, payload in enumerate(payloads):
            writer.write_payload(key, payload)
    write_payloads(theirs, enumerate(payloads))
    require_equal(ours, theirs)
    reader, their_reader = recordio.RecordReader(theirs), open_theirs(ours, "r")
    for key, payload in enumerate(payloads):
        assert reader.payload(key) == their_reader.read_idx(key) == payload, key
    parts = ours.read_bytes().count(MAGIC)
    print(f"random payloads: {len(payloads)} in {parts} parts, .rec and .idx equal, read both ways")


def write_theirs(path: Path, rows: Iterable[Row]) -> None:
    packed = ((key, mx.pack(mx.IRHeader(0, label, key, 0), image)) for key, label, image in rows)
    write_payloads(path, packed)


def write_payloads(path: Path, payloads: Iterable[tuple[int, bytes]]) -> None:
    writer = open_theirs(path, "w")
    for key, payload in payloads:
        writer.write_idx(key, payload)
    writer.close()


def open_theirs(path: Path, mode: str) -> mx.MXIndexedRecordIO:
    return mx.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), mode)


def require_equal(ours: Path, theirs: Path) -> None:
    for suffix in (".rec", ".idx"):
        if ours.with_suffix(suffix).read_bytes() != theirs.with_suffix(suffix).read_bytes():
            sys.exit(f"{suffix} differs from what MXNet writes")


if __name__ == "__main__":
    main()
