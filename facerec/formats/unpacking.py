"""InsightFace-layout packs to face shards: train.rec, and every verification pack (*.bin) beside it.

The faces in a pack are aligned already; their JPEG bytes pass through untouched. What a pack does not
tell (boxes, landmarks, scores) stays null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facerec import alignment, images
from facerec.errors import FormatError
from facerec.files import atomic_dir
from facerec.formats import packs, pairs, recordio, shards
from facerec.progress import track

Rows = Iterator[dict[str, Any]]


def unpack_pack(pack: str | Path, train_out: str | Path, test_out: str | Path) -> dict[str, int]:
    """Turn directory `pack` into face shards; both output directories are replaced whole.

    `train_out` gets the shards of train.rec and stays empty where there is none; every <member>.bin
    becomes `test_out`/<member>/ with shards and pairs.parquet. Returns the faces of each member.
    """
    pack = Path(pack)
    members = sorted(pack.glob("*.bin"))
    has_train = (pack / "train.rec").is_file()
    if not members and not has_train:
        raise FormatError(f"{pack} holds neither train.rec nor a verification pack (*.bin).")
    counts = {}
    with atomic_dir(train_out) as folder:
        if has_train:
            meta, rows = unpack_train(pack)
            counts["train"] = shards.write_parts(rows, folder, meta)
    with atomic_dir(test_out) as folder:
        for member in members:
            (folder / member.stem).mkdir()
            meta, rows, found = unpack_bin(member)
            counts[member.stem] = shards.write_parts(rows, folder / member.stem, meta)
            pairs.write(found, folder / member.stem / "pairs.parquet")
    return counts


def unpack_train(pack: str | Path) -> tuple[shards.Meta, Rows]:
    """Meta and face rows of train.rec, in key order.

    The identity is the pack's own number as text, labels are 0..n-1 in the order of those numbers.
    Raises FormatError when `property` contradicts the first face.
    """
    pack = Path(pack)
    reader = recordio.Reader(pack / "train.rec")
    keys = reader.image_keys()
    if not len(keys):
        raise FormatError(f"{reader.path} holds no images.")
    size = _size(reader[int(keys[0])].image)
    declared = pack / "property"
    if declared.is_file() and recordio.read_property(declared)[1] != size:
        raise FormatError(f"{declared} does not give the size of the faces, which is {size}.")
    return _meta(pack.name, size), _train_rows(reader)


def unpack_bin(path: str | Path) -> tuple[shards.Meta, Rows, pairs.Pairs]:
    """Meta, face rows and pairs of a verification pack; pair i is rows 2i and 2i+1, labels are -1."""
    path = Path(path)
    faces, same = packs.read(path)
    if not faces:
        raise FormatError(f"{path} holds no images.")
    first = np.arange(0, len(faces), 2, dtype=np.int64)
    found = pairs.Pairs(first, first + 1, same)
    return _meta(f"{path.parent.name}/{path.stem}", _size(faces[0])), _bin_rows(faces, path.stem), found


def _train_rows(reader: recordio.Reader) -> Rows:
    keys = reader.image_keys().tolist()
    numbers = [reader.number(key) for key in keys]
    labels = {number: label for label, number in enumerate(sorted(set(numbers)))}
    for key, number in track(list(zip(keys, numbers, strict=True)), "unpack train.rec", unit="faces"):
        yield _row(reader[key].image, labels[number], str(number), f"train/{key:08d}.jpg")


def _bin_rows(faces: Sequence[bytes], member: str) -> Rows:
    for number, face in enumerate(track(faces, f"unpack {member}.bin", unit="faces")):
        yield _row(face, -1, "", f"{member}/{number:06d}.jpg")


def _row(image: bytes, label: int, identity: str, source: str) -> dict[str, Any]:
    return {"image": image, "label": label, "identity": identity, "source": source, "rung": "pack"}


def _meta(dataset: str, size: tuple[int, int]) -> shards.Meta:
    return shards.Meta("faces", dataset, size=size, template=alignment.template_name(size))


def _size(image: bytes) -> tuple[int, int]:
    height, width = images.decode(image).shape[:2]
    return height, width
