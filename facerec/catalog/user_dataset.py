"""A user's own photos as entries of the catalog, with verification pairs and a profile for an experiment on them.

The photos stay where they are: the download stage finds a link to them in .facerec/downloads/, and beside it the list of
who is in them and the pairs. So the entries in data/catalog/ and the profile hold no name of a person and no path of
this machine; they belong into git, the photos do not.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.catalog import entries, pair_sampling, user_photos
from facerec.catalog.entries import DOWNLOADS
from facerec.catalog.user_photos import FoundPhotos, People
from facerec.core import FormatError, ParamsError, atomic_file, parse_yaml, require_path, sha256_of_file, write_text
from facerec.interop import pair_lists
from facerec.params import recipes
from facerec.params.recipes import Machine, Proposal

_MARK = "`facerec add"  # is in every file written here, so that no other file is replaced
_HELD_OUT = {
    "own": ("people held out", user_photos.hold_out),
    "own_photos": ("held-out photos of the people trained on", user_photos.hold_out_photos),
}
"""What is tested on photos of the same folder, and how these are chosen; the name ends that of the test set."""
_USES = ("test", "train", "distractors")
_REAL = "_real"  # the profile without synthetic data
_NO_NOISE = "no_noise.txt"


@dataclass(frozen=True)
class AddedDataset:
    """A data set that was added.

    Attributes:
        photos: number of photos.
        identities: number of people, those held out included.
        held_out: number of people that the network is measured on instead of trained.
        held_out_photos: number of photos that it is measured on instead of trained.
        pairs: number of verification pairs of these photos.
        notes: what a person should look at.
        written: the files in the catalog, and the profile.
        recipe: the recipe in the profile of photos to train on.
    """

    photos: int
    identities: int
    held_out: int
    held_out_photos: int
    pairs: int
    notes: tuple[str, ...]
    written: tuple[Path, ...]
    recipe: Proposal | None


@dataclass(frozen=True)
class AddOptions:
    """The use of the photos.

    Attributes:
        split: "test" to measure a network on them, "train" to train on them alone, "distractors" for strangers, one
            photo each, among whom the people of `probes` are looked for.
        pairs: most verification pairs to sample, or a file of pairs.
        model: an entry of the catalog to measure; None for the network that the default experiment trains.
        tests: what the network trained on them is measured on: "own" for some of the people, held out, "own_photos" for
            some of the photos of the others, held out, and entries of the catalog with pairs.
        held_out: share of the people, or of the photos, held out.
        depth: 1 where the folder of a photo is its identity, 2 where the folder above is.
        listed: a list that says who is in the photos; then their folders do not count.
        aligned: they are aligned faces, in which none is detected.
        probes: an added test set, for distractors.
        machine: what will train; None for this one.
    """

    split: str = "test"
    pairs: int | Path = 6000
    model: str | None = None
    tests: tuple[str, ...] = ("own",)
    held_out: float = 0.1
    depth: int = 1
    listed: Path | None = None
    aligned: bool = False
    probes: str | None = None
    machine: Machine | None = None


@dataclass(frozen=True)
class _Set:
    """A set to write: its name, photos by identity, split, how its pairs are made, if it has any, whether held out."""

    name: str
    people: People
    split: str
    pairs: int | Path | None = None
    held_out: bool = False


def add_dataset(source: Path, name: str, options: AddOptions, profiles: Path, replace: bool = False) -> AddedDataset:
    """Write data/catalog/NAME.yaml and the profile NAME for the photos at `source`.

    People that are held out become the entry NAME_own, photos that are held out NAME_own_photos. Equal photos and
    options give equal files. Raises ParamsError for a name that is taken or options that do not go together, and
    FormatError for photos that cannot be read or show fewer than two people; then nothing is written.
    """
    _check_options(name, options)
    _check_probes(options.probes, profiles)
    found = user_photos.scan_photos(source, options.depth, options.listed)
    if options.split != "distractors":
        found.check_people(source)
    if options.aligned:
        found.check_aligned(source)
    sets, tests = _sets(name, found, options), _tests(options)
    places = [entries.catalog_folder() / f"{each.name}.yaml" for each in sets]
    profile = profiles / f"{name}.yaml"
    _check_places([*places, profile], replace)
    notes, count, parts = found.notes(options.aligned), 0, list(tests)
    named, drawn = [_people_list(each) for each in sets], [_pairs(each) for each in sets]
    for each, place, people, (pairs, noted) in zip(sets, places, named, drawn, strict=True):
        listed = _write_lists(each, source, people, pairs)
        count += noted[0]
        notes += noted[1:]
        head = f"# The photos as they were added: {found.digest}. After a change of theirs, add them again.\n"
        write_text(place, head + _entry(each, name, source, listed))
        parts.append(_part(each, options, listed[-1]))
    recipe = _recipe(sets[0], options) if options.split == "train" else None
    write_text(profile, _profile(name, parts, recipe, options))
    held = {photo: who for each in sets[1:] for who, photos in each.people.items() for photo in photos}
    strangers = {*held.values()} - sets[0].people.keys()
    known = len({*found.people} - {""})
    return AddedDataset(found.count, known, len(strangers), len(held), count, tuple(notes), (*places, profile), recipe)


def _check_options(name: str, options: AddOptions) -> None:
    own = options.split == "train" and not _HELD_OUT.keys().isdisjoint(options.tests)
    rules = {
        f"{name!r} is no name for an entry; use letters, digits and underscores": re.fullmatch(r"[A-Za-z0-9_]+", name),
        f"--to is test, train or distractors, not {options.split!r}": options.split in _USES,
        "--model is measured, so it goes with --to test; to train a network further, set train.init in the profile": (
            options.model is None or options.split == "test"
        ),
        "a file of --pairs goes with --to test": options.split == "test" or isinstance(options.pairs, int),
        "--list says who is in the photos, so --depth does not count; give one of them": (
            options.listed is None or options.depth == 1
        ),
        "--to distractors needs --probe-set, the name of a test set that was added": (
            (options.split == "distractors") == (options.probes is not None)
        ),
        "--aligned is for photos to test or to train on": not options.aligned or options.split != "distractors",
        "--held-out is a share of the people or photos, more than 0 and less than 1": not own
        or 0 < options.held_out < 1,
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        raise ParamsError(f"{broken[0]}.")
    if options.model is not None and entries.load_entry(options.model).kind != "model":
        raise ParamsError(f"{options.model} is no model of the catalog; `facerec catalog` lists them.")


def _check_probes(probes: str | None, profiles: Path) -> None:
    """Raise ParamsError unless the profile `probes` has a photo set of that name to test on."""
    if probes is None:
        return
    place = profiles / f"{probes}.yaml"
    known = parse_yaml(place.read_bytes(), str(place)) if place.is_file() else {}
    if not isinstance(known, dict) or known.get("photos", {}).get(probes) != "test":
        raise ParamsError(f"{probes} is no test set that was added; `facerec add PHOTOS {probes}` makes one.")


def _check_places(written: Sequence[Path], replace: bool) -> None:
    there = [path for path in written if path.exists()]
    ours = all(_MARK in path.read_text(encoding="utf-8") for path in there)
    if there and not (replace and ours):
        how = "add --replace" if ours else "it is not one of `facerec add`; take another name"
        raise ParamsError(f"{there[0]} exists; {how}.")


def _sets(name: str, found: FoundPhotos, options: AddOptions) -> list[_Set]:
    """The set of the photos, then those of the people and of the photos held out, if some are."""
    if options.split == "distractors":
        return [_Set(name, found.people, "test")]
    if options.split == "test":
        return [_Set(name, found.people, "test", options.pairs)]
    training, tests = found.people, []
    for test, (_, hold_out) in _HELD_OUT.items():
        if test in options.tests:
            training, held = hold_out(training, options.held_out)
            tests.append(_Set(f"{name}_{test}", held, "test", options.pairs, held_out=True))
    if len(training) < 2:
        raise FormatError(
            f"{len(training)} of {len(found.people)} people are left to train on; lower --held-out, or test on other "
            "photos, such as --test lfw."
        )
    return [_Set(name, training, "train"), *tests]


def _write_lists(made: _Set, source: Path, named: str, pairs: list[pair_sampling.Named]) -> list[Path]:
    """Link the photos and write the list `named` of people and the pairs, if any; returns these files."""
    downloads = DOWNLOADS / made.name
    downloads.mkdir(parents=True, exist_ok=True)
    _link(source, downloads / (made.name if source.is_dir() else f"{made.name}.tar"))
    people = downloads / f"{made.name}_people.tsv"
    write_text(people, named)
    if "" in made.people:
        write_text(downloads / f"{made.name}_{_NO_NOISE}", "# No photo is known to be mislabelled.\n")
        return [people, downloads / f"{made.name}_{_NO_NOISE}"]
    if made.pairs is None:
        return [people]
    suffix = made.pairs.suffix if isinstance(made.pairs, Path) else ".tsv"
    listed = downloads / f"{made.name}_pairs{suffix}"
    if isinstance(made.pairs, Path):
        shutil.copyfile(made.pairs, listed)
    else:
        write_text(listed, "".join(f"{first}\t{second}\t{int(same)}\n" for first, second, same in pairs))
    return [people, listed]


def _people_list(made: _Set) -> str:
    """The list of who is in which photo."""
    return "".join(
        _line(*each) for each in sorted((photo, who) for who, photos in made.people.items() for photo in photos)
    )


def _line(photo: str, name: str) -> str:
    """A line of the list of people; FormatError for a path that no line can hold."""
    if any(text != text.strip() or "\t" in text or len(text.splitlines()) > 1 for text in (photo, name)):
        raise FormatError(f"the photo {photo!r} has a name with a TAB, a line break or a space at its end; rename it.")
    return f"{photo}\t{name}\n" if name else f"{photo} -1\n"


def _pairs(made: _Set) -> tuple[list[pair_sampling.Named], list[Any]]:
    """Sampled pairs; and the number of these or of those in a file, with notes on them."""
    if made.pairs is None:
        return [], [0]
    photos = [photo for each in made.people.values() for photo in each]
    if isinstance(made.pairs, Path):
        require_path(made.pairs, "name a file of pairs, or how many to sample")
        compared = pair_lists.read_pairs(made.pairs, photos)
        lacking = int((compared.first < 0).sum() + (compared.second < 0).sum())
        if lacking == 2 * len(compared):
            raise FormatError(f"{made.pairs} names none of the photos; look how both write the names.")
        told = [f"{lacking:,} photos of the pairs are not there, and count as errors"] if lacking else []
        return [], [len(compared), *told]
    try:
        sampled = pair_sampling.sample_pairs(made.people, made.pairs)
    except FormatError as error:
        if made.held_out:
            count = sum(map(len, made.people.values()))
            raise FormatError(
                f"{count} photos of {len(made.people)} people are held out, too few to make pairs of; raise --held-out, "
                "or test on other photos, such as --test lfw."
            ) from error
        raise
    shared = "too few people for folds without shared ones, so thresholds know the people they are tried on"
    return sampled.pairs, [len(sampled.pairs), *([] if sampled.apart else [shared])]


def _link(source: Path, place: Path) -> None:
    """Make `place` a link to the photos, atomically; anything else there is not touched."""
    if place.exists() and not place.is_symlink():
        raise ParamsError(f"{place} exists and is no link; move it away.")
    with atomic_file(place) as temporary:
        temporary.unlink()
        temporary.symlink_to(source.resolve())


def _kept_name(made: _Set, listed: Path) -> str:
    """Name in the set of a list beside that of people."""
    return _NO_NOISE if "" in made.people else f"pairs{listed.suffix}"


def _entry(made: _Set, name: str, source: Path, listed: Sequence[Path]) -> str:
    """The catalog's YAML of a set with a list of people and perhaps a list of pairs, of photos added as `name`."""
    people = listed[0].name
    files: list[dict[str, Any]] = [{"name": f"{made.name}.tar", "use": "photos", "people": people}]
    if not source.is_dir():
        files[0]["versions"] = [{"sha256": sha256_of_file(source)}]
    for path in listed:
        saved = {} if path.name == people else {"save_as": _kept_name(made, path)}
        files.append({"name": path.name, **saved, "versions": [{"sha256": sha256_of_file(path)}]})
    known = {} if "" in made.people else {"identities": len(made.people)}
    entry = {
        "name": made.name,
        "title": f"Own photos, {made.name}",
        "kind": "photos",
        "files": files,
        "layout": "identity",
        "counts": {"photos": sum(map(len, made.people.values())), **known},
        "licence": "own photos; say here what the people in them agreed to",
        "pictures": True,  # the report is this machine's, as the photos are
        "manual": f"Photos of your own: {_MARK} PHOTOS {name}` tells this machine where they lie.",
    }
    entries.CatalogEntry.model_validate(entry)
    return recipes.dump(entry)


