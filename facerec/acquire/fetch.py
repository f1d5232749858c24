"""A file of the catalog, checked, from the nearest place that has it.

The places, in order: the folder or address in FACEREC_MIRROR (found by name, in the folder or one folder
below), what an earlier run downloaded, then the published addresses. Downloads lie in
.facerec/downloads/, outside git and DVC, so that an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from facerec.acquire import http
from facerec.catalog import Entry, File, Version
from facerec.errors import AcquireError
from facerec.execution import local_setting

DOWNLOADS = Path(".facerec/downloads")


def fetch(
    file: File, entry: Entry, downloads: Path = DOWNLOADS, patience: http.Patience = http.PATIENCE
) -> Path:
    """Path of a checked copy of `file`, which the caller must not change.

    Raises AcquireError that names every place tried and says what to do by hand.
    """
    mirror = local_setting("mirror", "")
    addresses = list(file.urls)
    if mirror.startswith(("http://", "https://")):
        addresses.insert(0, f"{mirror.rstrip('/')}/{file.name}")
    elif mirror and (found := _in_folder(Path(mirror), file.name)):
        check(found, file.versions)
        return found
    complete = downloads / entry.name / file.name
    if complete.is_file() and _matches(complete, file.versions):
        return complete
    reasons = []
    for address in addresses:
        try:
            return _download(address, complete, file.versions, patience)
        except AcquireError as error:
            reasons.append(f"{address}: {error}")
    raise AcquireError(_advice(file, entry, reasons))


def check(path: Path, versions: Sequence[Version]) -> None:
    """Raise AcquireError unless the bytes of `path` are one of `versions`, or none are listed."""
    if not versions:
        return
    size = path.stat().st_size
    candidates = [version for version in versions if version.size in (None, size)]
    if not candidates:
        sizes = " or ".join(str(version.size) for version in versions)
        raise AcquireError(f"{path} has {size} bytes, not {sizes}; it is another file or was cut short.")
    sha256, md5 = _digests(path, any(version.md5 for version in candidates))
    if not any(_is(version, sha256, md5) for version in candidates):
        raise AcquireError(f"{path} is not the listed file: its sha256 is {sha256}; delete or replace it.")


def _download(address: str, complete: Path, versions: Sequence[Version], patience: http.Patience) -> Path:
    """Download, check, and only then give the file its name; a wrong file is not kept."""
    mark = hashlib.sha256(address.encode()).hexdigest()[:8]  # parts of two addresses are never mixed
    partial = complete.with_name(f"{complete.name}.{mark}.part")
    began_anew = not partial.is_file()
    http.download(address, partial, bool(versions), patience)
    try:
        check(partial, versions)
    except AcquireError as error:
        http.forget(partial)
        if not began_anew:  # what an earlier run left may have been the wrong half
            return _download(address, complete, versions, patience)
        raise AcquireError("what came is not the listed file (wrong size or digest)") from error
    partial.replace(complete)
    http.forget(partial)
    return complete


def _in_folder(folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        raise AcquireError(f"FACEREC_MIRROR names {folder}, which is neither a folder nor an http address.")
    places = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    return next((place / name for place in places if (place / name).is_file()), None)


def _matches(path: Path, versions: Sequence[Version]) -> bool:
    try:
        check(path, versions)
    except AcquireError:
        return False
    return True


def _digests(path: Path, with_md5: bool) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            if with_md5:
                md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _is(version: Version, sha256: str, md5: str) -> bool:
    return version.sha256 in (None, sha256) and version.md5 in (None, md5)


def _advice(file: File, entry: Entry, reasons: Sequence[str]) -> str:
    why = "; ".join(reasons) or "it has no address to download from"
    origin = f" (see {entry.homepage})" if entry.homepage else ""
    text = (
        f"cannot get {file.name} of {entry.name}: {why}; fetch it by hand{origin} and put it into a folder "
        f"named by the environment variable FACEREC_MIRROR."
    )
    return f"{text} {entry.manual}".rstrip()
