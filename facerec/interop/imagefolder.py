"""Image folders of Hugging Face's `datasets`: images, and metadata.csv or metadata.jsonl that says more of each.

A row of the metadata names its image by `file_name`, seen from the folder of the metadata; `identity` or `label` is who
is shown. https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from facerec.core import FormatError, parse_json
from facerec.interop.file_sources import FileSource, open_source

METADATA = ("metadata.csv", "metadata.jsonl")
_NAMES = ("identity", "label")
"""Columns that say who is shown, the first that is there."""


def read_set(path: Path) -> tuple[list[str], Iterator[dict[str, Any]], dict[str, str]]:
    """Identities and images of a folder or archive, in the order of its metadata."""
    with open_source(path) as files:
        rows = list(_listed(files, path))
    return [identity for _, identity, _ in rows], _images(path, rows), {}


def _images(path: Path, rows: list[tuple[str, str, str]]) -> Iterator[dict[str, Any]]:
    with open_source(path) as files:
        for name, _, source in rows:
            yield {"image": files.read(name), "source": source}


def _listed(files: FileSource, path: Path) -> Iterator[tuple[str, str, str]]:
    """Name of the file, identity and source of every image."""
    present = set(files.names)
    found = [name for name in files.names if PurePosixPath(name).name in METADATA]
    if not found:
        raise FormatError(
            f"{path} has neither {' nor '.join(METADATA)}; where folders are the labels, import it without --format."
        )
    for name in found:
        where, folder = f"{path}, {name}", PurePosixPath(name).parent
        for row in _rows(files.read(name), name, where):
            image = str(folder / str(row.get("file_name", "")))
            if image not in present:
                raise FormatError(f"{where} names {row.get('file_name')!r}, which is not there.")
            identity = next((row[key] for key in _NAMES if row.get(key) not in (None, "")), "")
            yield image, "" if str(identity) == "-1" else str(identity), str(row.get("source") or image)


def _rows(content: bytes, name: str, where: str) -> Iterator[dict[str, Any]]:
    try:
        text = content.decode("utf-8-sig")
        if name.endswith(".csv"):
            yield from csv.DictReader(io.StringIO(text, newline=""), strict=True)
            return
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{where} is damaged: {error}.") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = parse_json(line, f"{where}, line {number}")
            if not isinstance(row, dict):
                raise FormatError(f"{where}, line {number}: expected an object, found {line[:80]!r}.")
            yield row


def write_set(rows: Iterable[dict[str, Any]], folder: Path, pairs: list[tuple[int, int, bool]]) -> None:
    """Write images/NAME and metadata.jsonl; pairs have no place in this format."""
    (folder / "images").mkdir()
    with (folder / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as lines:
        for row in rows:
            name = f"images/{row['name']}"
            (folder / name).write_bytes(row["image"])
            known = {"file_name": name, **{key: row[key] for key in ("label", "identity", "source")}}
            lines.write(json.dumps(known, ensure_ascii=False) + "\n")
