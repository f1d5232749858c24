"""Face shards to what InsightFace and its users' systems read: train.rec, train.idx, property, or a .bin.

`pack` undoes `unpacking.unpack`. The bytes of a train.rec come back equal when its images stand in the order
of their labels, which are scalars from 0 to n-1, and ids are keys; those of a .bin when pickle's highest
protocol wrote it and it repeats an image that several pairs show, as InsightFace's script does. Any other pack
comes back in that form with the same images, identities and pairs; labels beyond an image's first are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_dir, track
from facerec.interop import packs, recordio
from facerec.store import pairs, shards

PAIRS = "pairs.parquet"


@dataclass(frozen=True)
class _Images(Sequence[bytes]):
    """Encoded images of some rows of a set, read when they are asked for."""

    faces: shards.Shards
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> _Images: ...
    def __getitem__(self, index: int | slice) -> bytes | _Images:
        if isinstance(index, slice):
            return _Images(self.faces, self.rows[index])
        return bytes(self.faces.image(int(self.rows[index])))


def pack_faces(source: str | Path, out: str | Path) -> dict[str, int]:
    """Pack the face set `source`, or the folder of sets that `unpack` made, into the folder `out`.

    `out` is replaced whole. A set, or `source`/train, becomes train.rec, train.idx and property; every other
    set of the folder must have a pairs.parquet and becomes <name>.bin. Returns the images of each member.
    """
    source = Path(source)
    members = {"train": source} if shards.is_set(source) else _members(source)
    counts = {}
    with atomic_dir(out) as folder:
        for name, member in members.items():
            if name == "train":
                counts[name] = _write_train(member, folder)
            else:
                counts[name] = pack_bin(member, member / PAIRS, folder / f"{name}.bin")
    return counts


def pack_bin(faces: str | Path, pairs_path: str | Path, out: str | Path) -> int:
    """Write the pairs of a face set as the verification pack `out`; returns its images, two a pair.

    `pairs_path` is what `pairs.read` takes. Raises FormatError when a photo of a pair has no face in the
    set: a pack must hold all pairs, since its folds are counted off.
    """
    opened = shards.read_shards(faces, "faces")
    found = pairs.read_pairs(pairs_path, opened.sources)
    rows = np.stack([found.first, found.second], axis=1).ravel()
    lost = int((rows.reshape(-1, 2) < 0).any(axis=1).sum())
    if lost:
        raise FormatError(
            f"{lost} of the {len(found)} pairs of {pairs_path} name a photo without a face in {faces}; "
            "a .bin must hold them all."
        )
    images = list(track(_Images(opened, rows), f"pack {Path(out).name}", unit="faces"))
    packs.write_bin(out, images, found.same)
    return len(images)


def _members(source: Path) -> dict[str, Path]:
    """Face sets in the folder `source` by name, train first; all but train must have pairs."""
    found = [path for path in source.glob("*/") if shards.is_set(path)] if source.is_dir() else []
    folders = sorted(found, key=lambda path: (path.name != "train", path.name))
    if not folders:
        raise FormatError(f"{source} is neither a set of faces nor a folder of such sets.")
    for folder in folders:
        if folder.name != "train" and not (folder / PAIRS).is_file():
            raise FormatError(f"{folder} has no {PAIRS}; only train becomes a .rec, other sets need pairs.")
    return {folder.name: folder for folder in folders}


def _write_train(faces: Path, folder: Path) -> int:
    """Write train.rec, train.idx and property into `folder`, images in the order of their labels."""
    opened = shards.read_shards(faces, "faces")
    unknown = int((opened.labels < 0).sum())
    if unknown or not len(opened):
        what = f"{unknown} of its {len(opened)} faces have no identity" if unknown else "it is empty"
        raise FormatError(f"{faces} cannot become a train.rec: {what}; pack pairs of it as a .bin instead.")
    assert opened.meta.size is not None, "a set of faces has a size"
    groups = track(_groups(opened), "pack train.rec", opened.classes, unit="identities")
    return recordio.write_train(folder, groups, opened.meta.size)


def _groups(faces: shards.Shards) -> Iterator[tuple[int, _Images]]:
    """(0, 1, 2, ...; images of that identity), whatever numbers the set gives its identities."""
    order = np.argsort(faces.labels, kind="stable")
    cuts = np.flatnonzero(np.diff(faces.labels[order])) + 1
    for number, rows in enumerate(np.split(order, cuts)):
        yield number, _Images(faces, rows)
