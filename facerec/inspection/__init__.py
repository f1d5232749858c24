"""`inspect` says of any file or folder what it is and what it holds, by its content wherever that is possible.

    >>> inspect("lfw").facts["counts"]
    {'photos': 13233, 'identities': 5749, 'pairs': 6000}

Every reader describes its own format as a `facerec.core.Description`; a new one needs a line in the lists below.
Nothing found in a file is run or unpacked.
"""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import Album, Description, FormatError, ImageError, parse_json, spread_of
from facerec.imaging.images import decode, read_header
from facerec.interop.file_sources import is_archive, open_source

KNOWN = (
    "folders and archives of photos, photo and face shards, packs (train.rec, *.bin, bcolz), devkit matrices and "
    "folders of them, pairs and lists of every kind, devkit results, embeddings, galleries, tables of detections, "
    "weights (.pt, .pth, .safetensors, .onnx), published models, images and names of the catalog"
)
"""The kinds that `inspect` knows, for messages."""
HEADERS = 200
"""Images of a set whose headers are read."""
PICTURES = 48
"""Images of a set that are decoded, for the contact sheet and the colours."""
_PEOPLE = 12  # identities those images are spread over, as far as there are so many with several images
_MOST = 0.9  # share of faces that must agree before their colours are said to be right or swapped
_LARGEST_IMAGE, _LARGEST_TEXT = 256 << 20, 1 << 30  # bytes of what is read whole

# Readers that describe a path, as module:function below facerec; the first that knows it is taken.
_FOLDERS = (
    "store.shard_description:describe_shards",
    "interop.bcolz:describe_bcolz",
    "store.embeddings:describe_feature_sets",
    "store.shard_description:describe_shard_sets",
    "interop.devkit:describe_feature_folder",
    "interop.unpacking:describe_pack",
    "backbones.model_folders:describe_model_folder",
    "inspection.weights:describe_folder",
)
_FILES = (
    "inspection.weights:describe_weights",
    "interop.recordio:describe_rec",
    "store.shard_description:describe_part",
    "store.gallery:describe_gallery",
    "store.pairs:describe_pair_table",
    "detection.reading:describe_detections",
    "store.tables:describe_table",
    "store.embeddings:describe_embeddings",
    "store.tables:describe_array",
    "interop.verification_packs:describe_bin",
    "interop.devkit:describe_matrix",
    "inspection:describe_image",
)
_TEXTS = (
    "interop.recordio:describe_property",
    "interop.pair_lists:describe_pair_list",
    "interop.photo_lists:describe_photo_list",
)
_JSON = ("interop.photo_lists:describe_feature_list", "interop.devkit:describe_result")

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Finding:
    """The answer of `inspect`.

    Attributes:
        kind: what it is, in a few words.
        facts: plain values for people and JSON.
        pictures: some of its images, RGB (h, w, 3).
        names: their names.
    """

    kind: str
    facts: dict[str, Any]
    pictures: list[Image] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def inspect(what: str | Path) -> Finding:
    """Say what the file or folder `what` is, or the catalog's entry when nothing on disk has that name.

    Raises FormatError when there is nothing of that name, it is damaged, or none of `KNOWN`.
    """
    path = Path(what)
    if not path.exists():
        if entry := _first(("catalog.entries:describe_entry",), str(what)):
            return Finding(entry.kind, entry.facts)
        raise FormatError(f"there is no {what}, neither on disk nor in the catalog.")
    if not path.is_dir() and not path.is_file():
        raise FormatError(f"{path} is neither a file nor a folder.")
    if path.is_file() and not path.stat().st_size:
        raise FormatError(f"{path} is empty.")
    found = _first(_FOLDERS if path.is_dir() else _FILES, path)
    if found is None and (path.is_dir() or is_archive(path)):
        with open_source(path) as files:
            if photos := _first(("interop.photos:describe_photos",), path, files):
                return _finding(path, photos)
    found = found or _text(path)
    if found is None:
        raise FormatError(f"{path} is none of what inspect knows: {KNOWN}.")
    return _finding(path, found)


def _first(describers: Iterable[str], *what: Any) -> Description | None:
    """The description by the first reader that knows `what`."""
    found = (pkgutil.resolve_name(f"facerec.{each}")(*what) for each in describers)
    return next((each for each in found if each is not None), None)


def describe_image(path: Path) -> Description | None:
    """One image."""
    if path.stat().st_size > _LARGEST_IMAGE:
        return None
    data = path.read_bytes()
    try:
        header = read_header(data)
    except ImageError:
        return None
    facts = {"format": header.format, "size": f"{header.height}x{header.width}", "bytes": len(data)}
    return Description("image", facts, shown=[(path.name, data)])


