"""Sets of images as other systems keep them: photo folders and lists, WebDataset, Hugging Face's folders and tables, LFW.

    import_set("faces.tar", "data/faces", "webdataset", aligned=True)
    export_set("data/faces", "out", "parquet")

A format is a module with `read_set`, which lists identities and images, and `write_set`; a new one is such a module and
its name in `FORMATS`. Encoded images pass through untouched. Labels are 0..n-1 by sorted name of the identity, names
that are all numbers by their value; "" is nobody known and gets -1.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from facerec.core import FormatError, ParamsError, atomic_dir, track
from facerec.interop import exporting, ingest, photo_lists, photos, unpacking
from facerec.store import shard_writing, shards

FORMATS = {
    "webdataset": "tars of WebDataset (0001.jpg, 0001.cls, 0001.json)",
    "imagefolder": "images with metadata.csv or metadata.jsonl, of Hugging Face's datasets",
    "parquet": "tables with images in them, of Hugging Face's datasets",
    "lfw": "LFW as CVAT and Datumaro write it (images/, pairs.txt, landmarks.txt)",
}
"""Name -> what it is."""


def import_set(source: Path, out: Path, form: str, aligned: bool = False) -> dict[str, int]:
    """Write the images of `source`, a file or folder in the format `form`, as shards into `out`, which is replaced whole.

    With `aligned` they are aligned faces of one usual size, else photos. Returns the number of images and identities;
    raises FormatError where `source` is damaged or of another format.
    """
    identities, images, texts = _module(form).read_set(source)
    if not identities:
        raise FormatError(f"{source} holds no images in the form {form}: {FORMATS[form]}.")
    rows = _numbered(identities, track(images, f"import {source.name}", len(identities), "images"))
    with atomic_dir(out) as folder:
        first = next(rows)
        meta = unpacking.meta_of(source, source.stem, first["image"], unpacking.Expected(photos=not aligned))
        shard_writing.write_parts(unpacking.checked_rows(chain([first], rows), source, meta), folder, meta)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    return _counts(out)


def import_photos(source: Path, out: Path, list_file: Path | None = None, labelled: bool = True) -> dict[str, int]:
    """Write the photos of a folder or archive as shards; a photo's folder is its identity unless a list says it."""
    if list_file is None:
        opened = photos.open_photos(source, labelled)
    else:
        opened = photos.open_listed(source, photo_lists.read_labels(list_file))
    with opened as listed, atomic_dir(out) as folder:
        ingest.write_photos(listed, folder, shards.Meta("photos", source.stem), source.name)
    return _counts(out, "photos")


def export_set(source: Path, out: Path, form: str, limit: int | None = None) -> dict[str, int]:
    """Write the set of shards `source`, or its first `limit` images, in the format `form` into the folder `out`."""
    module, opened = _module(form), shards.read_shards(source)
    count = len(opened) if limit is None else min(limit, len(opened))
    with atomic_dir(out) as folder:
        module.write_set(
            track(_named(opened, count), "export", count, "images"), folder, exporting.pairs_beside(opened)
        )
    return {"images": count}


def _module(form: str) -> Any:
    if form not in FORMATS:
        raise ParamsError(f"No format {form!r}; use {', '.join(FORMATS)}.")
    return pkgutil.resolve_name(f"facerec.interop.{form}")


def _numbered(identities: list[str], images: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of shards: images with the identity of the same place and its label."""
    numeric = all(name.isdecimal() and len(name) < 19 for name in identities if name)
    labels = photos.number_names(identities, int if numeric else str)
    for identity, label, image in zip(identities, labels, images, strict=True):
        yield {**image, "identity": identity, "label": label}


def _named(opened: shards.Shards, count: int) -> Iterator[dict[str, Any]]:
    """Rows with a file name of their own, safe on every system."""
    for row in range(count):
        found = opened.row(row)
        suffix = exporting.image_suffix(found["image"]) or ".dat"
        landmarks = found["landmarks"] if opened.meta.kind == "photos" else None  # those of a face are of its photo
        yield {**found, "image": bytes(found["image"]), "name": f"{row:08d}{suffix}", "landmarks": landmarks}


def _counts(out: Path, what: str = "images") -> dict[str, int]:
    made = shards.read_shards(out)
    return {what: len(made), "identities": made.classes}
