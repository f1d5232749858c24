"""Published lists of verification pairs other than LFW's: photos by their paths, and whether they match.

- Path lists, as InsightFace, Face_Pytorch and FaceX-Zoo keep them: a line "path path same" a pair, parted by
  TABs, commas or spaces; `same` is 1, or 0 or -1.
- CALFW's and CPLFW's pairs_*.txt: two lines "photo number" a pair, number 0 for two people. Where all pairs of
  one person come first, as there, the folds are made as in LFW: a tenth of those, then a tenth of the others.
- CFP's protocol (http://www.cfpw.io): the folder Protocol/Split/FF or FP has a folder a fold with same.txt and
  diff.txt, lines "i,j" of the photos i of Pair_list_F.txt and j of Pair_list_F.txt or, for FP, Pair_list_P.txt;
  a line there is "number path", the path seen from Protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from facerec.core import FormatError

Named = tuple[str, str, bool]
"""Paths of two photos, and whether they show one person."""

_SAME = {"1": True, "0": False, "-1": False}
_NUMBER = re.compile(r"[0-9]{1,9}")
_PATHS = re.compile(r"(.+?\.(?:jpe?g|png|bmp|gif|webp|tiff?))[ ,]+(.+?)[ ,]+(-?[01])", re.IGNORECASE)
_LONGEST = 9000
"""Letters of a line whose paths may hold spaces; to try all cuts of a much longer one would take forever."""
_FOLDS = 10


def read_pair_list(path: str | Path) -> list[Named]:
    """The pairs of a path list, of CALFW's form or of a folder of CFP's protocol, fold after fold.

    Raises FormatError with the line of what is wrong.
    """
    path = Path(path)
    if path.is_dir():
        return _cfp(path)
    lines = list(numbered_lines(path))
    if not lines:
        raise FormatError(f"{path} holds no pairs.")
    if len(_fields(lines[0][1])) == 2:
        return _in_folds(_two_lines(path, lines))
    return [_pair(line, f"{path}, line {number}") for number, line in lines]


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, stripped line) of every line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the pairs {path}: {error}.") from error
    stripped = (line.strip() for line in text.splitlines())
    return ((number, line) for number, line in enumerate(stripped, 1) if line)


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
    for number, line in numbered_lines(path):
        word, _, photo = line.replace("\t", " ").partition(" ")
        if word != str(len(photos) + 1) or not photo.strip():
            raise FormatError(
                f"{path}, line {number}: expected '{len(photos) + 1} path', found {line[:80]!r}."
            )
        photos.append(photo.strip())
    return photos


def _cfp_pairs(path: Path, first: int, second: int) -> list[tuple[int, int]]:
    """Pairs of indices from 0."""
    pairs = []
    for number, line in numbered_lines(path):
        words = [word.strip() for word in line.split(",")]
        values = [int(word) for word in words if _NUMBER.fullmatch(word)]
        if len(words) != 2 or len(values) != 2 or not (1 <= values[0] <= first and 1 <= values[1] <= second):
            raise FormatError(f"{path}, line {number}: expected two photos 'i,j', found {line[:80]!r}.")
        pairs.append((values[0] - 1, values[1] - 1))
    return pairs
