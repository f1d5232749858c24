"""Published lists of verification pairs, read as rows of a face set; the pipeline's own tables of pairs too.

- LFW's pairs.txt (http://vis-www.cs.umass.edu/lfw/): a line "folds<TAB>n", then for every fold n lines "name i j"
  and n lines "name i other j".
- Path lists, as InsightFace, Face_Pytorch and FaceX-Zoo keep them: a line "path path same" a pair, separated by
  TABs, commas or spaces; `same` is 1, or 0 or -1.
- CALFW's and CPLFW's pairs_*.txt: two lines "photo number" a pair, number 0 for two people. Where all pairs of
  one person come first, as there, the folds are made as in LFW: a tenth of those, then a tenth of the others.
- CFP's protocol (http://www.cfpw.io): the folder Protocol/Split/FF or FP has a folder a fold with same.txt and
  diff.txt, lines "i,j" of the photos i of Pair_list_F.txt and j of Pair_list_F.txt or, for FP, Pair_list_P.txt;
  a line there is "number path", the path seen from Protocol.
- The list of a bcolz pack (.npy): whether pair i, rows 2i and 2i + 1, is genuine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from facerec.core import Description, FormatError, pair_counts, write_text
from facerec.interop.photo_lists import matching_rows, numbered_lines
from facerec.store.pairs import Pairs, consecutive_pairs, read_genuine, read_pair_table

Photo = tuple[str, int]
"""Identity and 1-based number of a photo: ("Name", 1) is Name/Name_0001.jpg."""
Named = tuple[str, str, bool]
"""Paths of two photos, and whether they show one person."""

_LFW_HEADER = re.compile(r"\s*([0-9]{1,9})(?:\s+([0-9]{1,9}))?\s*")
_SAME = {"1": True, "0": False, "-1": False}
_NUMBER = re.compile(r"[0-9]{1,9}")
_PATHS = re.compile(r"(.+?\.(?:jpe?g|png|bmp|gif|webp|tiff?))[ ,]+(.+?)[ ,]+(-?[01])", re.IGNORECASE)
_LONGEST = 9000
"""Characters of a line whose paths may hold spaces; trying all cuts of a much longer one would take too long."""
_FOLDS = 10
_SIMPLE_PAIR = re.compile(r"(\S+\.\S*)[\s,]+(\S+\.\S*)[\s,]+([01]|-1)")


def read_pairs(path: str | Path, sources: Sequence[str]) -> Pairs:
    """Read the pairs of `path` as rows of a face set whose photos are `sources`.

    `path` is a .parquet of `facerec.store.pairs` or a list in any form named above. Photos are matched as
    `matching_rows` does it; one that `sources` lacks becomes -1. Raises FormatError with the line of what is wrong.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return read_pair_table(path, len(sources))
    if path.suffix == ".npy":
        same = read_genuine(path)
        if 2 * len(same) != len(sources):
            raise FormatError(f"{path} lists {len(same)} pairs, but the set holds {len(sources)} faces.")
        return consecutive_pairs(same)
    lines = [] if path.is_dir() else numbered_lines(path)
    if path.is_file() and (not lines or _LFW_HEADER.fullmatch(lines[0][1])):
        named = [(_lfw_path(first), _lfw_path(second), same) for first, second, same in read_lfw(path)]
    else:
        named = read_pair_list(path)
    try:
        rows = matching_rows((name for pair in named for name in pair[:2]), sources).reshape(-1, 2)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    return Pairs(rows[:, 0].copy(), rows[:, 1].copy(), np.array([pair[2] for pair in named], bool))


def read_pair_list(path: str | Path) -> list[Named]:
    """Read the pairs of a path list, of CALFW's form or of a folder of CFP's protocol, fold after fold.

    Raises FormatError with the line of what is wrong.
    """
    path = Path(path)
    if path.is_dir():
        return _cfp(path)
    lines = _stripped_lines(path)
    if not lines:
        raise FormatError(f"{path} holds no pairs.")
    if len(_fields(lines[0][1])) == 2:
        return _in_folds(_two_lines(path, lines))
    return [_pair(line, f"{path}, line {number}") for number, line in lines]


