"""Verification packs in bcolz folders, as face.evoLVe, InsightFace_Pytorch and MultiFace keep them.

A folder lfw/ holds a float32 array (2n, 3, height, width): meta/sizes and meta/storage are JSON with "shape",
"dtype" and "chunklen", data/__N.blp are its chunks of `chunklen` images, the last one shorter. A chunk file is
bloscpack's header of version 1 ("blpk", version, 3 bytes, int64 number of chunks) and one Blosc 1 chunk, whose
own 16 bytes are version, codec's version, flags, item size, then uint32 bytes, block size, compressed bytes.
Images 2i and 2i+1 are pair i; lfw_list.npy beside the folder says whether they show one person.

Numbers are (x / 255 - .5) / .5, from which the exact pixels are restored. The channels are blue, green, red: the
script that made the published folders reverses the channels that MXNet decodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from facerec.core import Album, Description, FormatError, pair_counts, parse_json, size_of
from facerec.store import pairs

Colour = Literal["bgr", "rgb"]

_PACKED = struct.Struct("<4sB3xq")
_CHUNK = struct.Struct("<BBBBIII")
_FLOAT32 = ("float32", "<f4")
_LARGEST = 256 << 20  # bytes of a chunk; bcolz makes them of a few MB
_TOLERANCE = 1e-3  # of 255 grey levels; float32 is off by less than 2e-5


@dataclass(frozen=True)
class BcolzPack:
    """2n images, read chunk by chunk, and which of the n pairs show one person.

    Attributes:
        path: the folder.
        shape: (2n, height, width).
        same: (n,) bools.
        chunk_length: images of every chunk but the last.
        lost: how many images at the end were never written, a known slip when a bcolz array is not flushed:
            the file holds zeros for them, as the published systems read them; here they are grey (128).
    """

    path: Path
    shape: tuple[int, int, int]
    same: NDArray[np.bool_]
    chunk_length: int
    lost: int
    _colour: Colour = field(repr=False)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def note(self) -> str:
        """One sentence about images that are missing, "" when there are none."""
        if not self.lost:
            return ""
        return f"{self.path} lacks its last {self.lost} of {len(self)} images, they are grey; make it anew."

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """The images in order, (m, height, width, 3) uint8 RGB a chunk; FormatError when one is damaged."""
        for number in range(-(-len(self) // self.chunk_length)):
            yield self.chunk(number)

    def chunk(self, number: int) -> NDArray[np.uint8]:
        """Images `number` * `chunk_length` and following, (m, height, width, 3) uint8 RGB."""
        path, start = _chunk_path(self.path, number), number * self.chunk_length
        values = _read_chunk(path, (min(self.chunk_length, len(self) - start), 3, *self.shape[1:]))
        pixels = _pixels(values, path, lost=start >= len(self) - self.lost)
        return pixels[..., ::-1] if self._colour == "bgr" else pixels


def is_bcolz_folder(path: str | Path) -> bool:
    """Whether `path` is laid out as a bcolz array; its files are not opened."""
    return all((Path(path) / name).is_file() for name in ("meta/sizes", "meta/storage"))


def read_bcolz(path: str | Path, colour: Colour = "bgr") -> BcolzPack:
    """Open the pack in folder `path` and the list beside it; `colour` is the order of its channels.

    Raises FormatError when a file is missing, damaged, or has other contents than such packs.
    """
    path = Path(path)
    shape, chunk_length = _meta(path)
    count = -(-shape[0] // chunk_length)
    missing = next((number for number in range(count) if not _chunk_path(path, number).is_file()), None)
    if missing is not None:
        raise FormatError(f"{path}/data lacks __{missing}.blp of its {count} chunks; fetch the pack again.")
    return BcolzPack(path, shape, _same(path, shape[0]), chunk_length, _lost(path, shape, chunk_length), colour)


def describe_bcolz(path: Path) -> Description | None:
    """A bcolz folder with its list."""
    if not is_bcolz_folder(path):
        return None
    pack = read_bcolz(path)
    facts = {**pair_counts(pack.same), "stored_as": "float32 pixels, taken for BGR", "note": pack.note or None}
    decoded = lru_cache(maxsize=1)(pack.chunk)

    def read(row: int) -> bytes:
        return encode_png(decoded(row // pack.chunk_length)[row % pack.chunk_length])

    album = Album.of_pairs(path, read, len(pack.same))
    return Description("bcolz folder", {**facts, "bytes": size_of(path)}, album)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of an RGB image (h, w, 3); equal pixels give equal bytes."""
    return bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def _meta(path: Path) -> tuple[tuple[int, int, int], int]:
    """(images, height, width) and images a chunk."""
    shape, storage = _json(path / "meta/sizes").get("shape"), _json(path / "meta/storage")
    counts = [*shape, storage.get("chunklen")] if isinstance(shape, list) else []
    if len(counts) != 5 or not all(type(count) is int and 0 < count < 1 << 31 for count in counts):
        raise FormatError(f"{path} holds no images: its shape is {str(shape)[:80]}.")
    images, channels, height, width, length = counts
    if channels != 3 or storage.get("dtype") not in _FLOAT32:
        raise FormatError(
            f"{path} holds {str(storage.get('dtype'))[:20]} of shape {shape}, not float32 images (n, 3, h, w)."
        )
    if 12 * length * height * width > _LARGEST:
        raise FormatError(f"{path} is refused: its chunks of {length} images have more than {_LARGEST} bytes.")
    return (images, height, width), length


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            value = parse_json(file.read(1 << 16), str(path))
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} does not describe a bcolz array.")
    return value


