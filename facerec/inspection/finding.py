"""What inspecting something gives: what it is, facts about it as plain values, and some of its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import ImageError
from facerec.imaging import images
from facerec.imaging.images import read_header

HEADERS = 200
"""Images of a set whose headers are read."""
PICTURES = 48
"""Images of a set that are decoded, for the contact sheet and the colours."""
_PEOPLE = 12
"""Identities those images are spread over, as far as there are so many with several images."""
_NAMES = 5
_MOST = 0.9
"""Share of faces that must agree before their colours are said to be right or swapped."""


@dataclass(frozen=True)
class Finding:
    """What something is, in a few words; facts for people and JSON; RGB images (h, w, 3) and their names."""

    kind: str
    facts: dict[str, Any]
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Album:
    """A set of n encoded images as its reader gives them; `labels` are -1 where nobody knows who it is."""

    read: Callable[[int], bytes | memoryview]
    labels: NDArray[np.int64]
    sources: Sequence[str]
    aligned: bool = False
    paired: bool = False
    """Whether images 2i and 2i+1 are a pair, to be shown side by side."""

    def finding(self, kind: str, **facts: Any) -> Finding:
        """The set as a `Finding`: `facts`, then what counting and looking at samples tells."""
        chosen = self._chosen()
        pictures = {row: picture for row in chosen if (picture := self._picture(row)) is not None}
        found = {**facts, **self._counted(), **self._sampled()}
        if self.aligned and pictures:
            found["colour_check"] = _colours(list(pictures.values()))
        places = _spread(len(self.labels), _NAMES)
        found["names"] = [self.sources[row] for row in places]
        return Finding(kind, found, list(pictures.values()), [self.sources[row] for row in pictures])

    def rows(self) -> set[int]:
        """The images that are read."""
        return {*self._chosen(), *_spread(len(self.labels), HEADERS)}

    def _counted(self) -> dict[str, Any]:
        known = self.labels[self.labels >= 0]
        people, counts = np.unique(known, return_counts=True)
        facts: dict[str, Any] = {"images": len(self.labels)}
        if not len(people):
            return {**facts, "identities": "unknown"}
        facts |= {"identities": len(people), "images_per_identity": spread_of(counts)}
        facts["labels"] = {"min": int(people[0]), "max": int(people[-1])}
        if len(known) < len(self.labels):
            facts["images_without_identity"] = len(self.labels) - len(known)
        return facts

    def _sampled(self) -> dict[str, Any]:
        """Sizes and formats by the headers of images all over the set."""
        sizes, formats, unreadable = Counter[str](), Counter[str](), 0
        rows = _spread(len(self.labels), HEADERS)
        for row in rows:
            try:
                header = read_header(self.read(row))
                sizes[f"{header.height}x{header.width}"] += 1
                formats[header.format] += 1
            except ImageError:
                unreadable += 1
        facts: dict[str, Any] = {"sampled": len(rows), "sizes": dict(sizes.most_common(5))}
        if len(sizes) > 5:
            facts["other_sizes"] = len(sizes) - 5
        facts["formats"] = dict(formats.most_common())
        return {**facts, "unreadable": unreadable} if unreadable else facts

    def _picture(self, row: int) -> NDArray[np.uint8] | None:
        try:
            return images.decode(self.read(row))
        except ImageError:
            return None

    def _chosen(self) -> list[int]:
        """Rows of the pictures: a few of each of some identities, else some pairs, else anything."""
        if self.paired:
            pairs = _spread(len(self.labels) // 2, PICTURES // 2)
            return [row for pair in pairs for row in (2 * pair, 2 * pair + 1)]
        order = np.argsort(self.labels, kind="stable")
        order = order[self.labels[order] >= 0]
        groups = np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1) if len(order) else []
        several = [group for group in groups if len(group) > 1]
        groups = several if len(several) >= _PEOPLE else groups
        if not groups:
            return _spread(len(self.labels), PICTURES)
        people = _spread(len(groups), _PEOPLE)
        each = PICTURES // len(people)
        return [int(groups[who][place]) for who in people for place in _spread(len(groups[who]), each)]


def spread_of(values: NDArray[Any]) -> dict[str, float]:
    """Smallest, middle and largest of some numbers that are not NaN; nothing where there are none."""
    if not len(values):
        return {}
    smallest, largest = values.min().item(), values.max().item()
    return {"min": smallest, "median": float(np.median(values)), "max": largest}


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` numbers spread evenly over 0..count-1."""
    places = np.linspace(0, count - 1, min(count, wanted)).round()
    return [int(place) for place in places]


def _colours(faces: list[NDArray[np.uint8]]) -> str:
    """Which of red and blue is stronger amid the faces: skin of every shade reflects more red."""
    redder = bluer = 0
    for face in faces:
        height, width = face.shape[:2]
        middle = face[height // 4 : height - height // 4, width // 4 : width - width // 4]
        red, _, blue = middle.reshape(-1, 3).mean(axis=0)
        redder, bluer = redder + int(red > blue + 1), bluer + int(blue > red + 1)
    counted = f"amid {len(faces)} faces red is stronger in {redder}, blue in {bluer}"
    if redder >= _MOST * len(faces):
        return f"{counted}: as skin in RGB"
    if bluer >= _MOST * len(faces):
        return f"{counted}: red and blue may be swapped (BGR saved as RGB)"
    return f"{counted}: it cannot be told"
