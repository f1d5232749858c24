"""SHA-256 of bytes, files and folders, as 64 hexadecimal digits.

SHA-256 is the fastest safe digest where the processor has instructions for it: 1.1 GB/s a core, BLAKE2 0.6. A terabyte
still takes a quarter of an hour, so `remembered_digests` keeps those of large files in the scratch folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from facerec.core.settings import local_path, worker_count

REMEMBERED = 64 << 20
"""Bytes from which on the digest of a file is remembered; a smaller one is read in no time."""
_SETTLED = 2.0  # seconds after which a change has another time of change, whatever the file system


def sha256_of_bytes(data: bytes | bytearray | memoryview) -> str:
    """Digest of bytes.

    >>> sha256_of_bytes(b"abc")[:16]
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: str | Path) -> str:
    """Digest of the content of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(path: str | Path) -> dict[str, str]:
    """Digest of every file by its name below the folder `path`, sorted, without hidden ones.

    A file has its own digest under the name ""; a path that does not exist has none.
    """
    return _digests(Path(path), lambda file: sha256_of_file(file))


def remembered_digests(path: str | Path) -> dict[str, str]:
    """What `file_digests` gives, where large files that have not changed since the last time are not read again.

    A file is the same if its place, size, times of content and of inode (which no program can set back) and inode number
    are. A file that changed in the last seconds before it was read is not remembered, since a further change might leave
    its times as they are. Kept in `<scratch>/digests/`; not for what guards against damaged disks.
    """
    return _digests(Path(path), _remembered)


def _digests(path: Path, digest: Callable[[Path], str]) -> dict[str, str]:
    if not path.is_dir():
        return {"": digest(path)} if path.exists() else {}
    files = sorted(file for file in path.rglob("[!.]*") if file.is_file())
    with ThreadPoolExecutor(worker_count()) as pool:  # hashing releases Python's lock
        digests = list(pool.map(digest, files))
    return {file.relative_to(path).as_posix(): each for file, each in zip(files, digests, strict=True)}


def _remembered(path: Path) -> str:
    """The digest of a file, read or remembered."""
    before, start = file_state(path), time.time()
    if before["size"] < REMEMBERED:
        return sha256_of_file(path)
    place = (
        local_path("scratch", ".facerec/scratch") / "digests" / f"{sha256_of_bytes(os.fsencode(path.resolve()))}.json"
    )
    with suppress(OSError, ValueError, TypeError, KeyError):  # none, or damaged: the file is read
        known = json.loads(place.read_text(encoding="utf-8"))
        if known["state"] == before:
            return str(known["sha256"])
    digest = sha256_of_file(path)
    settled = max(before["changed"], before["modified"]) < (start - _SETTLED) * 1e9
    if settled and file_state(path) == before:
        with suppress(OSError):  # half a file is no JSON, so it is as good as none
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps({"state": before, "sha256": digest}), encoding="utf-8")
    return digest


def file_state(path: Path) -> dict[str, int]:
    """What tells a file from one that was changed or put in its place, without reading it."""
    found = path.stat()
    times = {"modified": found.st_mtime_ns, "changed": found.st_ctime_ns}
    return {"size": found.st_size, "device": found.st_dev, "inode": found.st_ino, **times}


def combined_digest(digests: Mapping[str, str]) -> str:
    """One digest of named files from `file_digests`: that of the lines that `sha256sum` would print."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    return sha256_of_bytes(lines.encode(errors="surrogateescape"))
