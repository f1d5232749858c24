"""Arrays that every process of the renderer needs and that take a second to make, kept on disk for the next process.

They lie in `<scratch>/synthfaces/<key>/` (machine setting FACEREC_SCRATCH), one .npz file a name. The key is a digest of
all that decides them: the code of the renderer, the files of the head model and the versions of the libraries. They are
kept only where arithmetic is portable; elsewhere another processor could have made other bits. A file that is missing or
damaged (each array has a checksum) is made again, and several processes may make it at the same time.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facerec.core import (
    PORTABLE,
    FacerecError,
    atomic_file,
    describe_arithmetic,
    local_path,
    remove_old_folders,
    sha256_of_bytes,
)

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

_LIBRARIES = ("numpy", "numba", "opencv-contrib-python-headless")


def prepared_arrays(name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `make` returns, from the disk where an earlier process left them; `name` must tell them apart.

    Where they cannot be written, they are made in every process.
    """
    key = _key()
    if key is None:
        return make()
    path = local_path("scratch", ".facerec/scratch") / "synthfaces" / key / f"{name}.npz"
    kept = _read_arrays(path)
    if kept is not None:
        return kept
    made = make()
    with suppress(OSError, FacerecError):
        if not path.parent.exists():
            remove_old_folders(path.parent.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path, lasting=False) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **made)
    return made


def _read_arrays(path: Path) -> Arrays | None:
    """The arrays in the file; None where it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}  # reads them whole, so zip's checksums are compared
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


@cache
def _key() -> str | None:
    """Digest of the code and libraries; None where the arrays are not to be kept."""
    if describe_arithmetic() != PORTABLE:
        return None
    try:
        files = metadata.distribution("anny").read_text("RECORD")  # the digest of each of its files
        versions = [f"{library} {metadata.version(library)}" for library in _LIBRARIES]
    except metadata.PackageNotFoundError:
        return None
    if files is None:
        return None
    sources = [source.read_text(encoding="utf-8") for source in sorted(Path(__file__).parent.glob("*.py"))]
    return sha256_of_bytes("\0".join([files, *versions, *sources]).encode())[:32]
