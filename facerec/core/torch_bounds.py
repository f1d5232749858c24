"""What torch files claim, found out before torch reads them and so before it takes the memory.

Weights take as much memory as their file is long, because torch stores them uncompressed. A file that would take more
is refused: compressed members, members over each other, tensors that are larger than their storage, and, in the form
before torch 1.6, storages longer than the file.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from facerec.core.errors import FormatError

_PICKLE = 64 << 20
"""Bytes that the names of the tensors and the other values may take; the largest published networks need 2 MB."""
_SHARED = 4
"""How many times larger than its file all tensors together may be: some are stored once under several names."""
_ITEMS = {"DoubleStorage": 8, "LongStorage": 8, "FloatStorage": 4, "IntStorage": 4, "HalfStorage": 2, "ShortStorage": 2}
"""Bytes of a number in a storage; it has at least one in the others."""


def check_torch_file(path: str | Path) -> None:
    """Raise FormatError if reading the torch file `path` would take much more memory than it is long.

    Files of other kinds pass: torch itself refuses them. Nothing in the file is run.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            _check_zip(path)
        else:
            _check_legacy(path)
    except FormatError:
        raise
    except Exception:  # damage, which torch reports in its own words
        return


def check_tensors(sizes: Iterable[int], path: str | Path) -> None:
    """Raise FormatError if tensors of these `sizes`, in bytes, repeat the numbers in the torch file `path` too often.

    A tensor of any shape can be made of one number, and takes its memory only when it is copied.
    """
    if sum(sizes) > _SHARED * Path(path).stat().st_size:
        raise FormatError(f"{path} is refused: its tensors are more than {_SHARED} times larger than the file.")


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise FormatError(f"{path} is refused: its members are compressed, as torch never stores them.")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise FormatError(f"{path} is refused: its members claim more bytes than the file has.")
        for member in members:
            if member.filename.endswith("/data.pkl"):
                if member.file_size > _PICKLE:
                    raise FormatError(f"{path} is refused: its values without the tensors take {member.file_size} bytes.")
                with archive.open(member) as file:
                    _Claims(file, path).load()


def _check_legacy(path: Path) -> None:
    """The form of torch 1.5 and before: three pickles of its version, one of the values, then the storages."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(3):
            _Claims(file, path).load()
        claims = _Claims(file, path)
        claims.load()
    if sum(claims.storages.values()) > size:
        raise FormatError(f"{path} is refused: its tensors claim more bytes than the file has.")


class _Claims(pickle._Unpickler):
    """Reads a pickle of torch for the sizes of its storages only; every object in it is a stand-in without effect.

    It is the unpickler written in Python: the one in C allocates memory for memo numbers of any size.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path
        self.storages: dict[Any, int] = {}
        """Bytes of each storage by its key."""

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; a bytearray, for which torch would allocate any length, is refused."""
        if name == "bytearray":
            raise FormatError(f"{self._path} is refused: it holds an array of bytes, which no weights need.")
        return type(name, (_StandIn,), {})

    def persistent_load(self, pid: Any) -> Any:
        """Note how large a storage is: ("storage", type, key, device, count of numbers, ...)."""
        _, kind, key, _, count = pid[:5]
        self.storages[key] = count * _ITEMS.get(getattr(kind, "__name__", ""), 1)
        return None


class _StandIn(dict[Any, Any]):
    """Takes the place of any object."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass
