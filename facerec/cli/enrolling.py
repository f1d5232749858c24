"""What `facerec enroll` does: named photos from anywhere into a gallery, people out of it, and an account of both."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from facerec.cli.common import report
from facerec.core import FacerecError, ParamsError, track
from facerec.interop import archives, photo_lists, photos
from facerec.interop.photo_lists import Labelled
from facerec.recognition import Named, Recogniser, Refused
from facerec.store import gallery as galleries
from facerec.store import shards
from facerec.store.gallery import Gallery

_SHOWN = 20
"""Notes for people; all are in the JSON."""


@dataclass(frozen=True)
class Wanted:
    """What is to be added and removed: see the options of `facerec enroll`."""

    paths: tuple[Path, ...]
    name: str | None
    list_file: Path | None
    removed: tuple[str, ...]
    keep_faces: bool

    def check(self) -> None:
        """Raise ParamsError for options that contradict each other."""
        if self.name is not None and self.list_file is not None:
            raise ParamsError(
                "--name says who all photos show and --list who each one does; give one of them."
            )
        if self.list_file is not None and len(self.paths) != 1:
            raise ParamsError("--list names the photos of one folder or archive; give exactly one.")
        if self.name is not None and not _fit(self.name):
            raise ParamsError(f"--name takes a name, not {self.name!r}.")
        missing = [path for path in self.paths if not path.exists()]
        if missing:
            raise ParamsError(f"{missing[0]} does not exist; name photos, folders, archives or photo shards.")


@dataclass
class Account:
    """What became of a gallery."""

    gallery: Gallery
    removed: dict[str, int] = field(default_factory=dict)
    """Person -> photos."""
    added: int = 0
    replaced: int = 0
    refused: list[Refused] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    """Photos with several faces, of which one was taken."""
    moved: list[tuple[str, str, str]] = field(default_factory=list)
    """Photo, whose it was and whose it is now."""


def enroll(path: Path, wanted: Wanted, recogniser: Recogniser | None) -> Account:
    """Remove from and add to the gallery file `path`, which is written once, at the end.

    `recogniser` is needed only for photos. Raises ParamsError for a person to remove who is not in it, FormatError
    for a gallery of another model, FacerecError when not one photo could be enrolled.
    """
    if recogniser is None:
        account = Account(galleries.read_gallery(path))
    else:
        account = Account(recogniser.gallery(path if path.exists() else None))
    for name in wanted.removed:
        _remove(account, name)
    if recogniser is not None:
        _add(account, recogniser, wanted)
    galleries.write_gallery(account.gallery, path)
    return account


def _remove(account: Account, name: str) -> None:
    people = account.gallery.people
    if name not in people:
        close = difflib.get_close_matches(name, people, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ParamsError(f"the gallery holds nobody called {name!r}{hint or ' (facerec inspect lists it).'}")
    account.removed[name] = people[name]
    account.gallery = account.gallery.without(name)


def _add(account: Account, recogniser: Recogniser, wanted: Wanted) -> None:
    owners = {entry.photo: entry.name for entry in account.gallery.entries}
    entries = []
    named = _taken(account, wanted)
    for made in recogniser.enroll(track(named, "Enrolling", unit="photos"), wanted.keep_faces):
        if isinstance(made, Refused):
            account.refused.append(made)
            continue
        entry = made.entry
        owner = owners.get(entry.photo)
        account.replaced += owner is not None
        account.added += owner is None
        if owner not in (None, entry.name):
            account.moved.append((entry.source, str(owner), entry.name))
        if made.faces > 1:
            account.several.append(entry.source)
        owners[entry.photo] = entry.name
        entries.append(entry)
    if not entries:
        raise FacerecError(_nothing(account.refused))
    account.gallery = account.gallery.with_entries(entries)


def _nothing(refused: list[Refused]) -> str:
    if not refused:
        return "There is no photo to enroll."
    first = f"{refused[0].source}: {refused[0].reason}"
    return (
        first
        if len(refused) == 1
        else f"None of the {len(refused)} photos can be enrolled; the first, {first}"
    )


def _taken(account: Account, wanted: Wanted) -> Iterator[Named]:
    """The photos whose person is known; the others are refused."""
    for path in wanted.paths:
        for photo in _photos(path, wanted):
            if _fit(photo.name):
                yield photo
            else:
                reason = "Nobody says who it shows: put it into a folder of that name, or give --name."
                account.refused.append(Refused(photo.source, reason))


def _fit(name: str) -> bool:
    return bool(name.strip()) and name.isprintable()


def _photos(path: Path, wanted: Wanted) -> Iterator[Named]:
    """The photos of one place; the name is "" where nothing says it."""
    if shards.is_shard_set(path):
        opened = shards.read_shards(path, "photos")
        for row, (source, identity) in enumerate(zip(opened.sources, opened.identities, strict=True)):
            yield Named(wanted.name or identity, source, bytes(opened.image(row)))
    elif path.is_dir() or archives.is_archive(path):
        yield from _several(path, wanted)
    else:
        yield Named(wanted.name or "", path.as_posix(), path.read_bytes())


def _several(path: Path, wanted: Wanted) -> Iterator[Named]:
    """The photos of a folder or an archive, named by the list, by --name or by their folders."""
    if wanted.list_file is not None:
        listed = list(photo_lists.read_names(wanted.list_file).items())
        numbers = Labelled(tuple(photo for photo, _ in listed), tuple(range(len(listed))))
        for row in photos.listed_rows(path, numbers):
            yield Named(listed[int(row["identity"])][1], row["source"], row["image"])
        return
    own = path.resolve().name if path.is_dir() and not _has_folders(path) else ""
    for row in photos.photo_rows(path):
        yield Named(wanted.name or row["identity"] or own, row["source"], row["image"])


def _has_folders(path: Path) -> bool:
    """Whether some photos lie in folders of this folder, so that those beside the folders are nobody's."""
    with archives.open_source(path) as files:
        return any("/" in name and photos.is_photo(name, files) for name in files.names)


def show(path: Path, account: Account, as_json: bool) -> None:
    """What became of the gallery: a table and notes for people, or JSON."""
    people = account.gallery.people
    counts = {"added": account.added, "replaced": account.replaced, "refused": len(account.refused)}
    if as_json:
        _print(path, account, counts)
        return
    removed = {f"forgotten {name}": f"{photos} photos" for name, photos in account.removed.items()}
    done = counts if any(counts.values()) else {}
    report(f"{path}", {**removed, **done, "people": len(people), "photos": len(account.gallery)})
    notes = [f"{each.source}: {each.reason}" for each in account.refused]
    notes += [f"{photo} was {before}'s and is now {now}'s" for photo, before, now in account.moved]
    notes += [f"{photo}: several faces, one was taken" for photo in account.several]
    console = Console(stderr=True)
    for note in notes[:_SHOWN]:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    if len(notes) > _SHOWN:
        console.print(f"note: and {len(notes) - _SHOWN} more; --json lists all")


def _print(path: Path, account: Account, counts: dict[str, int]) -> None:
    values: dict[str, Any] = {
        "gallery": str(path),
        **counts,
        "removed": account.removed,
        "refused": [vars(each) for each in account.refused],
        "moved": [dict(zip(("photo", "before", "now"), each, strict=True)) for each in account.moved],
        "several_faces": account.several,
        "people": account.gallery.people,
        "photos": len(account.gallery),
    }
    sys.stdout.write(json.dumps(values, sort_keys=True) + "\n")