def _tests(options: AddOptions) -> list[dict[str, Any]]:
    """Parts of the profile that measure on entries of the catalog."""
    chosen = options.tests if options.split == "train" else ()
    return [_benchmark(test) for test in chosen if test not in (*_HELD_OUT, "none")]


def _benchmark(name: str) -> dict[str, Any]:
    """The part of the profile that measures on the catalog entry `name`: photos with a list of pairs, or a lone .bin."""
    entry = entries.load_entry(name)
    kept = [file.save_as or file.name for file in entry.files]
    part: dict[str, Any] = {"download": {name: {}}}
    for file in kept:
        if entry.kind == "photos" and Path(file).stem == "pairs":
            listed = {name: {"faces": name, "pairs": f"data/raw/{name}/{file}"}}
            return part | {"photos": {name: "test"}, "benchmarks": listed}
        if entry.kind == "pack" and Path(file).suffix == ".bin":
            member = f"{name}/{Path(file).stem}"
            listed = {name: {"faces": member, "pairs": f"data/faces/test/{member}/pairs.parquet"}}
            return part | {"packs": [name], "benchmarks": listed}
    raise ParamsError(f"{name} of the catalog has no list of pairs to test on; lfw and agedb_30 have one.")


def _part(made: _Set, options: AddOptions, listed: Path) -> dict[str, Any]:
    """The part of the profile about one set, whose last list is `listed`."""
    kept, faces = f"data/raw/{made.name}/{_kept_name(made, listed)}", made.name
    part: dict[str, Any] = {"download": {made.name: {}}}
    if options.aligned:
        part["packs"], faces = [made.name], f"{made.name}/{made.name}"
    else:
        part["photos"] = {made.name: made.split}
    if options.probes is not None:
        roles = {"probes": options.probes, "distractors": made.name}
        part["identification"] = {made.name: roles | {f"{role[:-1]}_noises": kept for role in roles}}
    elif made.split == "test":
        part["benchmarks"] = {made.name: {"faces": faces, "pairs": kept}}
    return part


