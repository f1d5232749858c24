"""Unpacking of other systems' packs into face shards: RecordIO, verification packs (*.bin), bcolz folders.

A pack is a folder with train.rec (InsightFace's, or im2rec's without record 0), *.bin and bcolz members;
a single member may be named too. The faces are aligned already: encoded images pass through untouched,
arrays of pixels become PNG, without loss. What a pack does not hold (boxes, landmarks, scores) stays null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerec.core import Description, FormatError, ImageError, atomic_dir, require_path, size_of, track
from facerec.imaging import alignment
from facerec.imaging.images import read_header
from facerec.interop import bcolz, recordio, verification_packs
from facerec.store import pairs, shards

Rows = Iterator[dict[str, Any]]


class PackMember(NamedTuple):
    """One set of a pack: metadata and rows of its shards, its pairs if it has any, and a defect that was repaired."""

    meta: shards.Meta
    rows: Rows
    pairs: pairs.Pairs | None = None
    note: str = ""


@dataclass(frozen=True)
class Unpacked:
    """The number of images of each member, and the notes on defects that were repaired."""

    images: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class Expected:
    """How the images of a pack are to be read.

    Attributes:
        photos: photos, which need not be of one size, instead of aligned faces.
        size: (height, width) that the faces must have; None for any usual size.
        arrays: order of the channels in arrays of pixels (bcolz), which no file says.
    """

    photos: bool = False
    size: tuple[int, int] | None = None
    arrays: bcolz.Colour = "bgr"


FACES = Expected()
_USUAL = ((112, 112), (128, 128), (112, 96))
"""Usual sizes (height, width) of aligned faces; images of other sizes, and of no multiple, are mostly photos."""


def unpack(source: str | Path, out: str | Path, expected: Expected = FACES) -> Unpacked:
    """Turn `source` into shards in directory `out`, which is replaced whole.

    A pack becomes `out`/train and `out`/<member>, a lone .rec, .bin or bcolz folder becomes the set `out`
    itself; pairs.parquet lies beside the shards of a verification pack. Raises FormatError when a member is
    damaged or its images are not as expected.
    """
    members = find_members(source)
    with atomic_dir(out) as folder:
        if members == [Path(source)]:
            return _write({members[0]: folder}, expected)
        return _write({member: folder / _name(member) for member in members}, expected)


def unpack_pack(pack: str | Path, train_out: str | Path, test_out: str | Path) -> Unpacked:
    """Unpack a pack with train.rec into `train_out` and everything else below `test_out`.

    Both directories are replaced whole; `train_out` stays empty where there is no train.rec.
    """
    members = find_members(pack)
    with atomic_dir(train_out) as train, atomic_dir(test_out) as test:
        named = {member: _name(member) for member in members}
        return _write({member: train if name == "train" else test / name for member, name in named.items()}, FACES)


def find_members(source: str | Path) -> list[Path]:
    """Members of the pack `source`, train.rec first, then by name; `source` alone where it is a member.

    Where a pack holds a member twice, as .bin and as bcolz folder, the .bin is taken: its images were
    never decoded. Raises FormatError when there is none, or two of one name that differ in kind.
    """
    source = Path(source)
    if source.is_file() or bcolz.is_bcolz_folder(source):
        return [source]
    require_path(source, "name a pack's folder, a .rec, a .bin or a bcolz folder")
    visible = [path for path in sorted(source.iterdir()) if not path.name.startswith(".")]
    encoded = [path for path in visible if path.suffix in (".rec", ".bin") and path.is_file()]
    names = [_name(path) for path in encoded]
    if len(set(names)) < len(names):
        raise FormatError(f"{source} holds two members of one name among {', '.join(names)}; rename one.")
    arrays = [path for path in visible if bcolz.is_bcolz_folder(path) and _name(path) not in names]
    if not encoded and not arrays:
        raise FormatError(f"{source} holds neither a .rec nor a verification pack (*.bin, bcolz folder).")
    return sorted([*encoded, *arrays], key=lambda path: (_name(path) != "train", path.name))


def _open_rec(path: Path, expected: Expected) -> PackMember:
    """The images of a .rec in key order.

    The identity is the pack's own number as text, labels are 0..n-1 in the order of those numbers; a
    negative number means an unknown identity. Raises FormatError when `property` contradicts the images.
    """
    reader = recordio.RecordReader(path)
    keys = reader.image_keys()
    if not len(keys):
        raise FormatError(f"{path} holds no images.")
    folder = path.absolute().parent.name
    first = reader[int(keys[0])].image
    meta = meta_of(path, folder if path.stem == "train" else f"{folder}/{path.stem}", first, expected)
    declared = path.with_name("property")
    if declared.is_file() and meta.size not in (None, recordio.read_property(declared)[1]):
        raise FormatError(f"{declared} does not give the size of the faces of {path}, which is {meta.size}.")
    return PackMember(meta, checked_rows(_rec_rows(reader, keys), path, meta), note=reader.index_note)


def _open_bin(path: Path, expected: Expected) -> PackMember:
    """The images and pairs of a verification pack; labels are -1."""
    return _verification(path, *verification_packs.read_bin(path), "jpg", expected)


def _open_bcolz(path: Path, expected: Expected) -> PackMember:
    """The images of a bcolz folder as PNG, and the pairs of the list beside it."""
    pack = bcolz.read_bcolz(path, expected.arrays)
    encoded = (bcolz.encode_png(image) for chunk in pack.chunks() for image in chunk)
    return _verification(path, encoded, pack.same, "png", expected)._replace(note=pack.note)


def describe_pack(path: Path) -> Description | None:
    """A pack: its training set, with the verification sets beside it as facts."""
    try:
        members = find_members(path)
    except FormatError:
        return None
    main, *others = (_describe_member(member) for member in members)
    if not others and members[0].suffix == ".rec":
        return main
    counts = {
        member.name: len(other.album.labels)
        for member, other in zip(members[1:], others, strict=True)
        if other.album is not None
    }
    names = [member.name for member in members]
    facts = {"members": names, **main.facts, "bytes": size_of(path), "other_members": counts}
    return Description("pack", facts, main.album)


def _describe_member(member: Path) -> Description:
    describe = recordio.describe_rec if member.suffix == ".rec" else verification_packs.describe_bin
    found = (bcolz.describe_bcolz if member.is_dir() else describe)(member)
    if found is None:
        raise FormatError(f"{member} is neither RecordIO nor a verification pack, as its name says.")
    return found


def _write(places: Mapping[Path, Path], expected: Expected) -> Unpacked:
    """Write the shards and pairs of every member into its folder, which is still being made."""
    unpacked = Unpacked({}, [])
    for member, folder in places.items():
        kind = "bcolz" if member.is_dir() else member.suffix
        if kind not in _OPENERS:
            raise FormatError(f"{member} is no pack; name its folder, a .rec, a .bin or a bcolz folder.")
        opened = _OPENERS[kind](member, expected)
        folder.mkdir(exist_ok=True)
        unpacked.images[_name(member)] = shards.write_parts(opened.rows, folder, opened.meta)
        if opened.pairs is not None:
            pairs.write_pairs(opened.pairs, folder / shards.PAIRS)
        unpacked.notes.extend([opened.note] if opened.note else [])
    return unpacked


_OPENERS: dict[str, Callable[[Path, Expected], PackMember]] = {
    ".rec": _open_rec,
    ".bin": _open_bin,
    "bcolz": _open_bcolz,
}


def _verification(
    path: Path, images: Iterable[bytes], same: NDArray[np.bool_], suffix: str, expected: Expected
) -> PackMember:
    if not len(same):
        raise FormatError(f"{path} holds no images.")
    stream = iter(images)
    first = next(stream)
    name = _name(path)
    meta = meta_of(path, f"{path.absolute().parent.name}/{name}", first, expected)
    counted = track(chain([first], stream), f"unpack {name}", 2 * len(same), unit="images")
    rows = (_row(image, -1, "", f"{name}/{number:06d}.{suffix}") for number, image in enumerate(counted))
    return PackMember(meta, checked_rows(rows, path, meta), pairs.consecutive_pairs(same))


def _rec_rows(reader: recordio.RecordReader, keys: NDArray[np.int64]) -> Rows:
    name = reader.path.stem
    try:
        numbers = np.fromiter((reader.number(int(key)) for key in keys), np.int64, len(keys))
    except OverflowError as error:
        raise FormatError(f"{reader.path} has a label that is no number of an identity.") from error
    labels = np.searchsorted(np.unique(numbers[numbers >= 0]), numbers)
    for row, key in enumerate(track(keys, f"unpack {reader.path.name}", unit="images")):
        number = int(numbers[row])
        label, identity = (int(labels[row]), str(number)) if number >= 0 else (-1, "")
        yield _row(reader[int(key)].image, label, identity, f"{name}/{key:08d}.jpg")


def checked_rows(rows: Rows, path: Path, meta: shards.Meta) -> Rows:
    """The same rows; FormatError at the first face of another size than the set's."""
    if meta.size is None:
        yield from rows
        return
    for row in rows:
        where = f"{path}, {row['source']}"
        size = _size(row["image"], where)
        if size != meta.size:
            raise FormatError(
                f"{where}: {size[0]}x{size[1]} pixels where the first face has {meta.size[0]}x{meta.size[1]}; "
                "the images are not aligned, unpack them with --photos."
            )
        yield row