def read_lfw(path: str | Path) -> list[tuple[Photo, Photo, bool]]:
    """Read the pairs of an official pairs.txt, in its order, with their photos by name and number.

    A one-number header ("500", as in pairsDevTest.txt) means a single fold. Raises FormatError when a
    line is malformed, stands in the wrong half of its fold, is missing or is left over.
    """
    lines = dict(numbered_lines(path))
    folds, size = _lfw_header(lines.pop(1, ""), Path(path))
    expected = 2 * folds * size
    if list(lines) != list(range(2, expected + 2)):
        raise FormatError(f"{path} promises {expected} pairs in lines 2 to {expected + 1}, but holds {len(lines)}.")
    return [_lfw_pair(line, (number - 2) // size % 2 == 0, f"{path}, line {number}") for number, line in lines.items()]


def write_lfw(pairs: Sequence[tuple[Photo, Photo, bool]], path: str | Path, folds: int = 10) -> None:
    """Write pairs in the official form: per fold first the same, then the different ones.

    `pairs` are taken in order, split evenly over `folds`; there must be as many different as same
    pairs, both divisible by `folds`, else FormatError.
    """
    same = [pair for pair in pairs if pair[2]]
    different = [pair for pair in pairs if not pair[2]]
    if len(same) != len(different) or len(same) % folds:
        raise FormatError(f"{len(same)} same and {len(different)} different pairs do not fill {folds} folds.")
    if any(a[0] != b[0] for a, b, _ in same) or any(a[0] == b[0] for a, b, _ in different):
        raise FormatError(f"the names of the pairs for {path} contradict whether they are the same person.")
    size = len(same) // folds
    lines = [f"{folds}\t{size}"]
    matched, mismatched = iter(same), iter(different)
    for _ in range(folds):
        lines += [f"{a[0]}\t{a[1]}\t{b[1]}" for a, b, _ in islice(matched, size)]
        lines += [f"{a[0]}\t{a[1]}\t{b[0]}\t{b[1]}" for a, b, _ in islice(mismatched, size)]
    write_text(path, "\n".join(lines) + "\n")


def describe_pair_list(path: Path, lines: list[str]) -> Description | None:
    """A list of pairs in one file."""
    names = {"names": [line[:120] for line in lines[:5]]}
    if _LFW_HEADER.fullmatch(lines[0]) and len(lines) > 1 and len(lines[1].split()) > 2:
        return _describe_lfw(path, lines[0])
    matches = [match for line in lines if (match := _SIMPLE_PAIR.fullmatch(line))]
    if len(matches) == len(lines):
        counts = pair_counts(np.array([match[3] == "1" for match in matches]))
        photos = {name for match in matches for name in match.groups()[:2]}
        return Description("list of pairs", {**counts, "photos": len(photos), **names})
    if path.name.startswith("pairs") and all(re.fullmatch(r".*\..*\s+-?\d+", line) for line in lines):
        counts = pair_counts(np.array([pair[2] for pair in read_pair_list(path)]))
        return Description("pairs of CALFW or CPLFW", {**counts, **names})
    return None


def _describe_lfw(path: Path, header: str) -> Description:
    found = read_lfw(path)
    photos = {photo for pair in found for photo in pair[:2]}
    folds = int(header.split()[0]) if len(header.split()) == 2 else 1
    facts = {**pair_counts(np.array([same for *_, same in found])), "folds": folds}
    people = {name for name, _ in photos}
    return Description("pairs.txt of LFW", {**facts, "identities": len(people), "photos": len(photos)})


def _lfw_path(photo: Photo) -> str:
    name, number = photo
    return f"{name}/{name}_{number:04d}.jpg"


def _lfw_header(line: str, path: Path) -> tuple[int, int]:
    match = _LFW_HEADER.fullmatch(line)
    if match is None or int(match[1]) < 1 or int(match[2] or 1) < 1:
        raise FormatError(f"{path}, line 1: expected 'folds<TAB>pairs', found {line[:80]!r}.")
    return (int(match[1]), int(match[2])) if match[2] else (1, int(match[1]))


def _lfw_pair(line: str, same: bool, where: str) -> tuple[Photo, Photo, bool]:
    words = line.split("\t") if "\t" in line else line.split()
    wanted = "name<TAB>i<TAB>j" if same else "name<TAB>i<TAB>other<TAB>j"
    numbers = words[1:] if same else words[1::2]
    if len(words) != (3 if same else 4) or not all(_NUMBER.fullmatch(word) and int(word) for word in numbers):
        raise FormatError(f"{where}: expected {wanted}, found {line[:80]!r}.")
    other = words[0] if same else words[2]
    return (words[0], int(numbers[0])), (other, int(numbers[1])), same


def _stripped_lines(path: Path) -> list[tuple[int, str]]:
    return [(number, line.strip()) for number, line in numbered_lines(path)]


def _fields(line: str) -> list[str]:
    for separator in ("\t", ","):
        if separator in line:
            return [field.strip() for field in line.split(separator)]
    return line.split()


def _pair(line: str, where: str) -> Named:
    fields = _fields(line)
    spaced = len(fields) != 3 and len(line) <= _LONGEST
    paths = _PATHS.fullmatch(line) if spaced else None
    first, second, same = paths.groups() if paths else fields if len(fields) == 3 else ("", "", "")
    if same not in _SAME or not first or not second:
        raise FormatError(f"{where}: expected 'path path 0 or 1', found {line[:80]!r}.")
    return first, second, _SAME[same]


def _two_lines(path: Path, lines: list[tuple[int, str]]) -> list[tuple[Named, int]]:
    """Pairs of two lines each, and their numbers."""
    photos = []
    for number, line in lines:
        photo, _, word = line.replace("\t", " ").rpartition(" ")
        if not photo.strip() or not _NUMBER.fullmatch(word):
            raise FormatError(f"{path}, line {number}: expected 'photo number', found {line[:80]!r}.")
        photos.append((photo.strip(), int(word)))
    if len(photos) % 2:
        raise FormatError(f"{path} holds {len(photos)} photos, which make no pairs of two lines each.")
    pairs = list(zip(photos[::2], photos[1::2], strict=True))
    for row, ((first, one), (_, other)) in enumerate(pairs):
        if one != other:
            raise FormatError(f"{path}, pair {row + 1} ({first}): its lines end in {one} and {other}.")
    return [((first, second, number > 0), number) for (first, number), (second, _) in pairs]


def _in_folds(pairs: list[tuple[Named, int]]) -> list[Named]:
    """Ten folds with equally many pairs of each kind; in the order of the list where that cannot be."""
    same = [pair for pair, _ in sorted(pairs, key=lambda entry: entry[1]) if pair[2]]
    other = [pair for pair, _ in pairs if not pair[2]]
    first_kinds = [pair[2] for pair, _ in pairs[: len(same)]]
    if len(same) != len(other) or len(same) % _FOLDS or not all(first_kinds):
        return [pair for pair, _ in pairs]
    size = len(same) // _FOLDS
    cuts = range(0, len(same), size)
    return [pair for cut in cuts for kind in (same, other) for pair in kind[cut : cut + size]]


def _cfp(folder: Path) -> list[Named]:
    """The pairs of Protocol/Split/FF or FP."""
    if folder.name not in ("FF", "FP"):
        raise FormatError(f"{folder} holds no pairs; of CFP name the folder Protocol/Split/FF or FP.")
    protocol = folder.parent.parent
    first = _cfp_photos(protocol / "Pair_list_F.txt")
    second = _cfp_photos(protocol / f"Pair_list_{folder.name[1]}.txt")
    found: list[Named] = []
    sizes = set()
    for fold in sorted(place for place in folder.iterdir() if place.is_dir() and place.name.isdecimal()):
        counted = len(found)
        for name, same in (("same.txt", True), ("diff.txt", False)):
            indices = _cfp_pairs(fold / name, len(first), len(second))
            found += [(first[one], second[other], same) for one, other in indices]
        sizes.add(len(found) - counted)
    if len(sizes) != 1:
        raise FormatError(f"{folder} has folds of {sorted(sizes)} pairs, but they must all be of one size.")
    return found


def _cfp_photos(path: Path) -> list[str]:
    """Paths of the photos, which are numbered 1, 2, 3, ..."""
    photos: list[str] = []
    for number, line in _stripped_lines(path):
        word, _, photo = line.replace("\t", " ").partition(" ")
        if word != str(len(photos) + 1) or not photo.strip():
            raise FormatError(f"{path}, line {number}: expected '{len(photos) + 1} path', found {line[:80]!r}.")
        photos.append(photo.strip())
    return photos


def _cfp_pairs(path: Path, first: int, second: int) -> list[tuple[int, int]]:
    """Pairs of indices from 0."""
    pairs = []
    for number, line in _stripped_lines(path):
        words = [word.strip() for word in line.split(",")]
        values = [int(word) for word in words if _NUMBER.fullmatch(word)]
        if len(words) != 2 or len(values) != 2 or not (1 <= values[0] <= first and 1 <= values[1] <= second):
            raise FormatError(f"{path}, line {number}: expected two photos 'i,j', found {line[:80]!r}.")
        pairs.append((values[0] - 1, values[1] - 1))
    return pairs
