"""The sheet of a benchmark's pairs: errors at the threshold and extremes, each pair once, in their order."""

from pathlib import Path

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.imaging import images, sheets
from facerec.reporting import pair_sheets
from facerec.store import shard_writing, shards
from facerec.store.pairs import Pairs

TITLE, ROW = 24, 24 + sheets.TILE + sheets.CAPTION
COUNT = 60


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Grey faces, brighter by row."""
    folder = tmp_path_factory.mktemp("faces") / "grey"
    rows = [
        {"image": images.encode_jpeg(np.full((112, 112, 3), 4 * row, np.uint8)), "label": -1, "identity": ""}
        | {"source": f"{row}.jpg", "rung": "pack"}
        for row in range(COUNT)
    ]
    shard_writing.write_shards(rows, folder, shards.Meta("faces", "grey", size=(112, 112), template="arcface-112"))
    return folder


def listed(rows: list[tuple[int, int]], same: list[bool]) -> Pairs:
    first, second = np.array(rows, np.int64).T
    return Pairs(first, second, np.array(same))


def shown(sheet: np.ndarray, row: int) -> list[tuple[int, int]]:
    """The faces of the pairs in a row of the sheet; the end is white."""
    middle = TITLE + row * ROW + TITLE + sheets.TILE // 2
    found = []
    for column in range(pair_sheets.PAIR_COLUMNS):
        left = column * (2 * sheets.TILE + 2) + sheets.TILE // 2
        greys = [int(sheet[middle, left + side * sheets.TILE, 0]) for side in (0, 1)]
        if greys != [255, 255]:
            found.append((round(greys[0] / 4), round(greys[1] / 4)))
    return found


def test_each_row_has_its_pairs_in_order(faces: Path) -> None:
    """Threshold 1; same pairs 0..19 at .55, .65, ..., different ones 20..29 at .85, .95, ..."""
    rows = [(pair, pair + 30) for pair in range(30)]
    same = [pair < 20 for pair in range(30)]
    distances = np.array([0.55 + 0.1 * pair if pair < 20 else 0.85 + 0.1 * (pair - 20) for pair in range(30)])
    sheet = pair_sheets.pair_sheet(faces, listed(rows, same), distances, np.ones(30))
    assert sheet.shape == (TITLE + 4 * ROW, sheets.WIDTH, 3)
    assert shown(sheet, 0) == rows[5:11]  # just rejected: 1.05 ... 1.55
    assert shown(sheet, 1) == rows[19:13:-1]  # farthest apart
    assert shown(sheet, 2) == [rows[21], rows[20]]  # just accepted: .95, .85
    assert shown(sheet, 3) == rows[22:28]  # the closest of the others


def test_the_threshold_is_that_of_the_pair(faces: Path) -> None:
    rows = [(0, 1), (2, 3), (4, 5)]
    sheet = pair_sheets.pair_sheet(faces, listed(rows, [True] * 3), np.array([1.0, 1.2, 1.1]), np.array([1.1, 1, 1]))
    assert shown(sheet, 0) == [rows[2], rows[1]]
    assert shown(sheet, 1) == [rows[0]]
    assert len(sheet) == TITLE + 2 * ROW + 2 * TITLE  # nobody different: two titles without tiles


def test_pairs_without_a_face_are_left_out(faces: Path) -> None:
    rows = [(0, 1), (-1, 3), (4, COUNT)]
    sheet = pair_sheets.pair_sheet(faces, listed(rows, [True] * 3), np.array([2.0, np.inf, np.inf]), np.ones(3))
    assert shown(sheet, 0) == [(0, 1)]


def test_distances_of_other_pairs_are_refused(faces: Path) -> None:
    with pytest.raises(FormatError, match="2 pairs do not fit 3 distances"):
        pair_sheets.pair_sheet(faces, listed([(0, 1), (2, 3)], [True, False]), np.ones(3), np.ones(3))


def test_it_is_written_the_same_twice(faces: Path, tmp_path: Path) -> None:
    for name in ("one.jpg", "two.jpg"):
        pair_sheets.write_pair_sheet(faces, listed([(0, 1)], [True]), np.ones(1), np.ones(1), tmp_path / name)
    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()
