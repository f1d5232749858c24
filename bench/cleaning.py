"""Recall and precision of `facerec clean`: errors planted in photos of people, aligned, and looked for.

    python bench/cleaning.py [PEOPLE]

Needs FACEREC_MIRROR with celeba-299.tar (folders of photos a person; for non-commercial research), the weights of
RetinaFace and of foamliu's MobileFaceNet, and some minutes of one core; what it made is kept in .facerec/cleaning. It takes
all people or so many, plants 5 % errors of each kind in them (`plant`), and prints for each kind how many were planted and
found. Photos of CelebA have errors of their own: what is found without planting too is counted apart, and precision is
given with and without these.
"""

from __future__ import annotations

import resource
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from _photos import mirror
from numpy.typing import NDArray

from facerec.catalog import entries
from facerec.catalog.sets import acquire
from facerec.cli.faces import align
from facerec.core import atomic_dir
from facerec.curation.cleaning import KINDS, find_errors
from facerec.imaging import images
from facerec.store.shards import read_shards

WORK = Path(".facerec/cleaning")
SHARE = 0.05
"""Of the photos that get an error of each kind, and of the people who get a second name."""
Image = NDArray[np.uint8]


@dataclass
class Planted:
    """Where errors were planted: foreign and unusable photos, copies with their originals, and second names."""

    foreign: set[str] = field(default_factory=set)
    unusable: set[str] = field(default_factory=set)
    duplicate: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def plant(folder: Path, out: Path) -> Planted:
    """Write the photos of `folder` (a folder a person) to `out` with errors; a photo gets one at most.

    Foreign: given to another person. Unusable: blurred, reduced to a twelfth, darkened, or streaked. Duplicate: a copy cut
    by up to 4 % of its sides, resized to 70 to 95 %, brighter or darker by up to 10 %, and compressed again. Two names: half
    of a person's photos go to a new name.
    """
    random, planted = np.random.default_rng(7), Planted()
    people = sorted(path.name for path in folder.iterdir() if path.is_dir())
    photos = [f"{person}/{path.name}" for person in people for path in sorted((folder / person).iterdir())]
    count = round(SHARE * len(photos))
    chosen = [photos[k] for k in random.permutation(len(photos))[: 3 * count]]
    foreign, unusable, copied = chosen[:count], chosen[count : 2 * count], chosen[2 * count :]
    second = [people[k] for k in random.permutation(len(people))[: round(SHARE * len(people))]]
    planted.names = {f"{person}b": person for person in second}
    for photo in photos:
        person, name = photo.split("/")
        data = (folder / photo).read_bytes()
        mine = person
        if photo in foreign:
            mine = str(random.choice([other for other in people if other != person]))
        elif person in second and random.random() < 0.5:
            mine = f"{person}b"
        place = f"{mine}/{name}"
        if photo in foreign:
            planted.foreign.add(place)
        if photo in unusable:
            data = images.encode_jpeg(SPOILERS[random.integers(len(SPOILERS))](images.decode(data), random))
            planted.unusable.add(place)
        if photo in copied:
            planted.duplicate[f"{mine}/copy_{name}"] = place
            put(out / f"{mine}/copy_{name}", copy(images.decode(data), random))
        put(out / place, data)
    return planted


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def copy(image: Image, random: np.random.Generator) -> bytes:
    """A near-duplicate as another web page would have it."""
    height, width = image.shape[:2]
    cut = [round(side * random.uniform(0, 0.04)) for side in (height, width, height, width)]
    part = image[cut[0] : height - cut[2], cut[1] : width - cut[3]]
    scale = random.uniform(0.7, 0.95)
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lit = np.clip(small * random.uniform(0.9, 1.1), 0, 255).astype(np.uint8)
    return images.encode_jpeg(lit, int(random.integers(50, 85)))


def blur(image: Image, random: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(6, 11)), np.uint8)


def reduce(image: Image, random: np.random.Generator) -> Image:
    small = cv2.resize(image, None, fx=1 / 12, fy=1 / 12, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def darken(image: Image, random: np.random.Generator) -> Image:
    return np.clip(image * random.uniform(0.04, 0.1) + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def streak(image: Image, random: np.random.Generator) -> Image:
    length = int(random.integers(31, 51))
    kernel = np.zeros((length, length), np.float32)
    cv2.line(kernel, (0, int(random.integers(length))), (length - 1, int(random.integers(length))), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


SPOILERS: tuple[Callable[[Image, np.random.Generator], Image], ...] = (blur, reduce, darken, streak)


def aligned(photos: Path) -> Path:
    """The face set of a folder of photos."""
    faces = photos.with_name(f"{photos.name}_faces")
    if not faces.is_dir():
        align(photos, faces, detector="retinaface_mnet025", engine="onnxruntime")
    return faces


def found_in(faces: Path) -> dict[str, set[str]]:
    """What cleaning finds, by kind: photos, or second names with the first ("b to a")."""
    errors = find_errors(faces, WORK / "mobilefacenet_foamliu_pt", engine="onnxruntime")
    print(faces.name, errors.metrics(errors.decisions({})))
    kinds: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for each in errors.found:
        kinds[each.reason].add(each.photo or " ".join(sorted((each.identity, each.like))))
    return kinds


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 299
    if not (WORK / "mobilefacenet_foamliu_pt").is_dir():
        acquire(entries.load_entry("mobilefacenet_foamliu_pt"), WORK / "mobilefacenet_foamliu_pt")
    before, after = WORK / f"people_{count}", WORK / f"spoiled_{count}"
    if not before.is_dir():
        with tarfile.open(mirror() / "celeba-299.tar") as archive, atomic_dir(before) as folder:
            chosen = sorted({name.split("/")[0] for name in archive.getnames()})[:count]
            archive.extractall(
                folder, [each for each in archive.getmembers() if each.name.split("/")[0] in chosen], filter="data"
            )
    planted = plant(before, after)
    own, now = found_in(aligned(before)), found_in(aligned(after))
    seen = set(read_shards(aligned(after)).sources)
    print("kind        planted  named  right  recall  for any reason  precision  and without errors of the set's own")
    anything = set().union(*now.values())
    for kind, wanted in truths(planted, seen).items():
        hits = {each for each in wanted if each & now[kind]}
        right = set().union(*hits) & now[kind]
        others = now[kind] - right
        new = others - own[kind]
        recall = len(hits) / len(wanted)
        precision, apart = (len(right) / max(1, len(right) + len(rest)) for rest in (others, new))
        counts = f"{len(wanted):8} {len(now[kind]):6} {len(hits):6}"
        somehow = sum(bool(each & anything) for each in wanted) / len(wanted)
        print(f"{kind:10} {counts} {recall:7.3f} {somehow:15.3f} {precision:10.3f} {apart:10.3f}")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} CPU seconds besides detection's processes")


def truths(planted: Planted, seen: set[str]) -> dict[str, set[frozenset[str]]]:
    """For each kind the planted errors whose faces were found, each as what a right answer may name."""
    copies = {frozenset(pair) for pair in planted.duplicate.items() if seen.issuperset(pair)}
    return {
        "two-names": {frozenset([" ".join(sorted(pair))]) for pair in planted.names.items()},
        "unusable": {frozenset([photo]) for photo in planted.unusable & seen},
        "duplicate": copies,
        "foreign": {frozenset([photo]) for photo in planted.foreign & seen},
    }


if __name__ == "__main__":
    main()