def _same(path: Path, images: int) -> NDArray[np.bool_]:
    place = path.parent / f"{path.name}_list.npy"
    flags = pairs.read_genuine(place)
    if 2 * len(flags) != images:
        raise FormatError(f"{path} holds {images} images for the {len(flags)} pairs of {place.name}.")
    return flags


def _lost(path: Path, shape: tuple[int, int, int], length: int) -> int:
    """Images of the last chunk if that is not full and nothing was ever written to it, else 0."""
    rest = shape[0] % length
    if not rest:
        return 0
    values = _read_chunk(_chunk_path(path, shape[0] // length), (rest, 3, *shape[1:]))
    return 0 if values.any() else rest


def _chunk_path(path: Path, number: int) -> Path:
    return path / f"data/__{number}.blp"


def _read_chunk(path: Path, shape: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """The chunk as an array of `shape`; both headers must promise just that before it is unpacked."""
    wanted = 4 * int(np.prod(shape))
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= 2 * wanted + 1024 else b""
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}.") from error
    if len(data) < _PACKED.size + _CHUNK.size:
        raise FormatError(f"{path} is no chunk of a bcolz array: it has {size} bytes.")
    magic, version, _ = _PACKED.unpack_from(data)
    _, _, _, item, count, block, packed = _CHUNK.unpack_from(data, _PACKED.size)
    if magic != b"blpk" or version != 1 or (item, count) != (4, wanted) or not 0 < block <= wanted:
        raise FormatError(f"{path} is no chunk of {shape[0]} images of {shape[2]}x{shape[3]} pixels.")
    if packed != len(data) - _PACKED.size:
        raise FormatError(f"{path} is cut short or damaged: {packed} bytes are due; fetch the pack again.")
    try:
        return np.frombuffer(blosc.decompress(data[_PACKED.size :]), "<f4").reshape(shape)
    except (RuntimeError, ValueError) as error:
        raise FormatError(f"{path} is damaged: {error}; fetch the pack again.") from error


def _pixels(values: NDArray[np.float32], path: Path, lost: bool) -> NDArray[np.uint8]:
    """(m, 3, h, w) normalised numbers as (m, h, w, 3) uint8, channels in the same order."""
    if lost:
        return np.full(values.transpose(0, 2, 3, 1).shape, 128, np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN, infinity and huge numbers compare as false
        levels = values * np.float32(127.5) + np.float32(127.5)
        whole = np.rint(levels)
        usual = (np.abs(levels - whole) < _TOLERANCE) & (whole >= 0) & (whole <= 255)
    if not usual.all():
        raise FormatError(f"{path} holds numbers that are no pixels normalised by (x / 255 - .5) / .5.")
    return np.ascontiguousarray(whole.astype(np.uint8).transpose(0, 2, 3, 1))
