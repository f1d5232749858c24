"""Photos named by a list, found among the photos of a set, though both may start at different folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError

_Parts = tuple[str, ...]


def matching_rows(names: Iterable[str], sources: Sequence[str]) -> NDArray[np.int64]:
    """(n,) rows of `sources` that `names` mean, -1 where there is none.

    Two paths mean one photo where the shorter ends the longer, whatever the extensions: Ann/1.jpg,
    faces/Ann/1.png and ../Data/Ann/1 are one. Raises FormatError when a name fits two photos.
    """
    finder = _Finder(sources)
    return np.array([finder.row(name) for name in names], np.int64)


class _Finder:
    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = sources
        self._exact = {source: row for row, source in enumerate(sources)}
        self._tails: dict[int, dict[_Parts, list[int]]] = {}

    @cached_property
    def _parts(self) -> list[_Parts]:
        return [_parts(source) for source in self._sources]

    @cached_property
    def _whole(self) -> dict[_Parts, list[int]]:
        return _index(enumerate(self._parts))

    def row(self, name: str) -> int:
        if name in self._exact:
            return self._exact[name]
        parts = _parts(name)
        found = self._longer(parts)
        for start in range(len(parts)):
            found = found or self._whole.get(parts[start:], [])
        if len(found) > 1:
            first, second = (self._sources[row] for row in found[:2])
            raise FormatError(f"{name!r} may be {first!r} or {second!r}; name photos by longer paths.")
        return found[0] if found else -1

    def _longer(self, parts: _Parts) -> list[int]:
        """Sources that end in `parts`."""
        depth = len(parts)
        if depth not in self._tails:
            deep = ((row, each[-depth:]) for row, each in enumerate(self._parts) if len(each) >= depth)
            self._tails[depth] = _index(deep) if depth else {}
        return self._tails[depth].get(parts, [])


def _index(entries: Iterable[tuple[int, _Parts]]) -> dict[_Parts, list[int]]:
    index: dict[_Parts, list[int]] = {}
    for row, parts in entries:
        index.setdefault(parts, []).append(row)
    return index


def _parts(name: str) -> _Parts:
    """Folders and name without extension, "." and ".." left out."""
    path = PurePosixPath(name.replace("\\", "/"))
    folders = tuple(part for part in path.parts[:-1] if part not in ("..", "/"))
    return (*folders, path.stem) if path.name else folders
