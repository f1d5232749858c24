"""What a binary file is: RecordIO, verification pack, devkit matrix, embeddings, Parquet table, archive, image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facerec.core import FormatError, ImageError
from facerec.imaging import images
from facerec.imaging.images import read_header
from facerec.inspection.finding import PICTURES, Album, Finding, size_of, spread_of
from facerec.interop import bcolz, devkit, packs, recordio, unpacking
from facerec.store import embeddings, gallery, npy, pairs, training_sets

_REC = b"\x0a\x23\xd7\xce"
_ARROW = b"ARROW1"
_PARQUET = b"PAR1"
_NUMPY = b"\x93NUMPY"
_LARGEST = 256 << 20
"""Bytes of a file that may be one image."""
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"((", b"(l", b"(c")
"""How pickled tuples and lists begin, by protocol."""


def recognise(path: Path) -> Finding | None:
    """What the file `path` is by its first bytes; None when it may be text."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_REC):
        return rec(path)
    if head.startswith(_ARROW):
        raise FormatError(f"{path} is one part of a set of shards; inspect its folder {path.parent}.")
    if head.startswith(_PARQUET):
        return _parquet(path)
    if head.startswith(_NUMPY):
        return _array(path)
    if head.startswith(_PICKLES) and path.suffix in (".bin", ".pkl", ".pickle"):
        return verification(path)
    if is_matrix(path):
        return _matrix(path)
    return _image(path)


def member(path: Path) -> Finding:
    """A member of a pack."""
    if path.is_dir():
        return bcolz_folder(path)
    return rec(path) if path.suffix == ".rec" else verification(path)


def rec(path: Path) -> Finding:
    """A .rec with its index and `property`, where they are."""
    reader = recordio.RecordReader(path)
    keys = reader.image_keys()
    numbers = np.array([reader.number(int(key)) for key in keys], np.int64)
    facts: dict[str, Any] = {"records": len(reader), "header_record": len(keys) < len(reader)}
    facts["index"] = path.with_suffix(".idx").is_file()
    facts |= {"note": reader.index_note} if reader.index_note else {}
    declared = path.with_name("property")
    if declared.is_file():
        identities, size = recordio.read_property(declared)
        facts["property"] = f"{identities} identities, {size[0]}x{size[1]}"
    sources = [f"{path.stem}/{key:08d}" for key in keys]
    album = Album(lambda row: reader[int(keys[row])].image, numbers, sources, aligned=True)
    return album.finding("RecordIO file", **facts, colour="RGB once decoded", bytes=size_of(path))


def verification(path: Path) -> Finding:
    """A verification pack (.bin)."""
    encoded, same = packs.read_bin(path)
    return _pairs_album(path, encoded, same).finding(
        "verification pack", **_shares(same), bytes=size_of(path)
    )


def bcolz_folder(path: Path) -> Finding:
    """A verification pack as a bcolz folder."""
    opened = bcolz.read_bcolz(path)
    facts: dict[str, Any] = {**_shares(opened.same), "stored_as": "float32 pixels, taken for BGR"}
    facts |= {"note": opened.note} if opened.note else {}
    encoded: dict[int, bytes] = {}
    album = _pairs_album(path, encoded, opened.same)
    wanted = album.rows()
    for row, image in enumerate(image for chunk in opened.chunks() for image in chunk):
        if row in wanted:
            encoded[row] = unpacking.png(image)
    return album.finding("bcolz folder", **facts, bytes=size_of(path))


def is_matrix(path: Path) -> bool:
    """Whether the file begins as a matrix of the devkit and has the size it promises."""
    with path.open("rb") as file:
        header = np.frombuffer(file.read(16).ljust(16, b"\0"), "<i4").astype(np.int64)
    rows, _, stride, kind = header.tolist()
    return kind in (5, 6) and stride > 0 and rows > 0


def _pairs_album(
    path: Path, encoded: Sequence[bytes] | Mapping[int, bytes], same: NDArray[np.bool_]
) -> Album:
    sources = [f"{path.stem}/{row:06d}" for row in range(2 * len(same))]
    unknown = np.full(len(sources), -1, np.int64)
    return Album(lambda row: encoded[row], unknown, sources, aligned=True, paired=True)


def _shares(same: NDArray[np.bool_]) -> dict[str, Any]:
    return {"pairs": len(same), "same": int(same.sum()), "different": int((~same).sum())}


