"""What of the catalogue is on this machine, how large the rest is, and how to get it.

Nothing is fetched and no bytes are read: a file counts by its name in the mirror, among the downloads, or as
a set that the stage `render` or `download` made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from facerec.catalog import checksums, fetch
from facerec.catalog.entries import CatalogEntry, File
from facerec.core import local_setting

RAW = Path("data/raw")
"""Where the stages `render` and `download` put sets."""


def size(entry: CatalogEntry) -> int | None:
    """Bytes of the files of an entry; None where one is unknown, or where they are rendered."""
    total = 0
    for file in entry.files:
        sizes = [
            version.size for version in checksums.known_versions(entry, file) if version.size is not None
        ]
        if not sizes:
            return None
        total += max(sizes)
    return total if entry.files else None


def how(entry: CatalogEntry) -> str:
    """Who gets the files: "rendered" here, "download" by program, "by hand", or "partly by hand"."""
    if entry.generator is not None:
        return "rendered"
    reachable = [bool(file.urls) for file in entry.files]
    return "download" if all(reachable) else "partly by hand" if any(reachable) else "by hand"


def here(entry: CatalogEntry) -> str:
    """Where all its files are already: "data/raw", "mirror", "downloads" or both; "partly", or "" for nowhere."""
    made = RAW / entry.name
    if made.is_dir() and any(made.iterdir()):
        return str(RAW)
    found = [_places(file, entry) for file in entry.files]
    for name in ("mirror", "downloads"):
        if found and all(name in places for places in found):
            return name
    if found and all(found):
        return "mirror, downloads"
    return "partly" if any(found) else ""


def missing(entry: CatalogEntry) -> list[File]:
    """The files that are nowhere on this machine; none of a set that is made already or rendered."""
    if here(entry) == str(RAW):
        return []
    return [file for file in entry.files if not _places(file, entry)]


def place(entry: CatalogEntry) -> str:
    """The folders into which a person may put its files."""
    mirror = local_setting("mirror", "")
    places = [str(fetch.DOWNLOADS / entry.name)]
    if mirror and not mirror.startswith(("http://", "https://")):
        places.insert(0, str(Path(mirror) / entry.name))
    return " or ".join(places)


def advice(entry: CatalogEntry) -> dict[str, Any]:
    """How to get what is missing of an entry: its files, the hosts that have them, what to do by hand, and where to."""
    files = missing(entry)
    hosts = dict.fromkeys(str(urlsplit(url).hostname) for file in files for url in file.urls)
    return {
        "files": [file.name for file in files],
        "by": how(entry),
        "from": list(hosts),
        "homepage": entry.homepage,
        "by hand": entry.manual,
        "put files into": place(entry),
    }


def _places(file: File, entry: CatalogEntry) -> list[str]:
    looks = {"mirror": fetch.in_mirror, "downloads": fetch.in_downloads}
    return [name for name, look in looks.items() if look(file, entry) is not None]
