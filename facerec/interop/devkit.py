"""Files of the MegaFace devkit: feature files, whole folders of them, score files, and its results.

A file is int32[4] (rows, columns, bytes a row, type) and then the numbers, row after row; type 5 is
float32, 6 is float64, all little-endian. A feature is a column: (d, 1, 4, 5). The feature of a photo lies
at `<photo path with extension>_<algorithm>.bin`, below facescrub/ or megaface/.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import Description, FormatError, atomic_file, range_of, size_of, track

_TYPES: dict[int, np.dtype[Any]] = {5: np.dtype("<f4"), 6: np.dtype("<f8")}
_HEADER = 16
_MAPPED = 1 << 24  # bytes from which a matrix is mapped instead of read
_BLOCK = 1 << 22  # numbers that are written at a time
_NAMED = 3
_EXTENSIONS = {".jpg", ".jpeg", ".png", ".gif", ".bmp"}


def read_matrix(path: str | Path) -> NDArray[Any]:
    """Read a (rows, columns) matrix of float32 or float64, read-only, large ones mapped into memory.

    Raises FormatError when header and file size disagree.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            data = file.read(_HEADER if size >= _MAPPED else size)
    except OSError as error:
        raise FormatError(f"cannot read the matrix {path}: {error.strerror}.") from error
    rows, columns, dtype = _shape(data, size, path)
    if size >= _MAPPED:
        return np.memmap(path, dtype, "r", _HEADER, (rows, columns))
    return np.frombuffer(data, dtype, rows * columns, _HEADER).reshape(rows, columns)


def write_matrix(matrix: NDArray[Any], path: str | Path) -> None:
    """Write a (rows, columns) array of float32 or float64."""
    kinds = [kind for kind, dtype in _TYPES.items() if matrix.dtype == dtype]
    if not kinds or matrix.ndim != 2:
        raise FormatError(f"a devkit matrix is 2-d float32 or float64, not {matrix.ndim}-d {matrix.dtype}.")
    rows, columns = matrix.shape
    dtype = _TYPES[kinds[0]]
    if max(rows, columns * dtype.itemsize) >= 1 << 31:
        raise FormatError(f"{path}: a devkit matrix cannot be as large as {rows} x {columns}.")
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(np.array([rows, columns, columns * dtype.itemsize, kinds[0]], "<i4").tobytes())
        step = max(1, _BLOCK // max(1, columns))
        for start in range(0, rows, step):
            file.write(np.ascontiguousarray(matrix[start : start + step], dtype).data)


def read_devkit_features(
    folder: str | Path, photos: Sequence[str], algorithm: str, out: str | Path | None = None
) -> NDArray[np.float32]:
    """Read the features of all photos, (n, d) float32 in their order; `photos` are paths below `folder`.

    Where a photo has no file by its own name, names with underscores for spaces and with any extension of an image
    are tried, as systems that crop or convert the photos use them. With `out` (.npy) the matrix is written there and
    comes back mapped into memory. Raises one FormatError for all files that are missing, damaged, of another length
    or found twice.
    """
    found: NDArray[np.float32] | None = None
    wrong: list[str] = []
    with ExitStack() as stack:
        place = None if out is None else stack.enter_context(atomic_file(out))
        features = track(_features(Path(folder), photos, algorithm), "read features", len(photos), unit="features")
        for row, feature in enumerate(features):
            if isinstance(feature, str):
                wrong.append(feature)
                continue
            if found is None:
                found = create_matrix((len(photos), len(feature)), place)
            if len(feature) != found.shape[1]:
                wrong.append(f"{photos[row]} has {len(feature)} numbers, others {found.shape[1]}")
                continue
            found[row] = feature
        if wrong:
            raise FormatError(_wrong(folder, algorithm, wrong, len(photos)))
        if found is None:
            found = create_matrix((0, 0), place)
        if isinstance(found, np.memmap):
            found.flush()
    return found if out is None else np.load(out, mmap_mode="r")


def write_devkit_features(
    folder: str | Path, photos: Sequence[str], features: NDArray[np.floating[Any]], algorithm: str
) -> None:
    """Write row i of (n, d) `features` as the feature file of photo i, float64 if they are, else float32.

    They should be L2-normalised. Raises FormatError where a path leaves `folder` or two photos share a file.
    """
    paths = [_feature_path(Path(folder), photo, algorithm) for photo in photos]
    if features.ndim != 2 or len(features) != len(paths):
        raise FormatError(f"features of shape {features.shape} do not fit {len(paths)} photos.")
    if len(set(paths)) < len(paths):
        raise FormatError(f"some of the {len(paths)} photos for {folder} have one name; each needs its own.")
    dtype = np.float64 if features.dtype == np.float64 else np.float32
    for path, feature in zip(track(paths, "write features", unit="features"), features, strict=True):
        write_matrix(np.asarray(feature, dtype)[:, None], path)


def describe_matrix(path: Path) -> Description | None:
    """A feature or score file."""
    if not _is_matrix(path):
        return None
    matrix = read_matrix(path)
    facts = {"shape": list(matrix.shape), "type": str(matrix.dtype), "bytes": size_of(path)}
    if matrix.shape[1] == 1:
        return Description("devkit feature", {**facts, "norm": _norm(matrix)})
    return Description("devkit matrix", {**facts, **range_of(matrix)})


def describe_feature_folder(path: Path) -> Description | None:
    """A folder with feature files at any depth."""
    files = sorted(each for each in path.rglob("*.bin") if each.is_file())
    if not files or not _is_matrix(files[0]):
        return None
    matrix = read_matrix(files[0])
    algorithms = Counter(each.stem.rpartition("_")[2] for each in files)
    facts = {
        "files": len(files),
        "shape": list(matrix.shape),
        "type": str(matrix.dtype),
        "algorithms": dict(algorithms.most_common(5)),
        "norm_of_the_first": _norm(matrix),
        "bytes": size_of(path),
        "names": [each.relative_to(path).as_posix() for each in files[:5]],
    }
    return Description("folder of devkit features", facts)


def describe_result(_: Path, value: Any) -> Description | None:
    """A result that the devkit writes as JSON: curves, or the matches of every probe."""
    if isinstance(value, dict) and {"cmc", "roc"} & value.keys():
        points = {name: len(value[name][0]) for name in ("cmc", "roc") if _is_curve(value.get(name))}
        ranks = {"rank1": value["cmc"][1][0]} if "cmc" in points and value["cmc"][0][:1] == [0] else {}
        return Description("result of the devkit: curves", {**ranks, "points": points})
    matches = value if isinstance(value, list) else []
    if matches and all(isinstance(each, dict) and "probes" in each for each in matches):
        return Description("result of the devkit: matches", {"probes": len(matches)})
    return None


def _is_curve(value: Any) -> bool:
    """Whether the value is two lists of one length, not empty."""
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(each, list) for each in value)
    return pair and 0 < len(value[0]) == len(value[1])