def _row(image: bytes, label: int, identity: str, source: str) -> dict[str, Any]:
    return {"image": image, "label": label, "identity": identity, "source": source, "rung": "pack"}


def meta_of(path: Path, dataset: str, first: bytes, expected: Expected) -> shards.Meta:
    """Metadata of the set that begins with image `first`; FormatError when that cannot be an aligned face."""
    if expected.photos:
        return shards.Meta("photos", dataset)
    size = _size(first, f"{path}, its first image")
    shown = f"{path} holds images of {size[0]}x{size[1]} pixels (height x width)"
    if expected.size is None and not any(shards.reduction(size, usual) for usual in _USUAL):
        raise FormatError(
            f"{shown}, no usual size of aligned faces; ask for --size {size[0]}x{size[1]} if they are aligned, "
            "or unpack them with --photos and then detect and align."
        )
    if expected.size not in (None, size):
        raise FormatError(f"{shown}, not {'x'.join(map(str, expected.size or ()))} as asked for.")
    return shards.Meta("faces", dataset, size=size, template=alignment.template_name(size))


def _size(image: bytes, where: str) -> tuple[int, int]:
    try:
        return read_header(image).size
    except ImageError as error:
        raise FormatError(f"{where}: {str(error)[0].lower()}{str(error)[1:]}") from error


def _name(member: Path) -> str:
    """The name of a member: its file name without extension, or its folder's name."""
    return member.name if member.is_dir() else member.stem
