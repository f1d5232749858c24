"""Changes of a gallery file: photos from folders, archives, shards and lists are enrolled, people are removed.

Several processes may change one gallery. Each reads it again before it writes, both under a lock, so no change is lost.
A removal takes effect at once, and an enrolment that began before it does not bring the person back.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from facerec.core import FacerecError, ParamsError, exclusive, require_path, track
from facerec.interop import photo_lists, photos
from facerec.interop.file_sources import is_archive
from facerec.recognition.recogniser import EnrolledPhoto, NamedPhoto, Recogniser, RefusedPhoto
from facerec.store import gallery as galleries
from facerec.store import shards
from facerec.store.gallery import Gallery


@dataclass(frozen=True)
class GalleryChanges:
    """The photos to add to a gallery and the people to remove from it.

    Attributes:
        paths: folders, archives, photo shards and single photos to add.
        name: the person that all the photos show; None where folders or `list_file` say it.
        list_file: lines "path<TAB>name" for the photos of the one folder or archive in `paths`.
        removed: people to remove, before photos are added.
        keep_faces: whether the aligned faces are kept beside the embeddings.
    """

    paths: tuple[Path, ...]
    name: str | None
    list_file: Path | None
    removed: tuple[str, ...]
    keep_faces: bool

    def check(self) -> None:
        """Raise ParamsError for options that contradict each other."""
        if self.name is not None and self.list_file is not None:
            raise ParamsError("--name says who all photos show and --list who each one does; give one of them.")
        if self.list_file is not None and len(self.paths) != 1:
            raise ParamsError("--list names the photos of one folder or archive; give exactly one.")
        if self.name is not None and not _is_name(self.name):
            raise ParamsError(f"--name takes a name, not {self.name!r}.")
        for path in self.paths:
            require_path(path, "name photos, folders, archives or photo shards")


@dataclass
class Enrolment:
    """A gallery after changes, and the changes that were made.

    Attributes:
        gallery: as it is now.
        removed: removed person -> number of photos.
        added, replaced: numbers of photos.
        refused: photos that could not be enrolled.
        several: photos with several faces, of which one was taken.
        moved: (photo, previous person, present person).
    """

    gallery: Gallery
    removed: dict[str, int] = field(default_factory=dict)
    added: int = 0
    replaced: int = 0
    refused: list[RefusedPhoto] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    moved: list[tuple[str, str, str]] = field(default_factory=list)


def change_gallery(path: Path, changes: GalleryChanges, recogniser: Recogniser | None) -> Enrolment:
    """Remove people from the gallery file `path`, then add photos to it, which are written once, at the end.

    `recogniser` is needed only for adding photos. Raises ParamsError for a person to remove who is not in the gallery,
    FormatError for a gallery of another model, FacerecError when not one photo could be enrolled; people are removed
    nevertheless.
    """
    enrolment = Enrolment(_read(path, recogniser))
    if changes.removed:
        with exclusive(path):
            enrolment.gallery = _read(path, recogniser)
            for name in changes.removed:
                _remove_person(enrolment, name)
            galleries.write_gallery(enrolment.gallery, path)
    if recogniser is not None:
        _add_photos(enrolment, recogniser, changes, path)
    return enrolment


def _read(path: Path, recogniser: Recogniser | None) -> Gallery:
    """The gallery as it is now; a new one where photos will be added and there is none."""
    return recogniser.gallery(path if path.exists() else None) if recogniser else galleries.read_gallery(path)


def _remove_person(enrolment: Enrolment, name: str) -> None:
    people = enrolment.gallery.people
    if name not in people:
        close = difflib.get_close_matches(name, people, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ParamsError(f"the gallery has no {name!r}{hint or ' (facerec inspect lists it).'}")
    enrolment.removed[name] = people[name]
    enrolment.gallery = enrolment.gallery.without(name)


def _add_photos(enrolment: Enrolment, recogniser: Recogniser, changes: GalleryChanges, path: Path) -> None:
    before, made = enrolment.gallery, []
    named = track(_named_photos(enrolment, changes), "Enrolling", unit="photos")
    for each in recogniser.enroll(named, changes.keep_faces):
        if isinstance(each, RefusedPhoto):
            enrolment.refused.append(each)
        else:
            made.append(each)
    with exclusive(path):
        enrolment.gallery = _read(path, recogniser)
        _merge(enrolment, before, made)
        galleries.write_gallery(enrolment.gallery, path)


def _merge(enrolment: Enrolment, before: Gallery, made: list[EnrolledPhoto]) -> None:
    """Add the photos to the gallery, but not those of people who were removed since it was as `before`."""
    held = enrolment.gallery
    removed = held.removed_since(before, (each.entry.name for each in made))
    owners, entries = {entry.photo: entry.name for entry in held.entries}, []
    for entry, faces in ((each.entry, each.faces) for each in made):
        owner = owners.get(entry.photo)
        if entry.name in removed:
            reason = f"{entry.name} was removed from the gallery meanwhile and is not enrolled again."
            enrolment.refused.append(RefusedPhoto(entry.source, reason))
            continue
        enrolment.replaced += owner is not None
        enrolment.added += owner is None
        if owner not in (None, entry.name):
            enrolment.moved.append((entry.source, str(owner), entry.name))
        if faces > 1:
            enrolment.several.append(entry.source)
        owners[entry.photo] = entry.name
        entries.append(entry)
    if not entries:
        raise FacerecError(_explain_failure(enrolment.refused))
    enrolment.gallery = held.with_entries(entries)


def _explain_failure(refused: list[RefusedPhoto]) -> str:
    if not refused:
        return "There is no photo to enroll."
    first = f"{refused[0].source}: {refused[0].reason}"
    return first if len(refused) == 1 else f"None of the {len(refused)} photos can be enrolled; the first, {first}"


def _named_photos(enrolment: Enrolment, changes: GalleryChanges) -> Iterator[NamedPhoto]:
    """The photos whose person is known; the others go to `refused`."""
    for photo in chain.from_iterable(_photos_at(path, changes) for path in changes.paths):
        if _is_name(photo.name):
            yield photo
        else:
            reason = "It has no name: put it into a folder named after the person, or give --name."
            enrolment.refused.append(RefusedPhoto(photo.source, reason))


def _is_name(name: str) -> bool:
    return bool(name.strip()) and name.isprintable()


def _photos_at(path: Path, changes: GalleryChanges) -> Iterator[NamedPhoto]:
    """The photos at `path`; the name is "" where it is unknown."""
    if shards.is_shard_set(path):
        opened = shards.read_shards(path, "photos")
        for row, (source, identity) in enumerate(zip(opened.sources, opened.identities, strict=True)):
            yield NamedPhoto(changes.name or identity, source, bytes(opened.image(row)))
    elif path.is_dir() or is_archive(path):
        yield from _photos_in_folder(path, changes)
    else:
        yield NamedPhoto(changes.name or "", path.as_posix(), path.read_bytes())


def _photos_in_folder(path: Path, changes: GalleryChanges) -> Iterator[NamedPhoto]:
    """The photos of a folder or an archive, with names from the list, --name or their folders."""
    if changes.list_file is not None:
        listed = photo_lists.read_names(changes.list_file)
        rows = photos.listed_rows(path, {photo: number for number, photo in enumerate(listed)})
        for name, row in zip(listed.values(), rows, strict=True):
            yield NamedPhoto(name, row["source"], row["image"])
        return
    own = path.resolve().name if path.is_dir() and not _has_folders(path) else ""
    for row in photos.photo_rows(path):
        yield NamedPhoto(changes.name or row["identity"] or own, row["source"], row["image"])


def _has_folders(path: Path) -> bool:
    """Whether some photos lie in subfolders, so that the name of this folder is not that of a person."""
    with photos.open_photos(path) as listed:
        return any("/" in name for name in listed.names)
