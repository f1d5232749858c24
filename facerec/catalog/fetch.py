"""A file of the catalog, checked, from the nearest place that has it.

The places, in order: the folder or address in FACEREC_MIRROR, what an earlier run downloaded or a person
put beside it, then the published addresses. Downloads lie in .facerec/downloads/<entry>/, outside git and
DVC, so that an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from facerec.catalog import checksums, http
from facerec.catalog.entries import CatalogEntry, File, Version
from facerec.core import AcquireError, digests, home, local_setting

DOWNLOADS = Path(".facerec/downloads")


def fetch_file(
    file: File, entry: CatalogEntry, downloads: Path = DOWNLOADS, patience: http.RetryPolicy = http.PATIENCE
) -> Path:
    """Path of a checked copy of `file`, which the caller must not change.

    In the folder of its entry an archive may also lie unpacked, in a folder of its name without the ending; such
    a folder has no digest. Raises AcquireError that names every place tried and says what to do by hand.
    """
    versions = checksums.known_versions(entry, file)
    path = in_mirror(file, entry)
    if path is None:
        return _downloaded(file, entry, versions, downloads, patience)
    check_digest(path, versions)
    return path


def in_mirror(file: File, entry: CatalogEntry) -> Path | None:
    """Where FACEREC_MIRROR, if it is a folder, has `file`: in a folder of the entry, in itself, one below."""
    mirror = local_setting("mirror", "")
    if not mirror or _is_address(mirror):
        return None
    folder = home() / mirror
    if not folder.is_dir():
        raise AcquireError(f"FACEREC_MIRROR names {folder}, which is neither a folder nor an http address.")
    below = sorted(place for place in folder.iterdir() if place.is_dir())
    found = (place / file.name for place in (folder, *below))
    return _in(folder / entry.name, file) or next((place for place in found if place.is_file()), None)


def in_downloads(file: File, entry: CatalogEntry, downloads: Path = DOWNLOADS) -> Path | None:
    """Where an earlier run, or a person, left `file`; its bytes are not checked."""
    return _in(home() / downloads / entry.name, file)


def check_digest(path: Path, versions: Sequence[Version]) -> None:
    """Raise AcquireError unless the bytes of `path` are one of `versions`, or none are listed, or it is a folder."""
    if not versions or path.is_dir():
        return
    size = path.stat().st_size
    candidates = [version for version in versions if version.size in (None, size)]
    if not candidates:
        sizes = " or ".join(str(version.size) for version in versions)
        raise AcquireError(
            f"{path} has {size} bytes, not {sizes}; it is another file or was cut short{_origin(versions)}."
        )
    sha256, md5 = checksums.digests(path, any(version.md5 for version in candidates))
    if not any(_is(version, sha256, md5) for version in candidates):
        raise AcquireError(
            f"{path} is not the listed file: its sha256 is {sha256}; delete or replace it{_origin(versions)}."
        )


def _downloaded(
    file: File, entry: CatalogEntry, versions: Sequence[Version], downloads: Path, patience: http.RetryPolicy
) -> Path:
    """The copy in `downloads`, fetched from the first address that has it unless it is there already."""
    there, reasons = in_downloads(file, entry, downloads), []
    if there is not None:
        try:
            check_digest(there, versions)
            return there
        except AcquireError as error:
            reasons.append(str(error).rstrip("."))
    complete = home() / downloads / entry.name / file.name
    with _claim(complete.parent):
        for address in _addresses(file, entry):
            try:
                return _download(address, complete, versions, patience)
            except AcquireError as error:
                reasons.append(f"{address}: {error}")
    raise AcquireError(_advice(file, entry, downloads, reasons))


def _download(address: str, complete: Path, versions: Sequence[Version], patience: http.RetryPolicy) -> Path:
    """Download, check, and only then give the file its name; a wrong file is not kept."""
    mark = digests.of_bytes(address.encode())[:8]  # parts of two addresses are never mixed
    partial = complete.with_name(f"{complete.name}.{mark}.part")
    began_anew = not partial.is_file()
    http.download(address, partial, bool(versions), patience, _sizes(versions))
    try:
        check_digest(partial, versions)
    except AcquireError as error:
        http.forget(partial)
        if not began_anew:  # what an earlier run left may have been the wrong half
            return _download(address, complete, versions, patience)
        raise AcquireError("what came is not the listed file (wrong size or digest)") from error
    partial.replace(complete)
    http.forget(partial)
    return complete


@contextmanager
def _claim(folder: Path) -> Iterator[None]:
    """Let one process at a time download into `folder`; the system frees it when that process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise AcquireError(f"cannot write {folder}: {error.strerror}.") from error
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AcquireError(
            f"another process is downloading into {folder}; try again when it is done."
        ) from error


def _addresses(file: File, entry: CatalogEntry) -> list[str]:
    """Where to download `file` from, a mirror first."""
    mirror = local_setting("mirror", "").rstrip("/")
    nearest = [f"{mirror}/{entry.name}/{file.name}", f"{mirror}/{file.name}"] if _is_address(mirror) else []
    return [*nearest, *file.urls]


def _is_address(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _in(folder: Path, file: File) -> Path | None:
    """`file` in the folder of its entry or, for an archive, the folder it unpacks to."""
    if (folder / file.name).is_file():
        return folder / file.name
    unpacked = None if file.folder is None else folder / file.folder
    return unpacked if unpacked is not None and unpacked.is_dir() else None


def _sizes(versions: Sequence[Version]) -> set[int]:
    """Bytes the file may have; nothing unless all versions tell."""
    sizes = {version.size for version in versions}
    return set() if None in sizes else {size for size in sizes if size is not None}


def _is(version: Version, sha256: str, md5: str) -> bool:
    return version.sha256 in (None, sha256) and version.md5 in (None, md5)


def _origin(versions: Sequence[Version]) -> str:
    """Where the digests come from, if they say so."""
    notes = "; ".join(version.note for version in versions if version.note)
    return f" ({notes})" if notes else ""


def _advice(file: File, entry: CatalogEntry, downloads: Path, reasons: Sequence[str]) -> str:
    why = "; ".join(reasons) or "no program can fetch it"
    origin = f" (see {entry.homepage})" if entry.homepage else ""
    text = (
        f"cannot get {file.name} of {entry.name}: {why}; fetch it by hand{origin} and put it into "
        f"{downloads / entry.name}/, or into {entry.name}/ in the folder named by FACEREC_MIRROR."
    )
    return f"{text} {entry.manual}".rstrip()
