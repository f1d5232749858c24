"""InsightFace's training packs in MXNet's RecordIO: train.rec, train.idx and property.

    reader = RecordReader("faces_emore/train.rec")
    record = reader[int(reader.image_keys()[0])]  # record.label, record.image

A record's payload is the header 'IfQQ' (flag, label, id, id2), then `flag` float32 labels, then the
encoded image; `rec_index` knows how payloads lie in the file. The index holds a line "key<TAB>offset" a
record. InsightFace adds record 0 with the two labels [N+1, N+1+identities]: images are keys 1..N, the
records from N+1 hold the range [start, end) of keys of each identity.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerec.core import (
    Album,
    Description,
    FileMap,
    FormatError,
    atomic_dir,
    atomic_file,
    has_magic,
    map_file,
    read_ahead,
    size_of,
    write_text,
)
from facerec.interop import rec_index
from facerec.interop.rec_index import LONGEST_PAYLOAD, frame_payload, read_payload

_HEADER = struct.Struct("<IfQQ")
_LABEL = struct.Struct("<f")

Labels = float | Sequence[float] | NDArray[np.float32]


class Record(NamedTuple):
    """One record: its label or labels, the encoded image (b"" for header records) and its two ids."""

    label: float | NDArray[np.float32]
    image: bytes
    id: int = 0
    id2: int = 0

    @property
    def first_label(self) -> float:
        """The scalar label, or the first of several."""
        return self.label if isinstance(self.label, float) else float(self.label[0])

    @property
    def number(self) -> int:
        """`first_label` as a whole number; ValueError or OverflowError where it is none."""
        return int(self.first_label)


class RecordReader:
    """Random access to a .rec through its .idx, which `rec_index` checks and, if necessary, rebuilds.

    Raises FormatError when a record is damaged, or the index is wrong and cannot be rebuilt. Pickles as a path.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._data = _map(self.path)
        self._adopt(rec_index.load_index(self.path, self._data))

    def _adopt(self, index: rec_index.Index) -> None:
        self._keys, self._offsets, self._own_keys, self._note = index
        # views give plain ints several times as fast as arrays do
        self._key_list, self._offset_list = self._keys.data, self._offsets.data
        self._first = int(self._keys[0]) if len(self._keys) else 0
        self._dense = len(self._keys) > 0 and int(self._keys[-1]) - self._first == len(self._keys) - 1

    def __len__(self) -> int:
        return len(self._keys)

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordReader, (self.path,)

    @property
    def keys(self) -> NDArray[np.int64]:
        """(n,) keys of all records in ascending order."""
        return self._keys

    @property
    def index_note(self) -> str:
        """One sentence about why the index was rebuilt; "" while the .idx is used as it is."""
        return self._note

    def __getitem__(self, key: int) -> Record:
        payload = self.payload(key)
        try:
            flag, label, first, second = _HEADER.unpack_from(payload)
            labels = np.frombuffer(payload, "<f4", flag, _HEADER.size).copy() if flag else float(label)
        except (struct.error, ValueError) as error:
            raise FormatError(f"{self.path}, record {key} has no image header ({error}).") from error
        if first != key and self._own_keys and self._moved(key):
            return self[key]
        return Record(labels, payload[_HEADER.size + 4 * flag :], first, second)

    def number(self, key: int) -> int:
        """Label of record `key` as a whole number, the first of several; its image is not read."""
        head = self.payload(key, _HEADER.size + _LABEL.size)
        try:
            flag, label, first, _ = _HEADER.unpack_from(head)
            label = _LABEL.unpack_from(head, _HEADER.size)[0] if flag else label
        except struct.error as error:
            raise FormatError(f"{self.path}, record {key} has no whole number as label ({error}).") from error
        if first != key and self._own_keys and self._moved(key):
            return self.number(key)
        return self._whole(key, label)

    def head(self, key: int) -> tuple[int, int]:
        """`number` of record `key` and the bytes of its image, which is not read."""
        number = self.number(key)  # first, since it may find that the index is wrong
        labels = int.from_bytes(self.payload(key, 4), "little")
        size = rec_index.payload_size(self._data, self._offset_list[self._place(key)])
        return number, size - _HEADER.size - _LABEL.size * labels

    def payload(self, key: int, size: int = LONGEST_PAYLOAD) -> bytes:
        """First `size` bytes of record `key`, its parts joined; KeyError when there is none."""
        place = self._place(key)
        if place < 0:
            raise KeyError(f"{self.path} has no record {key}")
        try:
            return read_payload(self._data, self._offset_list[place], size)
        except FormatError as error:
            if self._own_keys and self._moved(key):
                return self.payload(key, size)
            raise FormatError(f"{self.path}, record {key}: {error}; fetch the pack again.") from error

    def _moved(self, key: int) -> bool:
        """Rebuild the index, which is wrong at `key`; False where it was rebuilt before or cannot be."""
        self._own_keys = False
        if self._note:
            return False
        problem = f"{self.path.with_suffix('.idx').name} points key {key} where its record is not"
        try:
            self._adopt(rec_index.rebuild_index(self.path, self._data, problem))
        except FormatError:  # ids that are no keys, or damage, which raises where it is read
            return False
        return True

    def expect_order(self) -> None:
        """Have the system read ahead in the file, for who goes through it; else a record costs its own pages alone."""
        read_ahead(self._data, True)

    def images(self) -> Iterator[tuple[int, bytes]]:
        """(label, encoded image) of every image in key order, without InsightFace's header records."""
        self.expect_order()
        for key in self.image_keys().data:
            record = self[key]
            yield self._whole(key, record.first_label), record.image

    def image_keys(self) -> NDArray[np.int64]:
        """Keys of the images: 1..N where record 0 is InsightFace's header, else all."""
        if not len(self) or self._keys[0] != 0:
            return self._keys
        header = self[0]
        if isinstance(header.label, float) or header.image:
            return self._keys
        stop = self._first_range(self._whole(0, header.first_label))
        return self._keys[(self._keys > 0) & (self._keys < stop)]

    def _first_range(self, stop: int) -> int:
        """Exact N+1 near `stop`: a float32 label above 2^24 may be one or two off, ranges have no image."""
        while self._place(stop) >= 0 and self[stop].image:
            stop += 1
        while stop > 1 and self._place(stop - 1) >= 0 and not self[stop - 1].image:
            stop -= 1
        return stop

    def _whole(self, key: int, label: float) -> int:
        """`label` of record `key` as a whole number; FormatError where it is infinite or not a number."""
        if not math.isfinite(label):
            raise FormatError(f"{self.path}, record {key} has no whole number as label but {label}.")
        return int(label)

    def _place(self, key: int) -> int:
        """Position of `key` among the sorted keys, negative when there is none."""
        if self._dense:  # keys without a gap, as every InsightFace pack has them
            place = key - self._first
            return place if place < len(self._key_list) else -1
        place = bisect_left(self._key_list, key)
        return place if place < len(self._key_list) and self._key_list[place] == key else -1


