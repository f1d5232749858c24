"""The synthetic world: five rendered sets in the forms of real ones, which share no people.

| part | form | contents |
|---|---|---|
| people | photo shards | training photos, some in profile |
| pack | InsightFace pack | train.rec, and lfw, agedb_30 and cfp_fp as .bin |
| lfw | photo shards, pairs.txt | ten folds of same and different pairs, people of a fold in no other |
| facescrub | photo shards, noise list | probes; some photos show a stranger under the name |
| megaface | photo shards, noise list | one photo a person; some show people of facescrub |

Each set draws its people from a world of its own name, so sets share nobody by construction; the noise
planted in megaface is the one exception, and its list says where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facerec.catalog.entries import CatalogEntry
from facerec.core import AcquireError, ParamsError, atomic_dir
from facerec.imaging.images import decode
from facerec.interop import photo_lists, recordio, verification_packs
from facerec.interop.pair_lists import write_lfw
from facerec.store import shard_writing, shards
from synthfaces import studio
from synthfaces.sampling import CaptureConfig, stream
from synthfaces.studio import Person, Pose, Session, render_session, render_sessions

PROBES = 20  # people of facescrub whom noise in megaface may show
_LICENCE = "CC0-1.0"
_NOTE = "Planted noise of a synthetic set, in the published form."
_TRAINING = CaptureConfig(yaw=20, wide=0.2, face=(0.42, 0.5), occlusion=0.08)
_LFW = CaptureConfig(yaw=13, face=(0.38, 0.46), occlusion=0.05)
_PROBE = CaptureConfig(yaw=16, face=(0.4, 0.5), occlusion=0.06)
_ALIGNED = CaptureConfig(yaw=13, face=(0.52, 0.56), shift=0.015, occlusion=0.05)

Named = tuple[str, str]
"""Identity and source of a row of a photo set."""


def render_set(entry: CatalogEntry, path: str | Path, options: Mapping[str, Any] | None = None) -> None:
    """Render the set of catalog entry `entry` as directory `path`, which is replaced whole.

    `options` override those of the entry. Raises ParamsError for an entry that is downloaded, and AcquireError as
    `generate` does.
    """
    if entry.generator is None:
        raise ParamsError(f"render.{entry.name} is no rendered set; name it below download.")
    generate(str(entry.part), Path(path), **{**entry.options, **(options or {})})


def generate(part: str, path: Path, *, seed: int, **sizes: int) -> None:
    """Write one part of the world of `seed` as directory `path`, replaced whole at the end.

    Sizes: people(identities, photos), pack(identities, photos, pairs), lfw(pairs), facescrub(identities,
    photos), megaface(distractors). `pairs` counts all pairs of a benchmark and is a multiple of 20.
    Raises AcquireError for an unknown part, an impossible size or a missing head model.
    """
    if part not in _PARTS:
        raise AcquireError(f"The synthetic world has no part {part!r}; use one of {', '.join(_PARTS)}.")
    writer, wanted = _PARTS[part]
    if set(sizes) != set(wanted) or any(size < 1 for size in sizes.values()):
        raise AcquireError(f"The part {part!r} needs positive {' and '.join(wanted)}, not {sizes or 'nothing'}.")
    if sizes.get("pairs", 0) % (2 * FOLDS):
        raise AcquireError(f"pairs of the part {part!r} must be a multiple of 20, not {sizes['pairs']}.")
    with atomic_dir(path) as folder:
        writer(folder, seed, **sizes)


def generate_people(folder: Path, seed: int, identities: int, photos: int) -> None:
    """Training photos: source p0001/p0001_0003.jpg."""
    called = [f"p{index + 1:04d}" for index in range(identities)]
    sessions = _sessions(seed, "people", identities, _ordinary(photos), _TRAINING, 200)
    _write_photos(folder, "synth_people", sessions, [_name_photos(name, photos) for name in called])


def generate_pack(folder: Path, seed: int, identities: int, photos: int, pairs: int) -> None:
    """An InsightFace pack of aligned faces; age gaps and profiles are in agedb_30.bin and cfp_fp.bin."""
    capture = replace(_ALIGNED, yaw=_TRAINING.yaw, wide=_TRAINING.wide)
    sessions = _sessions(seed, "pack", identities, _ordinary(photos), capture, 160, aligned=True)
    rules = {"lfw": draw_ordinary, "agedb_30": draw_age_gap, "cfp_fp": draw_profiles}
    plans = {name: Plan(seed, f"pack {name}", pairs, rule) for name, rule in rules.items()}
    benchmarks = [_sessions(seed, plan.world, plan.people, plan.poses, _ALIGNED, 160, True) for plan in plans.values()]
    rendered = render_sessions([*sessions, *chain.from_iterable(benchmarks)], "synth_pack")
    people = ([picture.jpeg for picture in pictures] for pictures in rendered)
    recordio.write_train(folder, enumerate(islice(people, identities)), (112, 112))
    for name, plan in plans.items():
        _write_bin(folder / f"{name}.bin", plan, list(islice(people, plan.people)))
    next(people, None)  # ends the workers and their progress bar


def generate_lfw(folder: Path, seed: int, pairs: int) -> None:
    """LFW-style photos Name/Name_0001.jpg with pairs.txt; a few show a second person behind."""
    world = Plan(seed, "lfw", pairs)
    called = studio.sample_names(world.people, stream(seed, "names", "lfw"))
    sessions = _sessions(seed, "lfw", world.people, world.poses, _LFW, 250, bystanders=0.05)
    _write_photos(folder, "synth_lfw", sessions, [_name_photos(name, 4) for name in called])
    named = [((called[a], i + 1), (called[b], j + 1), same) for (a, i), (b, j), same in world.pairs()]
    write_lfw(named, folder / "pairs.txt", FOLDS)


def generate_facescrub(folder: Path, seed: int, identities: int, photos: int) -> None:
    """Probes Name/Name_12345.jpg; one photo in 25 shows a stranger and is listed as noise."""
    rng = stream(seed, "names", "facescrub")
    called = studio.sample_names(identities, rng)
    numbers = np.sort(rng.choice(np.arange(100, 60_000), (identities, photos), replace=False), axis=1)
    wrong = _choose_some(identities * photos, 0.04, rng)
    sessions, rows, noises = [], [], []
    for (index, column), number in np.ndenumerate(numbers):
        name, place = called[index], index * photos + column
        person = Person("facescrub strangers", place) if place in wrong else Person("facescrub", index)
        sessions.append(Session(seed, "facescrub", person, (Pose(column),), _PROBE, 200))
        rows.append([(name, f"{name}/{name}_{number}.jpg")])
        noises += [f"{name}_{number}.jpg"] if place in wrong else []
    _write_photos(folder, "synth_facescrub", sessions, rows)
    photo_lists.write_noises(sorted(noises), folder / "facescrub_noises.txt", _NOTE)


def generate_megaface(folder: Path, seed: int, distractors: int) -> None:
    """Distractors a1/a2/name.jpg of unknown people; one in 50 shows a person of facescrub."""
    rng = stream(seed, "names", "megaface")
    accounts = rng.choice(np.arange(10_000_000, 99_999_999), distractors, replace=False)
    wrong = _choose_some(distractors, 0.02, rng)
    sessions, rows, noises = [], [], []
    for index, account in enumerate(accounts):
        planted = index in wrong
        person = Person("facescrub", int(rng.integers(PROBES))) if planted else Person("megaface", index)
        source = f"{account // 100_000}/{account}@N0{rng.integers(10)}/{rng.integers(10**9, 10**10)}_0.jpg"
        sessions.append(Session(seed, "megaface", person, (Pose(index),), _PROBE, 200))
        rows.append([("", source)])
        noises += [source] if index in wrong else []
    _write_photos(folder, "synth_megaface", sessions, rows)
    photo_lists.write_noises(sorted(noises), folder / "megaface_noises.txt", _NOTE)


_PARTS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "people": (generate_people, ("identities", "photos")),
    "pack": (generate_pack, ("identities", "photos", "pairs")),
    "lfw": (generate_lfw, ("pairs",)),
    "facescrub": (generate_facescrub, ("identities", "photos")),
    "megaface": (generate_megaface, ("distractors",)),
}


def render_examples(people: int, photos: int, seed: int) -> list[NDArray[np.uint8]]:
    """RGB photos of people of no set, person after person, for a contact sheet."""
    sessions = _sessions(seed, "sheet", people, _ordinary(photos), _TRAINING, 160)
    return [decode(picture.jpeg) for session in sessions for picture in render_session(session)]


def _sessions(
    seed: int,
    world: str,
    people: int,
    poses: Callable[[int], tuple[Pose, ...]],
    capture: CaptureConfig,
    size: int,
    aligned: bool = False,
    bystanders: float = 0.0,
) -> list[Session]:
    """Sessions of the first `people` of a world in their `poses`."""
    return [
        Session(seed, world, Person(world, index), poses(index), capture, size, aligned, bystanders)
        for index in range(people)
    ]


def _ordinary(photos: int) -> Callable[[int], tuple[Pose, ...]]:
    """The same poses for everybody, with nothing asked of their `photos`."""
    return lambda person: tuple(map(Pose, range(photos)))


def _name_photos(name: str, photos: int) -> list[Named]:
    return [(name, f"{name}/{name}_{number:04d}.jpg") for number in range(1, photos + 1)]


def _choose_some(count: int, share: float, rng: Generator) -> set[int]:
    """About `share` of 0..count-1, at least one."""
    return {int(place) for place in rng.choice(count, max(1, round(share * count)), replace=False)}


def _write_photos(folder: Path, dataset: str, sessions: Sequence[Session], rows: Sequence[Sequence[Named]]) -> None:
    """Render `sessions` into photo shards; `rows` says what their photos are called."""
    identities = sorted({identity for session in rows for identity, _ in session if identity})
    labels = {identity: label for label, identity in enumerate(identities)}

    def photos() -> Iterator[dict[str, Any]]:
        for named, taken in zip(rows, render_sessions(sessions, dataset), strict=True):
            for (identity, source), picture in zip(named, taken, strict=True):
                yield {
                    "image": picture.jpeg,
                    "label": labels.get(identity, -1),
                    "identity": identity,
                    "source": source,
                    "box": picture.box,
                    "landmarks": picture.landmarks,
                }

    shard_writing.write_parts(photos(), folder, shards.Meta("photos", dataset, _LICENCE))


def _write_bin(path: Path, plan: Plan, taken: Sequence[Sequence[bytes]]) -> None:
    """Write the pairs of a benchmark as a verification pack; `taken` are the photos of each of its people."""
    images: list[bytes] = []
    same = []
    for (a, first), (b, second), equal in plan.pairs():
        images += [taken[a][first], taken[b][second]]
        same.append(equal)
    verification_packs.write_bin(path, images, same)


FOLDS = 10
Rule = Callable[[Generator], tuple[Pose, ...]]
"""Draws four photos of a person: the first ones of pairs (numbers 0, 1), then the second ones (2, 3)."""


def draw_ordinary(rng: Generator) -> tuple[Pose, ...]:
    """Four ordinary photos."""
    return tuple(Pose(number) for number in range(4))


def draw_age_gap(rng: Generator) -> tuple[Pose, ...]:
    """Two young and two old photos, at least 30 years apart."""
    ages = (*rng.uniform(22, 36, 2), *rng.uniform(67, 82, 2))
    return tuple(Pose(number, age=float(age)) for number, age in enumerate(ages))


def draw_profiles(rng: Generator) -> tuple[Pose, ...]:
    """Two frontal photos (|yaw| < 10 degrees) and two profiles (65 to 90)."""
    front, side = rng.uniform(-9.5, 9.5, 2), rng.uniform(66, 88, 2) * rng.choice([-1, 1], 2)
    return tuple(Pose(number, yaw=float(yaw)) for number, yaw in enumerate((*front, *side)))


Photo = tuple[int, int]
"""Person and photo number of a benchmark, from 0."""


@dataclass(frozen=True)
class Plan:
    """A benchmark of `count` pairs (a multiple of 20) in ten folds, each with people of its own.

    A genuine pair is a first and a second photo of one person, an impostor pair a first photo of one and a second
    photo of another person of the fold; no pair occurs twice.
    """

    seed: int
    world: str
    count: int
    rule: Rule = draw_ordinary

    @property
    def half(self) -> int:
        """Genuine pairs a fold, and as many impostor pairs."""
        return self.count // (2 * FOLDS)

    @property
    def fold_people(self) -> int:
        """People a fold: each gives four genuine pairs."""
        return max(2, -(-self.half // 4))

    @property
    def people(self) -> int:
        """People of all folds."""
        return FOLDS * self.fold_people

    def poses(self, person: int) -> tuple[Pose, ...]:
        """The four photos of `person`."""
        return self.rule(stream(self.seed, "poses", self.world, person))

    def pairs(self) -> Iterator[tuple[Photo, Photo, bool]]:
        """First photo, second photo and whether they show one person; a fold's genuine pairs come first."""
        for fold in range(FOLDS):
            rng = stream(self.seed, "pairs", self.world, fold)
            members = range(fold * self.fold_people, (fold + 1) * self.fold_people)
            for same in (True, False):
                choices = [
                    ((a, first), (b, second), same)
                    for a in members
                    for b in members
                    for first in (0, 1)
                    for second in (2, 3)
                    if (a == b) == same
                ]
                yield from (choices[place] for place in sorted(rng.permutation(len(choices))[: self.half]))