def _is_matrix(path: Path) -> bool:
    """Whether the file begins as a matrix; its size is not looked at."""
    with path.open("rb") as file:
        rows, _, stride, kind = np.frombuffer(file.read(_HEADER).ljust(_HEADER, b"\0"), "<i4").tolist()
    return kind in _TYPES and stride > 0 and rows > 0


def _norm(matrix: NDArray[Any]) -> float:
    return float(np.linalg.norm(matrix.astype(np.float64)))


def _shape(data: bytes, size: int, path: Path) -> tuple[int, int, np.dtype[Any]]:
    """Rows, columns and type of a matrix of `size` bytes that begins with `data`."""
    if len(data) < _HEADER:
        raise FormatError(f"{path} is no devkit matrix: it has {size} bytes.")
    rows, columns, stride, kind = (int(value) for value in np.frombuffer(data, "<i4", 4))
    dtype = _TYPES.get(kind)
    if dtype is None or min(rows, columns) < 0 or stride != columns * dtype.itemsize:
        raise FormatError(f"{path} is no devkit matrix: its header is {rows}, {columns}, {stride}, {kind}.")
    if size != _HEADER + rows * stride:
        raise FormatError(f"{path} promises {rows} x {columns} numbers but has {size} bytes.")
    return rows, columns, dtype


def _features(folder: Path, photos: Sequence[str], algorithm: str) -> Iterator[NDArray[Any] | str]:
    """The feature of each photo, or a text that says what is wrong with it."""
    find = _feature_finder(folder, algorithm)
    for photo in photos:
        try:
            feature = read_matrix(find(photo))
            finite = np.isfinite(feature).all()
            yield feature.ravel() if finite and 1 in feature.shape else f"{photo} is no column of numbers"
        except FormatError as error:
            yield str(error).rstrip(".")


def _wrong(folder: str | Path, algorithm: str, wrong: list[str], count: int) -> str:
    more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    named = "; ".join(wrong[:_NAMED])
    return f"{len(wrong)} of the {count} features of {algorithm!r} below {folder} cannot be used: {named}{more}."


def create_matrix(shape: tuple[int, int], place: Path | None) -> NDArray[np.float32]:
    """A new matrix in memory or in the file `place` (.npy), mapped; OSError where it does not fit the disk."""
    if place is None:
        return np.empty(shape, np.float32)
    matrix = np.lib.format.open_memmap(place, "w+", np.float32, shape)
    with place.open("r+b") as file:  # all of it now, or OSError: a mapped file on a full disk would end the process
        os.posix_fallocate(file.fileno(), 0, place.stat().st_size)
    return matrix


def _feature_finder(folder: Path, algorithm: str) -> Callable[[str], Path]:
    """A function that finds the feature file of a photo, by its own name or another spelling."""

    @lru_cache(maxsize=1)  # lists name the photos of a folder one after the other
    def listed(parent: Path) -> dict[str, list[Path]]:
        """Feature files of a folder by the plain names of their photos."""
        files: dict[str, list[Path]] = {}
        for place in sorted(parent.glob(f"*_{escape(algorithm)}.bin")):
            files.setdefault(_plain(place.name.removesuffix(f"_{algorithm}.bin")), []).append(place)
        return files

    def find(photo: str) -> Path:
        exact = _feature_path(folder, photo, algorithm)
        if exact.is_file():
            return exact
        name = exact.parent.name
        spelled = (name, name.replace(" ", "_"), name.replace("_", " "))
        for parent in (exact.parent.with_name(each) if each else exact.parent for each in dict.fromkeys(spelled)):
            found = listed(parent).get(_plain(PurePosixPath(photo).name), [])
            if len(found) == 1:
                return found[0]
            if found:
                raise FormatError(f"{photo} may be {found[0].name} or {found[1].name}")
        raise FormatError(f"{photo} has no file {exact.name}")

    return find


def _plain(name: str) -> str:
    """A photo's name without extension and spaces."""
    path = PurePosixPath(name)
    return (path.stem if path.suffix.lower() in _EXTENSIONS else name).replace(" ", "_")


def _feature_path(folder: Path, photo: str, algorithm: str) -> Path:
    path = PurePosixPath(photo)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in photo or "/" in algorithm:
        raise FormatError(f"the photo {photo!r} has no safe path below {folder}.")
    return folder / f"{path}_{algorithm}.bin"