class RecordWriter(AbstractContextManager["RecordWriter"]):
    """Writes a .rec and its .idx, byte for byte as MXNet does; both appear when the block succeeds."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        self._index: list[str] = []
        self._file: BinaryIO

    def __enter__(self) -> RecordWriter:
        self._index_path = self._stack.enter_context(atomic_file(self.path.with_suffix(".idx")))
        temporary = self._stack.enter_context(atomic_file(self.path))
        self._file = self._stack.enter_context(temporary.open("wb"))
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._index_path.write_text("".join(self._index), encoding="utf-8")
        self._stack.__exit__(*error)

    def write(self, key: int, label: Labels, image: bytes = b"") -> None:
        """Append a record with one label or several, and `key` as its id."""
        self.write_payload(key, _payload(key, label, image))

    def write_payload(self, key: int, payload: bytes) -> None:
        """Append `payload` as it is, without the image header."""
        if len(payload) > LONGEST_PAYLOAD:
            raise FormatError(f"record {key} of {self.path} has {len(payload)} bytes; RecordIO ends at 2^29.")
        self._index.append(f"{key}\t{self._file.tell()}\n")
        self._file.write(frame_payload(payload))

    def rewrite_first(self, key: int, labels: Sequence[float]) -> None:
        """Replace the labels of the first record, which must have equally many and no image."""
        self._file.seek(0)
        self._file.write(frame_payload(_payload(key, labels, b"")))
        self._file.seek(0, 2)


def write_pack(
    path: str | Path, groups: Iterable[tuple[int, Iterable[bytes]]], size: tuple[int, int] = (112, 112)
) -> int:
    """Write the directory `path` in InsightFace's layout: train.rec, train.idx, property.

    `groups` are (label, encoded images) with labels 0, 1, 2, ... in order; `size` is (height, width) of
    the images in pixels. Returns the number of images.
    """
    with atomic_dir(path) as folder:
        return write_train(folder, groups, size)


def write_train(folder: Path, groups: Iterable[tuple[int, Iterable[bytes]]], size: tuple[int, int]) -> int:
    """Write what `write_pack` does into a directory that exists and may hold other members of the pack."""
    ranges: list[tuple[int, int]] = []
    key = 1
    with RecordWriter(folder / "train.rec") as writer:
        writer.write(0, (0.0, 0.0))
        for label, images in groups:
            if label != len(ranges):
                raise FormatError(f"{folder}: label {label} where {len(ranges)} is due; number them from 0.")
            start = key
            for image in images:
                writer.write(key, label, image)
                key += 1
            ranges.append((start, key))
        for number, bounds in enumerate(ranges, key):
            writer.write(number, bounds)
        writer.rewrite_first(0, (key, key + len(ranges)))
    write_text(folder / "property", f"{len(ranges)},{size[0]},{size[1]}\n")
    return key - 1


def read_property(path: str | Path) -> tuple[int, tuple[int, int]]:
    """Number of identities and (height, width) in pixels from a pack's `property` file."""
    path = Path(path)
    try:
        identities, height, width = (int(word) for word in path.read_text(encoding="utf-8").split(","))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} does not say 'identities,height,width' ({error}).") from error
    if identities < 0 or min(height, width) < 1:
        raise FormatError(f"{path} does not say 'identities,height,width' but {identities},{height},{width}.")
    return identities, (height, width)


