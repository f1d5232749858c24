"""SHA-256 of bytes, files and folders, as 64 hexadecimal digits.

SHA-256 is the fastest safe digest where the processor has instructions for it: 1.1 GB/s a core, BLAKE2 0.6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from facerec.core.settings import worker_count


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
    path = Path(path)
    if not path.is_dir():
        return {"": sha256_of_file(path)} if path.exists() else {}
    files = sorted(file for file in path.rglob("[!.]*") if file.is_file())
    with ThreadPoolExecutor(worker_count()) as pool:  # hashing releases Python's lock
        digests = list(pool.map(sha256_of_file, files))
    return {file.relative_to(path).as_posix(): each for file, each in zip(files, digests, strict=True)}


def combined_digest(digests: Mapping[str, str]) -> str:
    """One digest of named files from `file_digests`: that of the lines that `sha256sum` would print."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    return sha256_of_bytes(lines.encode(errors="surrogateescape"))
