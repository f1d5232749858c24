"""File names that are safe everywhere: they never leave their folder, collide or trouble Windows and macOS.

A name keeps its letters as far as every file system allows. What is not allowed becomes "_"; a name that is
taken, also by another spelling that some file system cannot tell apart, gets "_2", "_3", ...
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\.|$)")
_LONGEST = 120
"""Bytes of a name; file systems end at 255, some archives and encrypted folders much earlier."""
_IMAGES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".dat"}
_SAME = ({".jpg", ".jpeg", ".jpe"}, {".tif", ".tiff"})


def safe_name(name: str) -> str:
    """`name` as one path component that every file system takes; never "", ".", ".." or hidden."""
    clean = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).rstrip(". ")
    clean = _cut(clean, _LONGEST).rstrip(". ")
    if not clean or clean.startswith((".", "__MACOSX")) or _DEVICES.match(clean):
        clean = f"_{clean}"
    return clean


def safe_folder(name: str) -> str:
    """As `safe`, and never the name of an image, so that no file can stand where a folder must."""
    clean = safe_name(name)
    return f"{clean}_" if _split(clean)[1] else clean


def safe_file(name: str, suffix: str) -> str:
    """As `safe`, for an image whose content belongs to extension `suffix`; it keeps its own if that is true.

    Where the content belongs to none ("") an image's own extension stays, any other becomes ".dat".
    """
    clean = safe_name(name)
    stem, own = _split(clean)
    if own and (not suffix or own.lower() == suffix or any({own.lower(), suffix} <= same for same in _SAME)):
        return clean
    return safe_name(f"{stem}{suffix or '.dat'}")


class Taken:
    """Names given out in one folder."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def claim(self, name: str) -> str:
        """`name`, or the first of name_2, name_3, ... that is free, its extension kept."""
        stem, suffix = _split(name)
        given, number = name, 1
        while name_key(given) in self._keys:
            number += 1
            given = f"{stem}_{number}{suffix}"
        self._keys.add(name_key(given))
        return given


def name_key(name: str) -> str:
    """Equal for names that some file system cannot tell apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def _cut(name: str, size: int) -> str:
    """At most `size` bytes of UTF-8 of `name`; the extension stays."""
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= size:
        return name
    tail = _split(name)[1]
    return encoded[: size - len(tail)].decode("utf-8", "ignore") + tail


def _split(name: str) -> tuple[str, str]:
    """Name and extension, the latter "" unless it is one of an image."""
    suffix = PurePosixPath(name).suffix
    return (name.removesuffix(suffix), suffix) if suffix.lower() in _IMAGES else (name, "")
