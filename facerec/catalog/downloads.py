"""Files of the catalog: where they are on this machine, how they are downloaded, which bytes they must have.

A file is taken from the nearest place, in this order: the folder or address in FACEREC_MIRROR, what an earlier run
downloaded or a person put beside it, the published addresses. Downloads lie in .facerec/downloads/<entry>/, outside
git and DVC, so that an interrupted one continues where it stopped.

Where no digest is published, the first copy that made a sound set is recorded in data/catalog/known/<entry>.yaml and
every later copy is compared with it. That file belongs into git: then everyone who uses the repository works on the
same bytes, and a silent change by the publisher is noticed. The first copy itself is trusted without proof, so it is
downloaded over https only, and the record says where it came from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import TypeAdapter, ValidationError

from facerec.catalog import entries, http
from facerec.catalog.entries import DOWNLOADS, CatalogEntry, File, Version
from facerec.core import AcquireError, FormatError, home, local_setting, parse_yaml, sha256_of_bytes, write_text

RAW = Path("data/raw")
"""Where the stages `render` and `download` put sets."""

_HEADER = """\
# First copies of files that have no published digest, written by facerec; keep this file in git.
# Remove an entry to accept another version of its file. Nothing proved these copies; trusted_from says whom you trust:
# download (over https, or from this machine), mirror (the folder FACEREC_MIRROR), downloads (found in .facerec/downloads).
"""


class _FirstCopy(Version):
    """A version that was trusted on first use."""

    trusted_from: str = ""
    """"download", "mirror" or "downloads"; "" in records of before this was written."""


_RECORDS = TypeAdapter(dict[str, _FirstCopy])


def fetch_file(
    file: File, entry: CatalogEntry, downloads: Path = DOWNLOADS, policy: http.RetryPolicy | None = None
) -> Path:
    """Path of a checked copy of `file`, which the caller must not change.

    In the folder of its entry an archive may also lie unpacked, in a folder of its name without the ending; such
    a folder has no digest. Raises AcquireError that names every place tried and says what to do by hand.
    """
    versions = known_versions(entry, file)
    path = in_mirror(file, entry)
    if path is None:
        return _downloaded(file, entry, versions, downloads, policy)
    check_digest(path, versions, _unpacking_advice(file, entry))
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


def describe_availability(entry: CatalogEntry) -> dict[str, Any]:
    """Size, way and place of the files of an entry.

    "bytes" is None where a size is unknown or the set is rendered; "how" is "rendered", "download", "by hand" or
    "partly by hand"; "here" is "data/raw", "mirror", "downloads" or both where they are, "partly", or "" for nowhere.
    """
    listed = [[version.size or 0 for version in known_versions(entry, file)] for file in entry.files]
    largest = [max(sizes, default=0) for sizes in listed]
    size = sum(largest) if largest and all(largest) else None
    return {"bytes": size, "how": _acquisition(entry), "here": _location(entry)}


def _acquisition(entry: CatalogEntry) -> str:
    if entry.generator is not None:
        return "rendered"
    reachable = [bool(file.urls) for file in entry.files]
    return "download" if all(reachable) else "partly by hand" if any(reachable) else "by hand"


def _location(entry: CatalogEntry) -> str:
    made = RAW / entry.name
    if made.is_dir() and any(made.iterdir()):
        return str(RAW)
    found = [_places(file, entry) for file in entry.files]
    common = [name for name in ("mirror", "downloads") if found and all(name in places for places in found)]
    if common or not any(found):
        return common[0] if common else ""
    return "mirror, downloads" if all(found) else "partly"


def target_folders(entry: CatalogEntry) -> str:
    """The folders into which a person may put its files."""
    mirror = local_setting("mirror", "")
    nearest = [str(Path(mirror) / entry.name)] if mirror and not _is_address(mirror) else []
    return " or ".join([*nearest, str(DOWNLOADS / entry.name)])


def describe_missing(entry: CatalogEntry) -> dict[str, Any]:
    """How to get what is missing of an entry: its files, the hosts that have them, what to do by hand, and where to."""
    made = _location(entry) == str(RAW)
    files = [] if made else [file for file in entry.files if not _places(file, entry)]
    hosts = dict.fromkeys(str(urlsplit(url).hostname) for file in files for url in file.urls)
    return {
        "files": [file.name for file in files],
        "by": _acquisition(entry),
        "from": list(hosts),
        "homepage": entry.homepage,
        "by hand": entry.manual,
        "put files into": target_folders(entry),
    }


def known_versions(entry: CatalogEntry, file: File) -> Sequence[Version]:
    """Versions that `file` may have; none when the catalog lists none and no copy was recorded yet."""
    if file.versions:
        return file.versions
    recorded = _read_records(entry).get(file.name)
    return [] if recorded is None else [recorded]


def origin(file: File, entry: CatalogEntry, downloads: Path = DOWNLOADS) -> str:
    """Where `fetch_file` takes `file` from: "mirror", "downloads", or "download" if it is in neither folder yet."""
    return next(iter(_places(file, entry, downloads)), "download")


def record_checksums(entry: CatalogEntry, copies: Mapping[str, Path], origins: Mapping[str, str]) -> None:
    """Record the digests of `copies`, paths by the names of their files, where no version is known yet.

    Folders have no digest and are left out. `origins` are what `origin` said before the files were fetched.
    """
    new = {
        name: _FirstCopy(sha256=_digest(path), size=path.stat().st_size, trusted_from=origins[name])
        for name, path in ((file.name, copies[file.name]) for file in entry.files if not known_versions(entry, file))
        if path.is_file()
    }
    if not new:
        return
    records = sorted({**_read_records(entry), **new}.items())
    kept = {"sha256", "size", "trusted_from"}
    plain = {name: version.model_dump(include=kept, exclude_defaults=True) for name, version in records}
    try:
        write_text(record_path(entry), _HEADER + yaml.safe_dump(plain))
    except OSError as error:
        raise AcquireError(f"cannot write {record_path(entry)}: {error.strerror}.") from error


def record_path(entry: CatalogEntry) -> Path:
    """Where the first copies of the files of `entry` are recorded."""
    return home() / entries.catalog_folder() / "known" / f"{entry.name}.yaml"


def check_digest(path: Path, versions: Sequence[Version], advice: str = "") -> None:
    """Raise AcquireError unless the bytes of `path` are one of `versions`, or none are listed, or it is a folder.

    `advice` ends the message.
    """
    if not versions or path.is_dir():
        return
    notes = "; ".join(version.note for version in versions if version.note)
    origin = f" ({notes})" if notes else ""
    size, digest = path.stat().st_size, cache(_digest)
    candidates = [version for version in versions if version.size in (None, size)]
    if not candidates:
        sizes = " or ".join(str(version.size) for version in versions)
        raise AcquireError(
            f"{path} has {size} bytes, not {sizes}; it is another file or was cut short{origin}{advice}."
        )
    for version in candidates:
        if version.sha256 == digest(path) if version.sha256 else version.md5 == digest(path, "md5"):
            return
    raise AcquireError(
        f"{path} is not the listed file: its sha256 is {digest(path)}; delete or replace it{origin}{advice}."
    )


def _unpacking_advice(file: File, entry: CatalogEntry) -> str:
    """What to do with the right photos in another packing: of a folder only the counts are checked."""
    if file.folder is None:
        return ""
    return f"; if you packed it anew, unpack it instead, as the folder {file.folder} in {target_folders(entry)}"


def _digest(path: Path, algorithm: str = "sha256") -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise AcquireError(f"cannot read {path}: {error.strerror}.") from error


def _read_records(entry: CatalogEntry) -> dict[str, _FirstCopy]:
    path = record_path(entry)
    if not path.is_file():
        return {}
    try:
        found = _RECORDS.validate_python(parse_yaml(path.read_bytes(), str(path)) or {})
    except (OSError, FormatError, ValidationError) as error:
        raise AcquireError(f"cannot read {path}; restore it from git or delete it.") from error
    note = f"recorded in {path}; remove it there to accept another"
    return {name: version.model_copy(update={"note": note}) for name, version in found.items()}


def _downloaded(
    file: File, entry: CatalogEntry, versions: Sequence[Version], downloads: Path, policy: http.RetryPolicy | None
) -> Path:
    """The copy in `downloads`, fetched from the first address that has it unless it is there already."""
    there, reasons = in_downloads(file, entry, downloads), []
    if there is not None:
        try:
            check_digest(there, versions, _unpacking_advice(file, entry))
            return there
        except AcquireError as error:
            reasons.append(str(error).rstrip("."))
    complete = home() / downloads / entry.name / file.name
    with _claim(complete.parent):
        for address in _addresses(file, entry):
            try:
                return _download(address, complete, versions, policy)
            except AcquireError as error:
                reasons.append(f"{address}: {error}")
    raise AcquireError(_advice(file, entry, downloads, reasons))


def _download(address: str, complete: Path, versions: Sequence[Version], policy: http.RetryPolicy | None) -> Path:
    """Download, check, and only then give the file its name; a wrong file is not kept."""
    mark = sha256_of_bytes(address.encode())[:8]  # parts of two addresses are never mixed
    partial = complete.with_name(f"{complete.name}.{mark}.part")
    began_anew = not partial.is_file()
    http.download_file(address, partial, bool(versions), policy, _possible_sizes(versions))
    try:
        check_digest(partial, versions)
    except AcquireError as error:
        http.forget_partial(partial)
        if not began_anew:  # what an earlier run left may have been the wrong half
            return _download(address, complete, versions, policy)
        raise AcquireError("what came is not the listed file (wrong size or digest)") from error
    partial.replace(complete)
    for rest in complete.parent.glob(f"{complete.name}.*.part*"):  # also what other addresses began
        rest.unlink(missing_ok=True)
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
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise AcquireError(f"another process is downloading into {folder}; try again when it is done.") from error
    finally:
        os.close(handle)


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
    return folder / file.folder if file.folder and (folder / file.folder).is_dir() else None


def _possible_sizes(versions: Sequence[Version]) -> set[int]:
    """Sizes in bytes that the file may have; none unless all versions have one."""
    sizes = {version.size for version in versions if version.size is not None}
    return sizes if all(version.size is not None for version in versions) else set()


def _advice(file: File, entry: CatalogEntry, downloads: Path, reasons: Sequence[str]) -> str:
    why = "; ".join(reasons) or "no program can fetch it"
    origin = f" (see {entry.homepage})" if entry.homepage else ""
    text = (
        f"cannot get {file.name} of {entry.name}: {why}; fetch it by hand{origin} and put it into "
        f"{downloads / entry.name}/, or into {entry.name}/ in the folder named by FACEREC_MIRROR."
    )
    return f"{text} {entry.manual}".rstrip()


def _places(file: File, entry: CatalogEntry, downloads: Path = DOWNLOADS) -> list[str]:
    found = {"mirror": in_mirror(file, entry), "downloads": in_downloads(file, entry, downloads)}
    return [name for name, path in found.items() if path is not None]
