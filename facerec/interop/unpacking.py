"""Unpacking of other systems' packs into face shards: RecordIO, verification packs (*.bin), bcolz folders, aligned photos.

A pack is a folder with train.rec (InsightFace's, or im2rec's without record 0), *.bin and bcolz members;
a single member may be named too. The faces are aligned already: encoded images pass through untouched,
arrays of pixels become PNG, without loss. What a pack does not hold (boxes, landmarks, scores) stays null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerec.core import (
    Description,
    FormatError,
    ImageError,
    ShareMade,
    atomic_dir,
    file_state,
    is_share,
    require_path,
    size_of,
    track,
)
from facerec.imaging import alignment
from facerec.imaging.images import read_size
from facerec.interop import bcolz, recordio, verification_packs
from facerec.store import pairs, part_jobs, shard_writing, shards

Rows = Iterable[dict[str, Any]]


class PackMember(NamedTuple):
    """One set of a pack: metadata and rows of its shards, its pairs if it has any, and a defect that was repaired."""

    meta: shards.Meta
    rows: Rows | RecordRows
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
_RUNG = "pack"
"""In the column that names the fallback of a face which this pipeline has aligned."""
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

    Photo shards of faces that are aligned already become the set `test_out`/NAME where they have a list of pairs beside
    them, else `train_out`. Both directories are replaced whole; `train_out` stays empty where there is no train.rec.
    """
    pack, training = Path(pack), "train"
    aligned = shards.is_shard_set(pack)
    members = [pack] if aligned else find_members(pack)
    if aligned and not any(pack.glob("pairs.*")):
        training = pack.name
    with atomic_dir(train_out) as train, atomic_dir(test_out) as test:
        named = {member: _name(member) for member in members}
        return _write({member: train if name == training else test / name for member, name in named.items()}, FACES)


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
    reader.expect_order()
    folder = path.absolute().parent.name
    first = reader[int(keys[0])].image
    meta = meta_of(path, folder if path.stem == "train" else f"{folder}/{path.stem}", first, expected)
    declared = path.with_name("property")
    if declared.is_file() and meta.size not in (None, recordio.read_property(declared)[1]):
        raise FormatError(f"{declared} does not give the size of the faces of {path}, which is {meta.size}.")
    return PackMember(meta, _find_rows(reader, keys, meta), note=reader.index_note)


def _open_bin(path: Path, expected: Expected) -> PackMember:
    """The images and pairs of a verification pack; labels are -1."""
    return _verification(path, *verification_packs.read_bin(path), "jpg", expected)


def _open_bcolz(path: Path, expected: Expected) -> PackMember:
    """The images of a bcolz folder as PNG, and the pairs of the list beside it."""
    pack = bcolz.read_bcolz(path, expected.arrays)
    encoded = (bcolz.encode_png(image) for chunk in pack.chunks() for image in chunk)
    return _verification(path, encoded, pack.same, "png", expected)._replace(note=pack.note)


def _open_photos(path: Path, expected: Expected) -> PackMember:
    """The photos of shards, which are aligned faces."""
    found = shards.read_shards(path, "photos")
    meta = dataclasses.replace(
        meta_of(path, found.meta.dataset, bytes(found.image(0)), expected), licence=found.meta.licence
    )
    rows = (
        _row(bytes(found.image(row)), int(found.labels[row]), found.identities[row], source)
        for row, source in enumerate(track(found.sources, f"unpack {path.name}", unit="images"))
    )
    return PackMember(meta, checked_rows(rows, path, meta))


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
    """Write the shards and pairs of every member into its folder, which is still being made.

    In a block of `facerec.core.making_share`, that of a .rec is shared; all else is quickly made by the run after it.
    """
    unpacked = Unpacked({}, [])
    for member, folder in places.items():
        kind = "shards" if shards.is_shard_set(member) else "bcolz" if member.is_dir() else member.suffix
        if kind not in _OPENERS:
            raise FormatError(f"{member} is no pack; name its folder, a .rec, a .bin or a bcolz folder.")
        opened = _OPENERS[kind](member, expected)
        folder.mkdir(exist_ok=True)
        if isinstance(opened.rows, RecordRows):
            origin, title = {"pack": file_state(member)}, f"unpack {member.name}"
            count = part_jobs.write_known(opened.rows, folder, opened.meta, origin, title)
        elif is_share():
            continue
        else:
            count = shard_writing.write_parts(opened.rows, folder, opened.meta)
        unpacked.images[_name(member)] = count
        if opened.pairs is not None:
            pairs.write_pairs(opened.pairs, folder / shards.PAIRS)
        unpacked.notes.extend([opened.note] if opened.note else [])
    if is_share():
        raise ShareMade(0, 0)
    return unpacked


