"""What torch files claim, found out before torch reads them and so before it takes the memory.

Weights take as much memory as their file is long, because torch stores them uncompressed. A file that would take more
is refused: compressed members, members that share their bytes, an array of bytes of any length, and, in the form before
torch 1.6, storages longer than the file. (In the newer form torch itself compares a storage with its member.)
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

_PICKLE = 64 << 20
"""Bytes that the names of the tensors and the other values may take; the largest published networks need 2 MB."""


def check_torch_file(path: str | Path) -> None:
    """Raise ValueError if torch would take more memory for the file `path` than it is long; nothing in it is run.

    A file that is damaged or no torch file raises pickle.UnpicklingError.
    """
    path = Path(path)
    with path.open("rb") as file:
        check = _check_zip if file.read(4) == b"PK\x03\x04" else _check_legacy  # as torch itself tells them apart
        file.seek(0)
        try:
            check(file, path.stat().st_size)
        except ValueError:
            raise
        except Exception as error:  # damaged pickles and zips fail with all kinds of errors
            raise pickle.UnpicklingError(f"it is damaged: {error}") from error


def _check_zip(file: IO[bytes], size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("its members are compressed, as torch never stores them")
        if sum(member.file_size for member in members) > size:
            raise ValueError(f"its members claim more than its {size} bytes")
        for member in members:
            if member.filename.endswith("/data.pkl"):
                if member.file_size > _PICKLE:
                    raise ValueError(f"its values besides the tensors take {member.file_size} bytes")
                with archive.open(member) as values:
                    _Claims(values).load()


def _check_legacy(file: IO[bytes], size: int) -> None:
    """The form of torch 1.5 and before: three pickles about its version, one of the values, then the storages."""
    for _ in range(3):
        _Claims(file).load()
    values = _Claims(file)
    values.load()
    if sum(values.storages.values()) > size:
        raise ValueError(f"its tensors claim more than its {size} bytes")


class _StandIn(dict[Any, Any]):
    """Takes the place of any object in a pickle."""

    item = 1
    """Bytes of a number, for a kind of storage."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass


_WIDTHS = {"Double": 8, "Long": 8, "Float": 4, "Int": 4, "BFloat16": 2, "Half": 2, "Short": 2}
_STORAGES = {f"{kind}Storage": type(kind, (_StandIn,), {"item": width}) for kind, width in _WIDTHS.items()}


class _Claims(pickle._Unpickler):
    """Reads a pickle of torch only for the bytes of its `storages`, by key.

    It is the unpickler written in Python: the one in C allocates memory for memo numbers of any size.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[Any, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; a bytearray, for which torch would allocate any length, is refused."""
        if name == "bytearray":
            raise ValueError("it holds an array of bytes, which no weights need")
        return _STORAGES.get(name, _StandIn)

    def persistent_load(self, pid: Any) -> Any:
        """Note a storage: ("storage", kind, key, device, count of numbers, ...); a "module" is a class in the old form."""
        if pid[0] == "module":
            return pid[1]
        _, kind, key, _, count = pid[:5]
        self.storages[key] = max(count * kind.item, self.storages.get(key, 0))
        return None