def _matrix(path: Path) -> Finding:
    matrix = devkit.read_matrix(path)
    kind = "devkit feature" if matrix.shape[1] == 1 else "devkit matrix"
    norm = float(np.linalg.norm(matrix.astype(np.float64))) if matrix.shape[1] == 1 else None
    facts: dict[str, Any] = {"shape": list(matrix.shape), "type": str(matrix.dtype), "bytes": size_of(path)}
    return Finding(kind, {**facts, "norm": norm} if norm is not None else {**facts, **_range(matrix)})


def _array(path: Path) -> Finding:
    """A .npy file: embeddings with their table, or any array."""
    if path.with_suffix(".parquet").is_file():
        return _embeddings(path)
    array = npy.read_npy(path)
    facts: dict[str, Any] = {"shape": list(array.shape), "type": str(array.dtype), "bytes": size_of(path)}
    if array.dtype == bool and array.ndim == 1:
        return Finding("list of which pairs are the same person", {**facts, **_shares(array)})
    return Finding("array without a table of its rows", {**facts, **_range(array)})


def _embeddings(path: Path) -> Finding:
    read = embeddings.read_embeddings(path)
    norms = np.linalg.norm(read.matrix.astype(np.float64), axis=1)
    finite = np.isfinite(norms)
    _, counts = np.unique([each for each in read.identities if each], return_counts=True)
    facts: dict[str, Any] = {"embeddings": len(read), "dimensions": read.matrix.shape[1]}
    if not finite.all():
        facts["without_face"] = int((~finite).sum())
    facts["norms"] = spread_of(norms[finite])
    facts["identities"] = len(counts) or "unknown"
    if len(counts):
        facts["images_per_identity"] = spread_of(counts)
    return Finding("embeddings", {**facts, "bytes": size_of(path), "names": read.sources[:5]})


def _range(array: NDArray[Any]) -> dict[str, Any]:
    if not array.size or array.dtype.kind not in "iuf":
        return {}
    if not np.isfinite(array).all():
        return {"finite": False}
    return {"min": float(array.min()), "max": float(array.max())}


def _parquet(path: Path) -> Finding:
    """A gallery, or a table of pairs, detections, failures, or of the rows of embeddings."""
    try:
        names = pq.read_schema(path).names
        rows = pq.read_metadata(path).num_rows
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(f"{path} is a damaged Parquet table ({reason}).") from error
    size = size_of(path)
    if gallery.COLUMNS.issubset(names):
        return _gallery(path)
    if {"first", "second", "same"} <= set(names):
        found = pairs.read_pairs(path, range(np.iinfo(np.int64).max))  # type: ignore[arg-type]  # only its length is used
        missing = int(((found.first < 0) | (found.second < 0)).sum())
        return Finding("table of pairs", {**_shares(found.same), "without_face": missing, "bytes": size})
    if {"photo", "face", "box"} <= set(names):
        from facerec.detection import table

        detections = table.read_detections(path)
        return Finding(
            "table of detections",
            {**asdict(detections.counts()), "bytes": size, "names": detections.sources[:5]},
        )
    kind = "table of photos without a face" if "reason" in names else "table"
    beside = "rows of embeddings" if path.with_suffix(".npy").is_file() else kind
    return Finding(beside, {"rows": rows, "columns": names, "bytes": size})


def _gallery(path: Path) -> Finding:
    """Whom a gallery holds, with the faces it keeps."""
    found = gallery.read_gallery(path)
    kept = [entry for entry in found.entries if entry.face is not None]
    facts = {
        "people": found.people,
        "photos": len(found),
        "dimensions": found.model.dim,
        "model": found.model.digest,
        "trained_on": training_sets.words(found.model.trained_on),
        "rungs": dict(Counter(entry.rung for entry in found.entries)),
        "faces_kept": len(kept),
        "bytes": size_of(path),
    }
    shown = kept[:PICTURES]
    pictures = [images.decode(entry.face) for entry in shown if entry.face is not None]
    return Finding("gallery", facts, pictures, [entry.source for entry in shown])


def _image(path: Path) -> Finding | None:
    """One image; None when its bytes are none of any known format."""
    if path.stat().st_size > _LARGEST:
        return None
    data = path.read_bytes()
    try:
        header = read_header(data)
    except ImageError:
        return None
    try:
        picture = images.decode(data)
    except ImageError as error:
        raise FormatError(f"{path}: {error}") from error
    facts = {"format": header.format, "size": f"{header.height}x{header.width}", "bytes": len(data)}
    return Finding("image", facts, [picture], [path.name])
