"""The bytes a file of the catalog may have: those it lists, else those of the first copy anyone fetched.

Where nobody published a digest, the first copy is recorded in data/catalog/known/<entry>.yaml and every later
one is held to it. That file belongs into git: then all who use the repository work on the same bytes, and a
publisher's silent change is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from facerec import catalog
from facerec.catalog import Entry, File, Version
from facerec.errors import AcquireError
from facerec.files import write_text

_RECORDS = TypeAdapter(dict[str, Version])
_HEADER = """\
# First copies of files that have no published digest, written by facerec; keep this file in git.
# Remove an entry to accept another version of its file.
"""


def versions(entry: Entry, file: File) -> Sequence[Version]:
    """What `file` may be; nothing when the catalog lists nothing and no copy was seen yet."""
    if file.versions:
        return file.versions
    recorded = _read(entry).get(file.name)
    return [] if recorded is None else [recorded]


def record(entry: Entry, file: File, sha256: str, size: int) -> None:
    """Keep the first copy of `file` as the one to hold to."""
    note = f"recorded in {record_path(entry)}; remove it there to accept another"
    records = {**_read(entry), file.name: Version(sha256=sha256, size=size, note=note)}
    plain = {name: known.model_dump(include={"sha256", "size"}) for name, known in sorted(records.items())}
    try:
        write_text(record_path(entry), _HEADER + yaml.safe_dump(plain))
    except OSError as error:
        raise AcquireError(f"cannot write {record_path(entry)}: {error.strerror}.") from error


def record_path(entry: Entry) -> Path:
    """Where the first copies of the files of `entry` are recorded."""
    return catalog.folder() / "known" / f"{entry.name}.yaml"


def _read(entry: Entry) -> dict[str, Version]:
    path = record_path(entry)
    if not path.is_file():
        return {}
    try:
        found = _RECORDS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise AcquireError(f"cannot read {path}; restore it from git or delete it.") from error
    note = f"recorded in {path}; remove it there to accept another"
    return {name: version.model_copy(update={"note": note}) for name, version in found.items()}