_OPENERS: dict[str, Callable[[Path, Expected], PackMember]] = {
    ".rec": _open_rec,
    ".bin": _open_bin,
    "bcolz": _open_bcolz,
    "shards": _open_photos,
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


@dataclass(frozen=True)
class RecordRows:
    """The images of a .rec as rows; see `facerec.store.part_jobs.KnownRows`.

    Attributes:
        path: of the .rec.
        meta: of the set, whose size all images must have.
        keys, numbers, labels: (n,) of the records: key, identity in the pack, label (-1 with a negative number).
        sizes: (n,) bytes of the images.
    """

    path: Path
    meta: shards.Meta
    keys: NDArray[np.int64]
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def template(self) -> dict[str, Any]:
        """A row without content."""
        return _row(b"", -1, "", "") | {"rung": ""}

    @property
    def texts(self) -> NDArray[np.int64]:
        """(n,) bytes of the identity, source and rung of each row."""
        known = np.where(self.labels < 0, 0, _digits(self.numbers))
        source = len(_source(self.path, 0).encode()) - 8 + np.maximum(8, _digits(self.keys))
        return np.asarray(known + source + (len(_RUNG) if self.meta.kind == "faces" else 0), np.int64)

    def part(self, rows: range) -> RecordRows:
        """Some of the rows."""
        span = slice(rows.start, rows.stop)
        columns = (self.keys, self.numbers, self.labels, self.sizes)
        return RecordRows(self.path, self.meta, *(column[span] for column in columns))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return checked_rows(self._read(), self.path, self.meta)

    def _read(self) -> Iterator[dict[str, Any]]:
        reader = _open_reader(self.path, tuple(file_state(self.path).values()))
        for key, number, label in zip(self.keys.tolist(), self.numbers.tolist(), self.labels.tolist(), strict=True):
            identity = str(number) if label >= 0 else ""
            yield _row(reader[key].image, label, identity, _source(self.path, key))


def _digits(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many decimal digits each of the values has, where it is not negative."""
    return 1 + np.searchsorted(10 ** np.arange(1, 19), values, side="right")


def _source(rec: Path, key: int) -> str:
    return f"{rec.stem}/{key:08d}.jpg"


@lru_cache(1)
def _open_reader(path: Path, _: tuple[int, ...]) -> recordio.RecordReader:
    """The reader of a pack in a certain state, opened once in every worker."""
    reader = recordio.RecordReader(path)
    reader.expect_order()
    return reader


def _find_rows(reader: recordio.RecordReader, keys: NDArray[np.int64], meta: shards.Meta) -> RecordRows:
    try:
        found = np.fromiter(map(reader.head, keys.tolist()), np.dtype((np.int64, 2)), len(keys))
    except OverflowError as error:
        raise FormatError(f"{reader.path} has a label that is no number of an identity.") from error
    numbers, sizes = found.T.copy()
    labels = np.searchsorted(np.unique(numbers[numbers >= 0]), numbers)
    return RecordRows(reader.path, meta, keys, numbers, np.where(numbers < 0, -1, labels), sizes)


def checked_rows(rows: Rows, path: Path, meta: shards.Meta) -> Iterator[dict[str, Any]]:
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
    return {"image": image, "label": label, "identity": identity, "source": source, "rung": _RUNG}


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
        return read_size(image)
    except ImageError as error:
        raise FormatError(f"{where}: {str(error)[0].lower()}{str(error)[1:]}") from error


def _name(member: Path) -> str:
    """The name of a member: its file name without extension, or its folder's name."""
    return member.name if member.is_dir() else member.stem