def _text(path: Path) -> Description | None:
    if path.stat().st_size > _LARGEST_TEXT:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or "\0" in text:
        return None
    found = _json(path, text) if lines[0][0] in "{[" else _first(_TEXTS, path, lines)
    return found and Description(found.kind, {**found.facts, "bytes": path.stat().st_size})


def _json(path: Path, text: str) -> Description:
    value = parse_json(text, str(path))
    keys = [str(key) for key in value][:5] if isinstance(value, dict) else []
    other = Description("JSON of no known kind", {"items": len(value), "names": keys})
    return _first(_JSON, path, value) or other


def _finding(path: Path, found: Description) -> Finding:
    """The description with what counting its images and looking at some of them tells."""
    facts = {key: value for key, value in found.facts.items() if value is not None}
    if found.album is None:
        shown = found.shown[:PICTURES]
        try:
            pictures = [decode(image) for _, image in shown]
        except ImageError as error:
            raise FormatError(f"{path}: {error}") from error
        return Finding(found.kind, facts, pictures, [name for name, _ in shown])
    album = found.album
    decoded = {row: picture for row in _chosen(album) if (picture := _picture(album, row)) is not None}
    facts |= {**_counted(album.labels), **_sampled(album)}
    if album.aligned and decoded:
        facts["colour_check"] = _colours(list(decoded.values()))
    facts["names"] = [album.sources[row] for row in _spread(len(album.labels), 5)]
    return Finding(found.kind, facts, list(decoded.values()), [album.sources[row] for row in decoded])


def _counted(labels: NDArray[np.int64]) -> dict[str, Any]:
    people, counts = np.unique(labels[labels >= 0], return_counts=True)
    facts: dict[str, Any] = {"images": len(labels), "identities": len(people) or "unknown"}
    if len(people):
        facts["images_per_identity"] = spread_of(counts)
        facts["labels"] = {"min": int(people[0]), "max": int(people[-1])}
        unknown = len(labels) - int(counts.sum())
        facts |= {"images_without_identity": unknown} if unknown else {}
    return facts


def _sampled(album: Album) -> dict[str, Any]:
    """Sizes and formats by the headers of images all over the set."""
    sizes, formats, unreadable = Counter[str](), Counter[str](), 0
    rows = _spread(len(album.labels), HEADERS)
    for row in rows:
        try:
            header = read_header(album.read(row))
        except ImageError:
            unreadable += 1
            continue
        sizes[f"{header.height}x{header.width}"] += 1
        formats[header.format] += 1
    facts: dict[str, Any] = {"sampled": len(rows), "sizes": dict(sizes.most_common(5))}
    facts |= {"other_sizes": len(sizes) - 5} if len(sizes) > 5 else {}
    facts["formats"] = dict(formats.most_common())
    return {**facts, "unreadable": unreadable} if unreadable else facts


def _picture(album: Album, row: int) -> Image | None:
    try:
        return decode(album.read(row))
    except ImageError:
        return None


def _chosen(album: Album) -> list[int]:
    """Rows of the pictures: a few of each of some identities, else some pairs, else anything."""
    if album.paired:
        shown = _spread(len(album.labels) // 2, PICTURES // 2)
        return [row for pair in shown for row in (2 * pair, 2 * pair + 1)]
    order = np.argsort(album.labels, kind="stable")
    order = order[album.labels[order] >= 0]
    groups = np.split(order, np.flatnonzero(np.diff(album.labels[order])) + 1) if len(order) else []
    several = [group for group in groups if len(group) > 1]
    groups = several if len(several) >= _PEOPLE else groups
    if not groups:
        return _spread(len(album.labels), PICTURES)
    people = _spread(len(groups), _PEOPLE)
    each = PICTURES // len(people)
    return [int(groups[who][place]) for who in people for place in _spread(len(groups[who]), each)]


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` numbers spread evenly over 0..count-1."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, wanted)).round()]


def _colours(faces: list[Image]) -> str:
    """Whether red or blue is stronger amid the faces: skin of every shade reflects more red."""
    redder = bluer = 0
    for face in faces:
        height, width = face.shape[:2]
        middle = face[height // 4 : height - height // 4, width // 4 : width - width // 4]
        red, _, blue = middle.reshape(-1, 3).mean(axis=0)
        redder, bluer = redder + int(red > blue + 1), bluer + int(blue > red + 1)
    counted = f"amid {len(faces)} faces red is stronger in {redder}, blue in {bluer}"
    if redder >= _MOST * len(faces):
        return f"{counted}: as skin in RGB"
    if bluer >= _MOST * len(faces):
        return f"{counted}: red and blue may be swapped (BGR saved as RGB)"
    return f"{counted}: it cannot be told"
