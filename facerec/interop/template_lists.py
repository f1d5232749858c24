"""Lists of the template benchmarks IJB-B and IJB-C, as InsightFace publishes them (IJBB/meta, IJBC/meta), and TinyFace's.

    ijbc_face_tid_mid.txt           a line "photo template medium" a face
    ijbc_name_5pts_score.txt        a line "photo x1 y1 ... x5 y5 score" a face, in the same order: five landmarks in
                                    pixels of the loose crop, and the detector's score
    ijbc_template_pair_label.txt    a line "template template label" a pair, label 1 for one person; 15.7 million lines
    ijbc_1N_gallery_G1.csv, _G2     a header, then "template,subject,..." a face (S1 and S2 in IJB-B)
    ijbc_1N_probe_mixed.csv         likewise

Words are separated by one space, numbers are whole but for landmarks and scores.

TinyFace (https://qmul-tinyface.github.io): the folder Testing_Set holds the folders Probe, Gallery_Match and
Gallery_Distractor, and two files of MATLAB, probe_img_ID_pairs.mat (probe_set, probe_ids) and
gallery_match_img_ID_pairs.mat (gallery_set, gallery_ids): names of photos, and whom each shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from facerec.core import FormatError, short_reason
from facerec.interop.matlab import read_mat
from facerec.interop.photo_lists import matching_rows

_BLOCK = 16 << 20  # bytes of a list that are parsed at once
_POINTS = tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy")
_ENDINGS = {
    "media": "_face_tid_mid.txt",
    "landmarks": "_name_5pts_score.txt",
    "pairs": "_template_pair_label.txt",
    "probes": "_1N_probe_mixed.csv",
}
_GALLERIES = ("_1N_gallery_G1.csv", "_1N_gallery_G2.csv", "_1N_gallery_S1.csv", "_1N_gallery_S2.csv")


@dataclass(frozen=True)
class MediaList:
    """n faces: photo names, and the numbers of their template and medium, (n,) each."""

    names: list[str]
    template: NDArray[np.int32]
    medium: NDArray[np.int32]


@dataclass(frozen=True)
class LandmarkList:
    """n faces: photo names, landmarks (n, 5, 2) in pixels, detector's scores (n,)."""

    names: list[str]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class TemplatePairs:
    """n pairs of templates by number, and whether they show one person."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    same: NDArray[np.bool_]


@dataclass(frozen=True)
class SubjectList:
    """t templates, ascending and each once, and the number of the person each shows."""

    template: NDArray[np.int32]
    subject: NDArray[np.int32]


@dataclass(frozen=True)
class TemplateLists:
    """Where the lists of one benchmark are; None and no galleries for those that are not there."""

    media: Path
    landmarks: Path | None
    pairs: Path | None
    probes: Path | None
    galleries: dict[str, Path]
    """By name: G1 and G2, or S1 and S2."""


def find_template_lists(folder: str | Path) -> TemplateLists:
    """Find the lists in `folder` or its subfolder meta; FormatError where there is no list of media, or two."""
    folder = Path(folder)
    place = folder / "meta" if (folder / "meta").is_dir() else folder
    if not place.is_dir():
        raise FormatError(f"{folder} is no folder; name the one with the lists *{_ENDINGS['media']} and so on.")
    found = {kind: _only(place, ending) for kind, ending in _ENDINGS.items()}
    galleries = {ending.rpartition("_")[2].removesuffix(".csv"): _only(place, ending) for ending in _GALLERIES}
    media = found.pop("media")
    if media is None:
        raise FormatError(f"{place} has no list of templates and media, *{_ENDINGS['media']}.")
    return TemplateLists(media, **found, galleries={name: path for name, path in galleries.items() if path})


def read_media(path: str | Path) -> MediaList:
    """Read the list of templates and media; FormatError with the line of what is wrong."""
    table = _read(path, {"photo": pa.string(), "template": pa.int32(), "medium": pa.int32()})
    return MediaList(table["photo"].to_pylist(), _numbers(table, "template"), _numbers(table, "medium"))


def read_landmarks(path: str | Path) -> LandmarkList:
    """Read the list of landmarks and scores; FormatError with the line of what is wrong, and for NaN or infinity."""
    table = _read(path, {"photo": pa.string(), **dict.fromkeys((*_POINTS, "score"), pa.float32())})
    values = np.stack([_numbers(table, name) for name in (*_POINTS, "score")], axis=1)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise FormatError(f"{path}, line {bad[0] + 1}: a landmark or score is no finite number.")
    return LandmarkList(table["photo"].to_pylist(), values[:, :10].reshape(-1, 5, 2).copy(), values[:, 10].copy())


def landmarks_of(path: str | Path, photos: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Landmarks (n, 5, 2) and scores (n,) of n photos by a list of landmarks; NaN for a photo that it does not name.

    Photos are matched as `photo_lists.matching_rows` does it; FormatError where the list names none of them.
    """
    listed = read_landmarks(path)
    rows = matching_rows(photos, listed.names)
    if (rows < 0).all():
        raise FormatError(f"{path} names none of the photos, the first of which is {photos[0]!r}.")
    landmarks, scores = listed.landmarks[rows], listed.scores[rows]
    landmarks[rows < 0] = np.nan
    return landmarks, scores


