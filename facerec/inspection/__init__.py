"""Say of any file or folder what it is and what it holds: `inspect`, behind the command of that name.

Things are told by their content wherever that is possible. Nothing found in a file is run or unpacked.
"""

from __future__ import annotations

from pathlib import Path

from facerec.catalog import entries
from facerec.core import FormatError
from facerec.inspection import binaries, folders, models, texts
from facerec.inspection.finding import Finding
from facerec.interop import archives

KNOWN = (
    "folders and archives of photos, photo and face shards, packs (train.rec, *.bin, bcolz), devkit matrices and "
    "folders of them, pairs and lists of every kind, devkit results, embeddings, galleries, tables of detections, "
    "weights (.pt, .pth, .onnx), images and names of the catalogue"
)
"""What `inspect` knows, for people."""

__all__ = ["KNOWN", "Finding", "inspect"]


def inspect(what: str | Path) -> Finding:
    """What the file or folder `what` is, or the entry of the catalogue when nothing has that name.

    Raises FormatError when there is nothing of that name, it is damaged, or none of `KNOWN`.
    """
    path = Path(what)
    if path.is_dir():
        return folders.recognise(path)
    if not path.exists():
        return _entry(str(what))
    if not path.is_file():
        raise FormatError(f"{path} is neither a file nor a folder.")
    return _file(path)


def _file(path: Path) -> Finding:
    if not path.stat().st_size:
        raise FormatError(f"{path} is empty.")
    found = models.recognise(path) or binaries.recognise(path)
    if found is None and archives.is_archive(path):
        return folders.photo_files(path, "archive of photos")
    found = found or texts.recognise(path)
    if found is None:
        raise FormatError(f"{path} is none of what inspect knows: {KNOWN}.")
    return found


def _entry(name: str) -> Finding:
    """What the catalogue says of an entry."""
    if name not in entries.entry_names():
        raise FormatError(f"there is no {name}, neither on disk nor in the catalogue.")
    entry = entries.load_entry(name)
    facts = {
        "title": entry.title,
        "holds": entry.kind,
        "files": [file.name for file in entry.files] or "rendered",
        "counts": entry.counts.model_dump(exclude_none=True),
        "licence": entry.licence,
        "terms": entry.terms,
        "homepage": entry.homepage,
        "get_it": f"facerec download {name} OUT",
    }
    return Finding("catalogue entry", {key: value for key, value in facts.items() if value})
