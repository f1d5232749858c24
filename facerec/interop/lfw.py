"""LFW as CVAT and Datumaro write it: images/NAME/NAME_0001.jpg, people.txt, pairs.txt without a header, landmarks.txt.

Lines of pairs.txt, with TABs: "name i j" for one person, "name i other j" for two, "name/photo" for a photo in no pair; i
is a number or the name of a photo. Lines of landmarks.txt: "photo x1 y1 ... x5 y5" in pixels. The lists lie beside images/
or in annotations/. https://github.com/openvinotoolkit/datumaro (the format "lfw")
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from facerec.core import FormatError
from facerec.interop.exporting import TakenNames, safe_file, safe_folder
from facerec.interop.file_sources import FileSource, open_source

_IMAGES, _PEOPLE, _PAIRS, _LANDMARKS = "images", "people.txt", "pairs.txt", "landmarks.txt"
_POINTS = 5


def read_set(path: Path) -> tuple[list[str], Iterator[dict[str, Any]], dict[str, str]]:
    """Identities, images with landmarks, and pairs.txt as lines "path path same", which `facerec verify` reads."""
    with open_source(path) as files:
        names = [name for name in files.names if _IMAGES in PurePosixPath(name).parts[:-1] and files.is_photo(name)]
        sources = [_below_images(name) for name in names]
        landmarks = _landmarks(files, path)
        pairs = "".join(f"{line}\n" for line in _pairs(files, path, sources))
    identities = [str(PurePosixPath(source).parent) if "/" in source else "" for source in sources]
    return identities, _images(path, names, sources, landmarks), {_PAIRS: pairs} if pairs else {}


def _images(
    path: Path, names: list[str], sources: list[str], landmarks: dict[str, list[list[float]]]
) -> Iterator[dict[str, Any]]:
    with open_source(path) as files:
        for name, source in zip(names, sources, strict=True):
            photo = PurePosixPath(source)
            found = landmarks.get(str(photo.with_suffix(""))) or landmarks.get(photo.stem)
            yield {"image": files.read(name), "source": source, "landmarks": found}


def _below_images(name: str) -> str:
    parts = PurePosixPath(name).parts
    return "/".join(parts[parts.index(_IMAGES) + 1 :])


def _lines(files: FileSource, wanted: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    """Place in the file and fields of every line of the lists of that name."""
    for name in files.names:
        if PurePosixPath(name).name == wanted and _IMAGES not in PurePosixPath(name).parts:
            text = files.read(name).decode("utf-8-sig", "replace")
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    yield f"{path}, {name}, line {number}", [field.strip() for field in line.strip().split("\t")]


def _landmarks(files: FileSource, path: Path) -> dict[str, list[list[float]]]:
    """Path or name of a photo, without extension -> (5, 2)."""
    found = {}
    for where, (photo, *values) in _lines(files, _LANDMARKS, path):
        try:
            numbers = [float(value) for value in values]
        except ValueError:
            numbers = []
        if len(numbers) != 2 * _POINTS or not all(map(math.isfinite, numbers)):
            raise FormatError(f"{where}: expected a photo and {2 * _POINTS} numbers, x and y of {_POINTS} points.")
        key = str(PurePosixPath(photo).with_suffix(""))
        if key in found:
            raise FormatError(f"{where}: {photo} has landmarks twice.")
        found[key] = [numbers[place : place + 2] for place in range(0, len(numbers), 2)]
    return found


def _pairs(files: FileSource, path: Path, sources: Sequence[str]) -> Iterator[str]:
    known = {str(PurePosixPath(source).with_suffix("")): source for source in sources}
    for where, fields in _lines(files, _PAIRS, path):
        if len(fields) == 1:  # a photo in no pair
            continue
        if len(fields) not in (3, 4):
            raise FormatError(f"{where}: expected 'name i j' or 'name i other j', separated by TABs.")
        other = fields[0] if len(fields) == 3 else fields[2]
        both = [_photo(fields[0], fields[1]), _photo(other, fields[-1])]
        if lost := [photo for photo in both if photo not in known]:
            raise FormatError(f"{where}: there is no photo {lost[0]!r} below {_IMAGES}/.")
        yield "\t".join([*(known[photo] for photo in both), str(int(len(fields) == 3))])


def _photo(person: str, number: str) -> str:
    """Path of a photo without extension; the person is "-" where it is unknown."""
    name = f"{person}_{int(number):04d}" if number.isdecimal() else number
    return name if person == "-" else f"{person}/{name}"


def write_set(rows: Iterable[dict[str, Any]], folder: Path, pairs: list[tuple[int, int, bool]]) -> None:
    """Write images and lists; `pairs` are (row, row, same person), those that name a photo without a face left out."""
    taken, written = TakenNames(), list[tuple[str, str]]()
    with (folder / _LANDMARKS).open("w", encoding="utf-8", newline="\n") as lines:
        for row in rows:
            person = safe_folder(row["identity"]) if row["identity"] else ""
            name = safe_file(PurePosixPath(row["source"]).name, PurePosixPath(row["name"]).suffix)
            place = PurePosixPath(taken.claim(f"{person}/{name}" if person else name))
            (folder / _IMAGES / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / _IMAGES / place).write_bytes(row["image"])
            written.append((person, place.stem))
            if row["landmarks"] is not None:
                points = "\t".join(f"{value:g}" for value in row["landmarks"].ravel().tolist())
                lines.write(f"{place}\t{points}\n")
    people = sorted(Counter(person for person, _ in written if person).items())
    _write(folder / _PEOPLE, [f"{person}\t{count}" for person, count in people])
    _write(folder / _PAIRS, _pair_lines(written, pairs))


def _pair_lines(written: list[tuple[str, str]], pairs: list[tuple[int, int, bool]]) -> Iterator[str]:
    """Pairs of one person, of two, and the photos in no pair."""
    paired = [pair for pair in pairs if min(pair[:2]) >= 0 and max(pair[:2]) < len(written)]
    for wanted in (True, False):
        for first, second, same in paired:
            if same == wanted:
                one, other = (_identifier(*written[row]) for row in (first, second))
                yield "\t".join([*one, other[1]] if same else [*one, *other])
    used = {row for pair in paired for row in pair[:2]}
    yield from ("/".join(filter(None, each)) for row, each in enumerate(written) if row not in used)


def _identifier(person: str, stem: str) -> tuple[str, str]:
    """Person and number of a photo, or its name where it has no number."""
    number = stem.removeprefix(f"{person}_")
    fits = person and number.isdecimal() and stem == f"{person}_{int(number):04d}"
    return person or "-", str(int(number)) if fits else stem


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
