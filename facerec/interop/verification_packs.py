"""Verification packs (lfw.bin, agedb_30.bin, cfp_fp.bin, ...): a pickle of (images, same), read safely.

    images, same = read_bin("lfw.bin")  # images 2i and 2i + 1 are pair i

A pickle can run any code when it is loaded, so it is read by an unpickler that can make numpy arrays, bytes, lists and
bools and nothing else. Files from Python 2 are read too: their strings are taken as bytes.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from facerec.core import Album, Description, FormatError, atomic_file, has_magic, pair_counts, size_of


class _Dtype:
    """Stands in for a pickled numpy dtype: whole numbers and bools by name, "O" for arrays of objects."""

    def __init__(self, name: str | bytes, *_: Any) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else str(name)
        if not self.name.startswith("O") and np.dtype(self.name).kind not in "biu":
            raise pickle.UnpicklingError(f"it holds numbers of type {self.name}")

    def __setstate__(self, state: Sequence[Any]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.name = (">" if order == ">" else "") + self.name


class _Array:
    """Stands in for a pickled array; `value` becomes a real one, or a list where it held objects.

    The file never gets hold of numpy itself, whose own pickle hooks trust what they are told.
    """

    def __init__(self, *state: Any) -> None:
        self.value: NDArray[Any] | list[Any] | None = None  # until the file says what is in it
        if state:
            self._fill(*state)

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, dtype, fortran, data = state
        self._fill(data, dtype, shape, "F" if fortran else "C")

    def _fill(self, data: Any, dtype: _Dtype, shape: Any, order: Literal["C", "F"]) -> None:
        if isinstance(data, list):
            self.value = data
        else:
            self.value = np.frombuffer(data, np.dtype(dtype.name)).reshape(shape, order=order)


_ALLOWED: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.multiarray.scalar": lambda dtype, data: np.frombuffer(data, np.dtype(dtype.name))[0],
    "numpy.core.numeric._frombuffer": lambda data, dtype, shape, order: _Array(data, dtype, shape, order),
    "__builtin__.bytes": lambda: b"",  # how Python 3 puts b"" into such a pickle
}


_REFUSED = b"".join(
    (pickle.DICT, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.EMPTY_SET, pickle.ADDITEMS)
    + (pickle.FROZENSET, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2)
    + (pickle.EXT4, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
)
"""Operations that no pack needs; sets and dicts of keys with colliding hashes would take very long."""


_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"((", b"(l", b"(c")
"""How pickled tuples and lists begin, by protocol."""
_REPEATS = 64  # how many times larger than its file the images may be: pickle stores an image of several pairs once


class _Unpickler(pickle._Unpickler):
    """The unpickler written in Python: the one in C allocates memory for memo numbers of any size."""

    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._left = len(data)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return "ndarray"  # only ever handed to _reconstruct
        if (module, name) == ("_codecs", "encode"):
            return self._latin1
        function = _ALLOWED.get(f"{module.replace('numpy._core.', 'numpy.core.')}.{name}")  # numpy 2 says _core
        if function is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return lambda *arguments: function(*arguments)  # a fresh one: a pickle may set attributes on it

    def _latin1(self, text: str, encoding: str) -> bytes:
        """How Python 3 puts bytes into a protocol 0-2 pickle; no other codec, and no text time and again."""
        self._left -= len(text)
        if encoding not in ("latin1", "latin-1") or self._left < 0:
            raise pickle.UnpicklingError(f"codec {encoding}, or one text many times")
        return text.encode("latin-1")

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("it holds more than lists of images and bools")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")

    def load_bytearray8(self) -> None:
        """Read as the original does, which allocates the promised length before it looks for the bytes."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        **dict.fromkeys(_REFUSED, _refuse),
    }


def read_bin(path: str | Path) -> tuple[list[bytes], NDArray[np.bool_]]:
    """Read 2n encoded images, untouched, and (n,) bools that say which pairs are genuine.

    Raises FormatError when the file is no such pack, is cut short, or holds anything but plain data.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        loaded = _Unpickler(data).load()
    except OSError as error:
        raise FormatError(f"cannot read the pack {path}: {error}.") from error
    except Exception as error:  # a hostile or broken pickle can fail in any way
        raise FormatError(f"{path} is not a pickle of plain images and bools: {error}.") from error
    return _checked(loaded, path, len(data))


def write_bin(path: str | Path, images: Sequence[bytes], same: Sequence[bool] | NDArray[np.bool_]) -> None:
    """Write 2n encoded images and n bools in the form InsightFace's own script writes."""
    flags = [bool(flag) for flag in same]
    if len(images) != 2 * len(flags):
        raise FormatError(f"{path}: {len(images)} images do not make {len(flags)} pairs.")
    with atomic_file(path) as temporary:
        data = pickle.dumps(([bytes(image) for image in images], flags), protocol=pickle.HIGHEST_PROTOCOL)
        temporary.write_bytes(data)


def describe_bin(path: Path) -> Description | None:
    """A verification pack, told by its extension and by how pickled tuples and lists begin."""
    if path.suffix not in (".bin", ".pkl", ".pickle") or not has_magic(path, *_PICKLES):
        return None
    images, same = read_bin(path)
    facts = {**pair_counts(same), "bytes": size_of(path)}
    return Description("verification pack", facts, Album.of_pairs(path, images.__getitem__, len(same)))


def _checked(loaded: Any, path: Path, size: int) -> tuple[list[bytes], NDArray[np.bool_]]:
    if not isinstance(loaded, tuple | list) or len(loaded) != 2:
        raise FormatError(f"{path} holds no pair of (images, same).")
    bins, flags = (_plain(part) for part in loaded)
    if not isinstance(bins, list | tuple | np.ndarray) or not isinstance(flags, list | tuple | np.ndarray):
        raise FormatError(f"{path} holds no lists of images and bools.")
    items = [_plain(item) for item in bins] if len(bins) <= size else []  # an array without bytes may be of any length
    encoded = (item for item in items if isinstance(item, bytes | bytearray | np.ndarray))
    total = sum(item.nbytes if isinstance(item, np.ndarray) else len(item) for item in encoded)
    if len(bins) > size or total > _REPEATS * size:
        raise FormatError(f"{path} is refused: it unpacks to more than {_REPEATS} times its {size} bytes.")
    images = _images(items, path)
    if len(images) != 2 * len(flags):
        raise FormatError(f"{path} holds {len(images)} images for {len(flags)} pairs.")
    if not all(isinstance(flag, bool | int | np.bool_ | np.integer) and flag in (0, 1) for flag in flags):
        raise FormatError(f"{path} says neither true nor false for some pairs.")
    return images, np.array(flags, bool)


def _plain(item: Any) -> Any:
    return item.value if isinstance(item, _Array) else item


def _images(items: list[Any], path: Path) -> list[bytes]:
    """The bytes of every image; those of one stored array are copied once, however often the file refers to it."""
    images, copies = [], dict[Any, bytes]()
    for row, item in enumerate(items):
        key: Any = id(item)
        if isinstance(item, np.ndarray):  # many arrays may be made around the same bytes
            key = (item.__array_interface__["data"][0], item.shape, item.strides, item.dtype)
        if key not in copies:
            copies[key] = _image(item, path, row)
        images.append(copies[key])
    return images


def _image(item: Any, path: Path, row: int) -> bytes:
    if isinstance(item, bytes | bytearray):
        return bytes(item)
    if isinstance(item, np.ndarray) and item.dtype == np.uint8:
        return item.tobytes()
    raise FormatError(f"{path}: image {row} is no string of bytes but {type(item).__name__}.")
