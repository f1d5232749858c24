"""The bytes a file of the catalog may have: those it lists, else those of the first copy anyone fetched.

Where nobody published a digest, the first copy that made a sound set is recorded in data/catalog/known/<entry>.yaml
and every later one is held to it. That file belongs into git: then all who use the repository work on the same bytes, and a
publisher's silent change is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from facerec.catalog import entries
from facerec.catalog.entries import CatalogEntry, File, Version
from facerec.core import AcquireError, home, write_text

_RECORDS = TypeAdapter(dict[str, Version])
_HEADER = """\
# First copies of files that have no published digest, written by facerec; keep this file in git.
# Remove an entry to accept another version of its file.
"""


def known_versions(entry: CatalogEntry, file: File) -> Sequence[Version]:
    """What `file` may be; nothing when the catalog lists nothing and no copy was seen yet."""
    if file.versions:
        return file.versions
    recorded = _read(entry).get(file.name)
    return [] if recorded is None else [recorded]


def record_checksums(entry: CatalogEntry, copies: Mapping[str, Path]) -> None:
    """Keep `copies`, paths by the names of their files, as those to hold to, unless their bytes are known.

    Folders have no digest and are left out.
    """
    new = {
        file.name: Version(sha256=digests(copies[file.name])[0], size=copies[file.name].stat().st_size)
        for file in entry.files
        if copies[file.name].is_file() and not known_versions(entry, file)
    }
    if not new:
        return
    records = sorted({**_read(entry), **new}.items())
    plain = {name: version.model_dump(include={"sha256", "size"}) for name, version in records}
    try:
        write_text(record_path(entry), _HEADER + yaml.safe_dump(plain))
    except OSError as error:
        raise AcquireError(f"cannot write {record_path(entry)}: {error.strerror}.") from error


def record_path(entry: CatalogEntry) -> Path:
    """Where the first copies of the files of `entry` are recorded."""
    return home() / entries.catalog_folder() / "known" / f"{entry.name}.yaml"


def digests(path: Path, with_md5: bool = False) -> tuple[str, str]:
    """sha256 and, if asked for, md5 of a file, in hexadecimal; AcquireError when it cannot be read."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                sha256.update(chunk)
                if with_md5:
                    md5.update(chunk)
    except OSError as error:
        raise AcquireError(f"cannot read {path}: {error.strerror}.") from error
    return sha256.hexdigest(), md5.hexdigest()


def _read(entry: CatalogEntry) -> dict[str, Version]:
    path = record_path(entry)
    if not path.is_file():
        return {}
    try:
        found = _RECORDS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise AcquireError(f"cannot read {path}; restore it from git or delete it.") from error
    note = f"recorded in {path}; remove it there to accept another"
    return {name: version.model_copy(update={"note": note}) for name, version in found.items()}
