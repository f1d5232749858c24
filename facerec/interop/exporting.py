"""Photo and face shards to files: identity folders, and if wanted a list file of "path label" lines.

An image lies at <identity>/<name of its source>; where nobody knows the identity, at the path of its source.
Its bytes are those of the set, untouched, and its extension says what they are. Names are made safe by
`naming`; files are written folder by folder, so that memory stays small for millions of images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from facerec.core import ImageError, atomic_dir, track
from facerec.imaging import images
from facerec.interop import naming
from facerec.store import shards

LIST = "list.txt"


def export_images(
    source: str | Path, out: str | Path, list_file: bool = False, limit: int | None = None
) -> dict[str, int]:
    """Write the images of the set `source`, or its first `limit`, as files below `out`, replaced whole.

    `list_file` adds `out`/list.txt, a line "path label" an image in the order of the folders, label -1 where
    unknown; names then hold no white space, which would end the path. Returns how many images and folders.
    """
    opened = shards.read_shards(source)
    count = len(opened) if limit is None else min(limit, len(opened))
    folders, numbers = _folders(opened, count, list_file)
    with atomic_dir(out) as root:
        listed = root / LIST if list_file else Path(os.devnull)
        with listed.open("w", encoding="utf-8", newline="\n") as lines:
            for folder, rows in track(_by_folder(numbers), "export", len(folders), unit="folders"):
                _write(opened, rows, root, folders[folder], lines, list_file)
    return {"images": count, "folders": len(folders)}


def _write(
    opened: shards.Shards, rows: NDArray[np.int64], root: Path, folder: str, lines: TextIO, spaceless: bool
) -> None:
    """Write the images `rows` into one folder."""
    taken = naming.Taken()
    (root / folder).mkdir(parents=True, exist_ok=True)
    sources = opened.table["source"].take(rows).to_pylist()
    for row, source in zip(rows.tolist(), sources, strict=True):
        image = opened.image(row)
        name = PurePosixPath(source).name
        plain = naming.safe_file(_joined(name) if spaceless else name, _suffix(image))
        path = PurePosixPath(folder, taken.claim(plain))
        (root / path).write_bytes(image)
        lines.write(f"{path} {opened.labels[row]}\n")


def _folders(opened: shards.Shards, count: int, spaceless: bool) -> tuple[list[str], NDArray[np.int64]]:
    """Folders in the order of their first image, and the number of the folder of each image."""
    places: dict[tuple[str, ...], int] = {}
    folders: list[str] = []
    taken = naming.Taken()
    taken.claim(LIST)
    numbers = np.empty(count, np.int64)
    for row, (identity, source) in enumerate(_names(opened, count)):
        parts = PurePosixPath(source).parent.parts
        wanted = (
            (identity,) if identity else ("", *(naming.name_key(_safe(part, spaceless)) for part in parts))
        )
        if wanted not in places:
            places[wanted] = len(folders)
            path = "/".join(_safe(part, spaceless) for part in ((identity,) if identity else parts))
            folders.append(taken.claim(path) if path else "")
        numbers[row] = places[wanted]
    return folders, numbers


def _names(opened: shards.Shards, count: int) -> Iterator[tuple[str, str]]:
    """(identity, source) of the first `count` images."""
    table = opened.table.select(["identity", "source"]).slice(0, count)
    for batch in table.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _by_folder(numbers: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(folder, rows of its images) for every folder."""
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    for rows in np.split(order, cuts) if len(order) else []:
        yield int(numbers[rows[0]]), rows


def _safe(part: str, spaceless: bool) -> str:
    return naming.safe_folder(_joined(part) if spaceless else part)


def _joined(name: str) -> str:
    """`name` without white space."""
    return "_".join(name.split()) if any(letter.isspace() for letter in name) else name


def _suffix(image: memoryview) -> str:
    """Extension the content belongs to; "" where it is no image, which then keeps its own."""
    try:
        return images.read_header(image).suffix
    except ImageError:
        return ""