def read_template_pairs(path: str | Path) -> TemplatePairs:
    """Read the list of pairs in 9 bytes a pair; FormatError with the line of what is wrong."""
    table = _read(path, {"first": pa.int32(), "second": pa.int32(), "label": pa.int8()})
    label = _numbers(table, "label")
    bad = np.flatnonzero((label != 0) & (label != 1))
    if len(bad):
        raise FormatError(f"{path}, line {bad[0] + 1}: the label of a pair is 1 or 0, not {label[bad[0]]}.")
    return TemplatePairs(_numbers(table, "first"), _numbers(table, "second"), label.astype(bool))


def read_subjects(path: str | Path) -> SubjectList:
    """Read whom the templates of a gallery or of the probes show; FormatError for a template of two people."""
    table = _read(path, {"template": pa.int32(), "subject": pa.int32()}, header=True)
    template, subject = _numbers(table, "template"), _numbers(table, "subject")
    numbers, first, places = np.unique(template, return_index=True, return_inverse=True)
    wrong = np.flatnonzero(subject != subject[first][places])
    if len(wrong):
        row = wrong[0]
        people = f"{subject[first][places[row]]} and {subject[row]}"
        raise FormatError(f"{path}, line {row + 2}: template {template[row]} is of the subjects {people}.")
    return SubjectList(numbers, subject[first])


@dataclass(frozen=True)
class NamedFaces:
    """n photos by name, and the number of the person each shows, (n,)."""

    names: list[str]
    people: NDArray[np.int64]


def read_tinyface(folder: str | Path) -> tuple[NamedFaces, NamedFaces]:
    """The probes and the gallery of TinyFace's Testing_Set; FormatError where a file is missing or damaged."""
    return (
        _named_faces(Path(folder) / "probe_img_ID_pairs.mat", "probe"),
        _named_faces(Path(folder) / "gallery_match_img_ID_pairs.mat", "gallery"),
    )


def _named_faces(path: Path, kind: str) -> NamedFaces:
    values = read_mat(path)
    names, people = values.get(f"{kind}_set"), np.asarray(values.get(f"{kind}_ids", ())).reshape(-1)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise FormatError(f"{path} has no list of names {kind}_set.")
    if people.shape != (len(names),) or people.dtype.kind not in "iuf":
        raise FormatError(f"{path} has {len(names)} names in {kind}_set, but no number for each in {kind}_ids.")
    return NamedFaces(names, people.astype(np.int64))


def _only(folder: Path, ending: str) -> Path | None:
    found = sorted(path for path in folder.iterdir() if path.name.endswith(ending))
    if len(found) > 1:
        raise FormatError(f"{folder} holds {found[0].name} and {found[1].name}; keep the lists of one data set in it.")
    return found[0] if found else None


def _read(path: str | Path, columns: Mapping[str, pa.DataType], header: bool = False) -> pa.Table:
    """The columns of a list; of one with a header the first ones, whatever it calls them."""
    names: list[str] | None = list(columns)
    if header:
        names = [*columns, *(f"column {number}" for number in range(len(columns), _width(path)))]
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(use_threads=False, column_names=names, block_size=_BLOCK, skip_rows=int(header)),
            csv.ParseOptions(delimiter="," if header else " ", quote_char='"' if header else False),
            csv.ConvertOptions(
                column_types=dict(columns), include_columns=list(columns), null_values=[], strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        form = ("," if header else " ").join(columns)
        raise FormatError(f"cannot read {path} as a list of lines {form!r} ({short_reason(error)}).") from error
    if not table.num_rows:
        raise FormatError(f"{path} lists nothing.")
    return table


def _width(path: str | Path) -> int:
    """How many columns the first line names."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.readline(1 << 16).count(",") + 1
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error}.") from error


def _numbers(table: pa.Table, column: str) -> NDArray[Any]:
    return np.asarray(table[column].to_numpy())
