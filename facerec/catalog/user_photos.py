"""What lies in a person's own folder or archive of photos: who is in them, which can be read, who is held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from facerec.core import FormatError, ImageError, track
from facerec.imaging.images import read_header
from facerec.interop import photos

People = dict[str, list[str]]
"""Photos, as paths from the top of the folder or archive, by identity."""

_MUCH, _MANY_TIMES = 0.1, 10  # share of all photos, and multiple of the median, that one person hardly has
_ALIGNED = (112, 112)


@dataclass(frozen=True)
class FoundPhotos:
    """The readable photos of a folder or archive.

    Attributes:
        people: the photos by identity, "" where that is unknown.
        digest: of the names and bytes of all photos.
        unreadable: number of photos left out, by the reason.
        sizes: the (height, width) that the photos have.
    """

    people: People
    digest: str
    unreadable: dict[str, int]
    sizes: frozenset[tuple[int, int]]

    @property
    def count(self) -> int:
        """Number of photos."""
        return sum(map(len, self.people.values()))

    def notes(self, aligned: bool = False) -> list[str]:
        """What a person should look at, in sentences without a full stop."""
        told = [f"{count:,} left out: {reason.rstrip('.')}" for reason, count in self.unreadable.items()]
        counts = {name: len(each) for name, each in self.people.items()}
        largest = max(counts, key=lambda name: counts[name])
        if counts[largest] > max(_MUCH * self.count, _MANY_TIMES * median(counts.values())):
            told.append(
                f"{largest!r} has {counts[largest]:,} of the {self.count:,} photos, the others {median(counts.values()):g} "
                "each in the middle; if its folder holds folders of people, say how deep they lie (--depth)"
            )
        if self.sizes == {_ALIGNED} and not aligned:
            told.append("all photos have 112x112 pixels; if they are aligned faces, add --aligned and none is detected")
        return told

    def check_people(self, source: Path) -> None:
        """Raise FormatError unless it is known who is in the photos, and they are two people or more."""
        if "" in self.people:
            raise FormatError(
                f"{source} does not say who its photos show: put the photos of each person into a folder of their own, "
                "or name them with --list or --depth."
            )
        if len(self.people) < 2:
            left_out = "; ".join(f"{count:,} photos: {reason}" for reason, count in self.unreadable.items())
            who = ", ".join(self.people) or "nobody"
            raise FormatError(
                f"{source}: only {len(self.people)} person with readable photos ({who}); two are needed. {left_out}".rstrip()
            )

    def check_aligned(self, source: Path) -> None:
        """Raise FormatError unless the photos have the size of aligned faces."""
        if self.sizes != {_ALIGNED}:
            height, width = next(iter(sorted(self.sizes - {_ALIGNED})))
            raise FormatError(
                f"{source}: aligned faces have 112x112 pixels, but there is one of {height}x{width} (height x width); "
                "leave --aligned out, and faces are detected and aligned."
            )


def scan_photos(source: Path, depth: int = 1, listed: Path | None = None) -> FoundPhotos:
    """Look at every photo at `source`; see `facerec.interop.photos.open_people` for `depth` and the list `listed`.

    Raises FormatError where there is no photo, or none that can be read.
    """
    people, unreadable, sizes = People(), Counter[str](), set()
    whole = hashlib.sha256()
    with photos.open_people(source, depth, listed) as (files, named):
        for name, identity in track(named.items(), source.name, len(named), "photos"):
            data = files.read(name)
            whole.update(f"{name}\0".encode() + hashlib.sha256(data).digest())
            try:
                sizes.add(read_header(data).size)
            except ImageError as error:
                unreadable[str(error)] += 1
                continue
            people.setdefault(identity, []).append(name)
    if not people:
        raise FormatError(f"none of the {len(named):,} photos of {source} can be read: {next(iter(unreadable))}")
    return FoundPhotos(people, f"sha256 {whole.hexdigest()}", dict(unreadable), frozenset(sizes))


def hold_out(people: People, share: float) -> tuple[People, People]:
    """The people to train on, and those held out to measure the network: about a `share` of them.

    A digest of the name decides, so a person stays where he or she is when others are added or removed.

    >>> training, held_out = hold_out({f"p{number}": [] for number in range(100)}, 0.1)
    >>> len(training), len(held_out)
    (85, 15)
    """
    held = {name for name in people if _chosen(name, share)}
    parts = {name: each for name, each in people.items() if name not in held}
    return parts, {name: people[name] for name in people if name in held}


def hold_out_photos(people: People, share: float) -> tuple[People, People]:
    """The photos to train on, and of the same people those held out to measure the network: about a `share` of each.

    A digest of its path decides about a photo. A person with no photo left to train on is held out altogether.

    >>> training, held_out = hold_out_photos({"Ann": [f"Ann/{number}.jpg" for number in range(100)]}, 0.2)
    >>> len(training["Ann"]), len(held_out["Ann"])
    (76, 24)
    """
    parts: tuple[People, People] = ({}, {})
    for name, each in people.items():
        for photo in each:
            parts[_chosen(photo, share)].setdefault(name, []).append(photo)
    return parts


def _chosen(name: str, share: float) -> bool:
    """True for about a `share` of all names."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < share * 2**32
