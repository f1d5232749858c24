"""A user's own photos as an entry of the catalog, with verification pairs and a profile for an experiment on them.

The photos stay where they are: the download stage finds a link to them in .facerec/downloads/. So the entry in
data/catalog/ and the profile hold no path of this machine; they belong into git, the photos do not.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facerec.catalog import entries, pair_sampling
from facerec.catalog.entries import DOWNLOADS
from facerec.core import FormatError, ParamsError, atomic_file, sha256_of_file, track, write_text
from facerec.interop import photos

_LONGEST = 100
_PAIRS = "pairs.tsv"
_REAL = "_real"  # the profile without synthetic data
_MARK = "`facerec add"  # is in every file written here, so that no other file is replaced


@dataclass(frozen=True)
class AddedDataset:
    """A data set that was added.

    Attributes:
        photos: number of photos.
        identities: number of people.
        pairs: number of verification pairs, 0 for photos to train on.
        apart: whether no person is in two folds of the pairs.
        entry: the file in the catalog.
        profile: the file of the profile.
    """

    photos: int
    identities: int
    pairs: int
    apart: bool
    entry: Path
    profile: Path


@dataclass(frozen=True)
class AddOptions:
    """The use of the photos.

    Attributes:
        split: "test" to measure a network on them, "train" to train on them.
        pairs: most verification pairs to sample.
        model: an entry of the catalog to measure; None for the network that the default experiment trains.
    """

    split: str = "test"
    pairs: int = 6000
    model: str | None = None


def add_dataset(source: Path, name: str, options: AddOptions, profiles: Path, replace: bool = False) -> AddedDataset:
    """Write data/catalog/NAME.yaml and the profile NAME for the photos at `source`, which are in identity folders.

    Equal photos give equal files. Raises ParamsError for a name that is taken or invalid, and FormatError for
    photos that cannot be read or show fewer than two people.
    """
    entry, profile = entries.catalog_folder() / f"{name}.yaml", profiles / f"{name}.yaml"
    _check(name, options, [entry, profile], replace)
    found, digest = _scan(source)
    sampled = None if options.split == "train" else pair_sampling.sample_pairs(found, options.pairs)
    downloads = DOWNLOADS / name
    downloads.mkdir(parents=True, exist_ok=True)
    _link(source, downloads / (name if source.is_dir() else f"{name}.tar"))
    listed = downloads / f"{name}_pairs.txt"
    if sampled is not None:
        lines = [f"{first}\t{second}\t{int(same)}" for first, second, same in sampled.pairs]
        write_text(listed, "\n".join(lines) + "\n")
    described = _entry(name, source, None if sampled is None else listed, found)
    write_text(
        entry, f"# The photos as they were added: {digest}. After a change of theirs, add them again.\n{described}"
    )
    write_text(profile, _profile(name, options, sampled is not None))
    count = len(sampled.pairs) if sampled else 0
    apart = sampled is None or sampled.apart
    return AddedDataset(sum(map(len, found.values())), len(found), count, apart, entry, profile)


def _check(name: str, options: AddOptions, written: list[Path], replace: bool) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ParamsError(f"{name!r} is no name for an entry; use letters, digits and underscores.")
    if options.split not in ("test", "train"):
        raise ParamsError(f"--to is test or train, not {options.split!r}.")
    there = [path for path in written if path.exists()]
    ours = all(_MARK in path.read_text(encoding="utf-8") for path in there)
    if there and not (replace and ours):
        how = "add --replace" if ours else "it is not one of `facerec add`; take another name"
        raise ParamsError(f"{there[0]} exists; {how}.")
    if options.model is not None and entries.load_entry(options.model).kind != "model":
        raise ParamsError(f"{options.model} is no model of the catalog; `facerec catalog` lists them.")


def _scan(source: Path) -> tuple[dict[str, list[str]], str]:
    """Paths of the photos by identity, and a digest of names and bytes."""
    found: dict[str, list[str]] = {}
    whole = hashlib.sha256()
    for row in track(photos.photo_rows(source), source.name, None, "photos"):
        found.setdefault(row["identity"], []).append(row["source"])
        whole.update(f"{row['source']}\0".encode() + hashlib.sha256(row["image"]).digest())
    if len(found) < 2 or "" in found:
        raise FormatError(
            f"{source} does not say who its photos show: put the photos of each person into a folder of their own."
        )
    return found, f"sha256 {whole.hexdigest()}"


def _link(source: Path, place: Path) -> None:
    """Make `place` a link to the photos, atomically; anything else there is not touched."""
    if place.exists() and not place.is_symlink():
        raise ParamsError(f"{place} exists and is no link; move it away.")
    with atomic_file(place) as temporary:
        temporary.unlink()
        temporary.symlink_to(source.resolve())


def _entry(name: str, source: Path, listed: Path | None, found: dict[str, list[str]]) -> str:
    """The catalog's YAML."""
    files: list[dict[str, Any]] = [{"name": f"{name}.tar", "use": "photos"}]
    if not source.is_dir():
        files[0]["versions"] = [{"sha256": sha256_of_file(source)}]
    if listed is not None:
        files.append({"name": listed.name, "save_as": _PAIRS, "versions": [{"sha256": sha256_of_file(listed)}]})
    entry = {
        "name": name,
        "title": f"Own photos, {name}",
        "kind": "photos",
        "files": files,
        "layout": "identity",
        "counts": {"photos": sum(map(len, found.values())), "identities": len(found)},
        "licence": "own photos; say here what the people in them agreed to",
        "pictures": True,  # the report is this machine's, as the photos are
        "manual": f"Photos of your own: {_MARK} PHOTOS {name}` tells this machine where they lie.",
    }
    entries.CatalogEntry.model_validate(entry)
    return yaml.safe_dump(entry, sort_keys=False, width=_LONGEST)


def _profile(name: str, options: AddOptions, verified: bool) -> str:
    """The profile's YAML: the photos, their pairs, and the network to measure on them."""
    profile: dict[str, Any] = {"download": {name: {}}, "photos": {name: options.split}}
    if verified:
        profile["benchmarks"] = {name: {"faces": name, "pairs": f"data/raw/{name}/{_PAIRS}"}}
    if options.model is not None:
        profile = {"base": _REAL, "model": f"data/raw/{options.model}", "networks": [], **profile}
        profile["download"][options.model] = {}
    what = f"measured by {options.model or 'the network of the default experiment'}" if verified else "to train on"
    head = f"# Own photos, {name}, {what}.\n# Made by {_MARK} PHOTOS {name}`; change it as you like.\n"
    return head + yaml.safe_dump(profile, sort_keys=False, width=_LONGEST)