def describe_rec(path: Path) -> Description | None:
    """A .rec with its index and `property`, where they are."""
    if not has_magic(path, rec_index.MAGIC):
        return None
    reader = RecordReader(path)
    keys = reader.image_keys()
    numbers = np.array([reader.number(int(key)) for key in keys], np.int64)
    facts: dict[str, Any] = {"records": len(reader), "header_record": len(keys) < len(reader)}
    facts |= {"index": path.with_suffix(".idx").is_file(), "note": reader.index_note or None}
    if path.with_name("property").is_file():
        identities, size = read_property(path.with_name("property"))
        facts["property"] = f"{identities} identities, {size[0]}x{size[1]}"
    facts |= {"colour": "RGB once decoded", "bytes": size_of(path)}
    sources = [f"{path.stem}/{key:08d}" for key in keys]
    album = Album(lambda row: reader[int(keys[row])].image, numbers, sources, aligned=True)
    return Description("RecordIO file", facts, album)


def describe_property(path: Path, _: list[str]) -> Description | None:
    """The `property` of a pack."""
    if path.name != "property":
        return None
    identities, size = read_property(path)
    return Description("property of a pack", {"identities": identities, "size": f"{size[0]}x{size[1]}"})


def _payload(key: int, label: Labels, image: bytes) -> bytes:
    if isinstance(label, Sequence | np.ndarray):
        return _HEADER.pack(len(label), 0.0, key, 0) + np.asarray(label, "<f4").tobytes() + image
    return _HEADER.pack(0, label, key, 0) + image


def _map(path: Path) -> FileMap:
    try:
        return map_file(path)
    except OSError as error:
        raise FormatError(f"cannot open {path}: {error.strerror}.") from error