def _recipe(made: _Set, options: AddOptions) -> Proposal:
    return recipes.propose_recipe(
        sum(map(len, made.people.values())), len(made.people), options.machine or recipes.this_machine()
    )


def _profile(name: str, parts: list[dict[str, Any]], recipe: Proposal | None, options: AddOptions) -> str:
    """The profile's YAML: the photos, their pairs, and the network to train or to measure."""
    what = {
        "test": f"measured by {options.model or 'the network of the default experiment'}",
        "train": "to train on; measured on "
        + " and ".join(_HELD_OUT[test][0] if test in _HELD_OUT else test for test in options.tests),
        "distractors": f"strangers among whom the people of {options.probes} are looked for",
    }[options.split]
    tree: dict[str, Any] = {"base": options.probes} if options.probes else {}
    if options.split == "train":
        tree = {"base": _REAL}
    elif options.model is not None:
        parts = [*parts, {"download": {options.model: {}}}]
        tree = {"base": _REAL, "model": f"data/raw/{options.model}", "networks": []}
    packs = [pack for part in parts for pack in part.pop("packs", [])]
    for key, each in [(key, each) for part in parts for key, each in part.items()]:
        tree[key] = tree.get(key, {}) | each
    tree |= {"packs": packs} if packs else {}
    head = f"# Own photos, {name}, {what}.\n# Made by {_MARK} PHOTOS {name}`; change it as you like.\n"
    text = head + recipes.dump(tree)
    return text if recipe is None else text + recipes.recipe_text(recipe)
