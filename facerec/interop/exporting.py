"""Export of shards for other programs: image files in identity folders, train.rec, verification packs (.bin).

`export_images` writes an image to <identity>/<name of its source>, or to the path of its source where the identity
is unknown. Its bytes stay untouched and its extension tells their format. File names are safe everywhere: they never
leave their folder, collide, or trouble Windows and macOS. Files are written folder by folder, so that memory stays
small for millions of images.

`pack_faces` is the inverse of `unpacking.unpack`. The bytes of a train.rec come back equal when its images stand in
the order of their labels, which are scalars from 0 to n-1, and ids are keys; those of a .bin when pickle's highest
protocol wrote it and it repeats an image that several pairs show, as InsightFace's script does. Any other pack comes
back in that form with the same images, identities and pairs; labels beyond an image's first are lost.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, ImageError, atomic_dir, track
from facerec.imaging import images
from facerec.interop import pair_lists, recordio, verification_packs
from facerec.store import shards
from facerec.store.shards import PAIRS as PAIRS

LIST_FILE = "list.txt"

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\.|$)")
_LONGEST = 120  # bytes of a name; file systems end at 255, some archives and encrypted folders much earlier
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".dat"}
_SAME_SUFFIXES = ({".jpg", ".jpeg", ".jpe"}, {".tif", ".tiff"})


def export_images(
    source: str | Path, out: str | Path, list_file: bool = False, limit: int | None = None
) -> dict[str, int]:
    """Write the images of the set `source`, or its first `limit`, as files below `out`, replaced whole.

    `list_file` adds `out`/list.txt, a line "path label" an image in the order of the folders, label -1 where
    unknown; names then hold no white space, which would end the path. Returns how many images and folders.
    """
    opened = shards.read_shards(source)
    count = len(opened) if limit is None else min(limit, len(opened))
    folders, numbers = _folders(opened, count, list_file)
    with atomic_dir(out) as root:
        listed = root / LIST_FILE if list_file else Path(os.devnull)
        with listed.open("w", encoding="utf-8", newline="\n") as lines:
            for rows in track(_grouped(numbers), "export", len(folders), unit="folders"):
                _write_folder(opened, rows, root, folders[numbers[rows[0]]], lines, list_file)
    return {"images": count, "folders": len(folders)}


def _write_folder(
    opened: shards.Shards, rows: NDArray[np.int64], root: Path, folder: str, lines: TextIO, spaceless: bool
) -> None:
    """Write the images `rows` into one folder."""
    taken = TakenNames()
    (root / folder).mkdir(parents=True, exist_ok=True)
    sources = opened.column("source").take(rows).to_pylist()
    for row, source in zip(rows.tolist(), sources, strict=True):
        image = opened.image(row)
        name = PurePosixPath(source).name
        path = PurePosixPath(folder, taken.claim(safe_file(_joined(name, spaceless), image_suffix(image))))
        (root / path).write_bytes(image)
        lines.write(f"{path} {opened.labels[row]}\n")


def _folders(opened: shards.Shards, count: int, spaceless: bool) -> tuple[list[str], NDArray[np.int64]]:
    """Folders in the order of their first image, and the number of the folder of each image."""
    safe = cache(lambda part: safe_folder(_joined(part, spaceless)))
    places: dict[tuple[str, ...], int] = {}
    folders: list[str] = []
    taken = TakenNames()
    taken.claim(LIST_FILE)
    numbers = np.empty(count, np.int64)
    for row, (identity, source) in enumerate(_names(opened, count)):
        parts = PurePosixPath(source).parent.parts
        wanted = (identity,) if identity else ("", *(name_key(safe(part)) for part in parts))
        if wanted not in places:
            places[wanted] = len(folders)
            path = "/".join(map(safe, (identity,) if identity else parts))
            folders.append(taken.claim(path) if path else "")
        numbers[row] = places[wanted]
    return folders, numbers


def _names(opened: shards.Shards, count: int) -> Iterator[tuple[str, str]]:
    """(identity, source) of the first `count` images."""
    table = opened.table.select(["identity", "source"]).slice(0, count)
    for batch in table.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _grouped(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of equal numbers, by ascending number."""
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(order, cuts) if len(order) else []


def _joined(name: str, spaceless: bool) -> str:
    """`name`, if need be without white space."""
    return "_".join(name.split()) if spaceless and any(map(str.isspace, name)) else name


def image_suffix(image: memoryview) -> str:
    """Extension of the image's format; "" where it is no image, which then keeps its own."""
    try:
        return images.read_header(image).suffix
    except ImageError:
        return ""


