"""Sets below data/raw/ made from entries of the catalog: photo shards, a pack's files, a model, lists.

The stage `download` calls `acquire`. A set appears only when it is whole and its counts are those the catalog promises.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from facerec.catalog.downloads import fetch_file, origin, record_checksums
from facerec.catalog.entries import DOWNLOADS, CatalogEntry, File, SetCounts
from facerec.catalog.set_facts import count_set
from facerec.core import AcquireError, FormatError, ParamsError, atomic_dir, link_or_copy, write_text
from facerec.interop import ingest, photo_lists, photos
from facerec.interop.file_sources import FileSource, Limits, open_source
from facerec.store import shards

_PACK_FILES = {"train.rec", "train.idx", "property"}
_LINKED_FROM = 256 << 20
"""Bytes from which on a file that was fetched is linked, not copied, to its place in a set."""
_PACK_LIMITS = Limits(member_bytes=1 << 40)  # a train.rec of ten million faces has some 100 GB


def acquire(
    entry: CatalogEntry, path: str | Path, options: Mapping[str, Any] | None = None, downloads: Path = DOWNLOADS
) -> None:
    """Make the set of `entry` in directory `path`, which is replaced whole.

    A downloaded set has no `options`. Digests of files without published ones are recorded once the set is sound. Raises
    AcquireError or FormatError, each with what to do, and leaves `path` as it was; ParamsError for options or
    an entry that is rendered.
    """
    if entry.generator is not None:
        raise ParamsError(f"download.{entry.name} is a rendered set; name it below render.")
    if options:
        raise ParamsError(f"download.{entry.name} takes no options, but got {', '.join(sorted(options))}.")
    origins = {file.name: origin(file, entry, downloads) for file in entry.files}
    fetched = {file.name: fetch_file(file, entry, downloads) for file in entry.files}
    with atomic_dir(path) as folder:
        _build(entry, fetched, folder, downloads)
        _check_counts(entry, count_set(entry, folder))
    record_checksums(entry, fetched, origins)


def _build(entry: CatalogEntry, fetched: Mapping[str, Path], folder: Path, scratch: Path) -> None:
    for file in entry.files:
        if file.use == "pack":
            _unpack(fetched[file.name], folder, scratch)
        elif file.use == "photos":
            _shards(entry, file, fetched, folder, scratch)
        else:
            _place(fetched[file.name], folder / (file.save_as or file.name))
    if entry.preprocessing is not None:
        declared = entry.preprocessing.to_dict()
        write_text(folder / "preprocessing.yaml", yaml.safe_dump(declared, sort_keys=False, default_flow_style=None))


def _shards(entry: CatalogEntry, file: File, fetched: Mapping[str, Path], folder: Path, scratch: Path) -> None:
    """Photo shards straight from an archive or a folder; nothing is unpacked to disk but a tgz, once."""
    scratch.mkdir(parents=True, exist_ok=True)
    source, meta = fetched[file.name], shards.Meta("photos", entry.name, entry.licence)
    if file.people is not None:
        opened = photos.open_listed(source, photo_lists.read_people(fetched[file.people]), scratch=scratch)
    else:
        only = None if file.only is None else fetched[file.only]
        depth = 2 if entry.layout == "identity-view" else 1
        opened = photos.open_photos(source, entry.layout != "unlabelled", scratch=scratch, depth=depth, only=only)
    with opened as listed:
        ingest.write_photos(listed, folder, meta, entry.name, entry.counts.photos)
        if file.keep is not None:
            _keep(listed.files, file.keep, folder)


def _keep(files: FileSource, kept: str, folder: Path) -> None:
    """Copy the files below the folder `kept`, wherever it lies, but for photos to `folder`/`kept`."""
    for name in files.names:
        parts = PurePosixPath(name).parts
        if kept not in parts[:-1] or files.is_photo(name):
            continue
        target = folder.joinpath(*parts[parts.index(kept) :])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files.read(name))


def _place(source: Path, target: Path) -> None:
    """Copy a file, or give a large one a second name, so that it takes no further disk."""
    (link_or_copy if source.stat().st_size >= _LINKED_FROM else shutil.copyfile)(source, target)


def _unpack(source: Path, folder: Path, scratch: Path) -> None:
    """Copy the files of a pack out of the archive or folder `source`, whatever folders they lie in there."""
    scratch.mkdir(parents=True, exist_ok=True)
    with open_source(source, _PACK_LIMITS, scratch) as files:
        for name in files.names:
            member = PurePosixPath(name).name
            if member not in _PACK_FILES and not member.endswith(".bin"):
                continue
            if (folder / member).exists():
                raise FormatError(f"{source} holds several {member}; unpack the one you mean into a folder.")
            if source.is_dir():
                _place(source / name, folder / member)
                continue
            with (folder / member).open("wb") as target:
                target.writelines(files.pieces(name))
    if not (folder / "train.rec").is_file():
        raise FormatError(f"{source} holds no train.rec; it is no InsightFace pack.")


def _check_counts(entry: CatalogEntry, found: SetCounts) -> None:
    for name, expected in entry.counts.model_dump(exclude_none=True).items():
        actual = getattr(found, name)
        if actual != expected:
            raise AcquireError(
                f"{entry.name} should hold {expected} {name} but holds {actual}; the files fetched are not the "
                f"published ones: delete or replace them."
            )
