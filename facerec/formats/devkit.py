"""Matrices of the MegaFace devkit: feature files and score files.

A file is int32[4] (rows, columns, bytes a row, type) and then the numbers, row after row; type 5 is
float32, 6 is float64, all little-endian. A feature is a column: (d, 1, 4, 5). The feature of a photo lies
at `<photo path with extension>_<algorithm>.bin`, below facescrub/ or megaface/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FormatError
from facerec.files import atomic_file
from facerec.progress import track

_TYPES: dict[int, np.dtype[Any]] = {5: np.dtype("<f4"), 6: np.dtype("<f8")}
_HEADER = 16


def read_matrix(path: str | Path) -> NDArray[Any]:
    """(rows, columns) float32 or float64; FormatError when header and file size disagree."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read the matrix {path}: {error.strerror}.") from error
    if len(data) < _HEADER:
        raise FormatError(f"{path} is no devkit matrix: it has {len(data)} bytes.")
    rows, columns, stride, kind = (int(value) for value in np.frombuffer(data, "<i4", 4))
    dtype = _TYPES.get(kind)
    if dtype is None or min(rows, columns) < 0 or stride != columns * dtype.itemsize:
        raise FormatError(f"{path} is no devkit matrix: its header is {rows}, {columns}, {stride}, {kind}.")
    if len(data) != _HEADER + rows * stride:
        raise FormatError(f"{path} promises {rows} x {columns} numbers but has {len(data)} bytes.")
    return np.frombuffer(data, dtype, rows * columns, _HEADER).reshape(rows, columns)


def write_matrix(matrix: NDArray[Any], path: str | Path) -> None:
    """Write a (rows, columns) array of float32 or float64."""
    kinds = [kind for kind, dtype in _TYPES.items() if matrix.dtype == dtype]
    if not kinds or matrix.ndim != 2:
        raise FormatError(f"a devkit matrix is 2-d float32 or float64, not {matrix.ndim}-d {matrix.dtype}.")
    rows, columns = matrix.shape
    dtype = _TYPES[kinds[0]]
    header = np.array([rows, columns, columns * dtype.itemsize, kinds[0]], "<i4")
    with atomic_file(path) as temporary:
        temporary.write_bytes(header.tobytes() + matrix.astype(dtype, copy=False).tobytes())


def read_features(folder: str | Path, photos: Sequence[str], algorithm: str) -> NDArray[np.float32]:
    """(n, d) float32: the feature of every photo, in order; `photos` are paths below `folder`."""
    features = [
        read_matrix(_feature_path(Path(folder), photo, algorithm)).ravel()
        for photo in track(photos, "read features", unit="features")
    ]
    lengths = {len(feature) for feature in features}
    if len(lengths) > 1:
        raise FormatError(f"the features below {folder} have different lengths: {sorted(lengths)}.")
    return np.stack(features).astype(np.float32) if features else np.empty((0, 0), np.float32)


def write_features(
    folder: str | Path, photos: Iterable[str], features: NDArray[np.floating[Any]], algorithm: str
) -> None:
    """Write row i of (n, d) `features` as the feature file of photo i; they should be L2-normalised."""
    columns = np.asarray(features, np.float32)[:, :, None]
    for photo, column in zip(track(photos, "write features", unit="features"), columns, strict=True):
        write_matrix(column, _feature_path(Path(folder), photo, algorithm))


def _feature_path(folder: Path, photo: str, algorithm: str) -> Path:
    path = PurePosixPath(photo)
    if path.is_absolute() or ".." in path.parts:
        raise FormatError(f"the photo {photo!r} has no safe path below {folder}.")
    return folder / f"{path}_{algorithm}.bin"