def pack_faces(source: str | Path, out: str | Path) -> dict[str, int]:
    """Pack the face set `source`, or the folder of sets that `unpack` made, into the folder `out`.

    `out` is replaced whole. A set, or `source`/train, becomes train.rec, train.idx and property; every other
    set of the folder must have a pairs.parquet and becomes <name>.bin. Returns the images of each member.
    """
    source = Path(source)
    members = {"train": source} if shards.is_shard_set(source) else _members(source)
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

    `pairs_path` is in any form that `pair_lists.read_pairs` takes. Raises FormatError when a photo of a pair has no
    face in the set: a pack must hold all pairs, since its folds are found by counting.
    """
    opened = shards.read_shards(faces, "faces")
    found = pair_lists.read_pairs(pairs_path, opened.sources)
    lost = int(((found.first < 0) | (found.second < 0)).sum())
    if lost:
        raise FormatError(
            f"{lost} of the {len(found)} pairs of {pairs_path} name a photo without a face in {faces}; "
            "a .bin must hold them all."
        )
    images = [bytes(opened.image(row)) for row in track(found.rows.tolist(), f"pack {Path(out).name}", unit="faces")]
    verification_packs.write_bin(out, images, found.same)
    return len(images)


def pairs_beside(opened: shards.Shards) -> list[tuple[int, int, bool]]:
    """(row, row, same person) of the pairs that lie beside a set, -1 for a photo it lacks; none where there are none."""
    found = next((path for name in (PAIRS, "pairs.txt") if (path := opened.path / name).is_file()), None)
    if found is None:
        return []
    listed = pair_lists.read_pairs(found, opened.sources)
    return list(zip(listed.first.tolist(), listed.second.tolist(), listed.same.tolist(), strict=True))


def _members(source: Path) -> dict[str, Path]:
    """Face sets in the folder `source` by name, train first; all but train must have pairs."""
    found = [path for path in source.glob("*/") if shards.is_shard_set(path)] if source.is_dir() else []
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
    people = track(_grouped(opened.labels), "pack train.rec", opened.classes, unit="identities")
    groups = ((bytes(opened.image(row)) for row in rows.tolist()) for rows in people)
    return recordio.write_train(folder, enumerate(groups), opened.meta.size)


def safe_name(name: str) -> str:
    """`name` as one path component that every file system takes; never "", ".", ".." or hidden."""
    clean = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).rstrip(". ")
    clean = _cut(clean, _LONGEST).rstrip(". ")
    if not clean or clean.startswith((".", "__MACOSX")) or _DEVICES.match(clean):
        clean = f"_{clean}"
    return clean


def safe_folder(name: str) -> str:
    """`name` as `safe_name` makes it, and never the name of an image, so that no file stands where a folder must."""
    clean = safe_name(name)
    return f"{clean}_" if _split_suffix(clean)[1] else clean


def safe_file(name: str, suffix: str) -> str:
    """`name` as `safe_name` makes it, with the extension `suffix` of the image's format unless it has that already.

    Where the format is unknown ("") the extension of an image stays, any other becomes ".dat".

    >>> safe_file("a?/b.jpeg", ".jpg"), safe_file("c.png", ".jpg")
    ('a__b.jpeg', 'c.jpg')
    """
    clean = safe_name(name)
    stem, own = _split_suffix(clean)
    fits = ({own.lower(), suffix} <= same for same in ({own.lower(), ""}, *_SAME_SUFFIXES))
    if own and any(fits):
        return clean
    return safe_name(f"{stem}{suffix or '.dat'}")


class TakenNames:
    """Names given out in one folder, so that each is given once."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def claim(self, name: str) -> str:
        """`name`, or the first of name_2, name_3, ... that is free, its extension kept."""
        stem, suffix = _split_suffix(name)
        given, number = name, 1
        while name_key(given) in self._keys:
            number += 1
            given = f"{stem}_{number}{suffix}"
        self._keys.add(name_key(given))
        return given


def name_key(name: str) -> str:
    """A key that is equal for names that some file system cannot tell apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def _cut(name: str, size: int) -> str:
    """At most `size` bytes of UTF-8 of `name`; the extension stays."""
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= size:
        return name
    tail = _split_suffix(name)[1]
    return encoded[: size - len(tail)].decode("utf-8", "ignore") + tail


def _split_suffix(name: str) -> tuple[str, str]:
    """Name and extension, the latter "" unless it is one of an image."""
    suffix = PurePosixPath(name).suffix
    return (name.removesuffix(suffix), suffix) if suffix.lower() in _IMAGE_SUFFIXES else (name, "")
