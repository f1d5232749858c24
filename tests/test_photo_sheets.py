"""The sheet of a photo set: what was found, what was taken, and what gave no face."""

from pathlib import Path

import numpy as np
import pytest

from facerec import aligning
from facerec.core import ParamsError
from facerec.detection import table
from facerec.detection.faces import Faces
from facerec.imaging import images, sheets
from facerec.params import Align
from facerec.reporting import photo_sheets
from facerec.store import shard_writing, shards
from tests import cartoon

TILE = (sheets.TILE + 3 * sheets.CAPTION, 2 * sheets.TILE + 3 * sheets.CAPTION + 2)
GREEN, WHITE = np.array([0, 230, 60]), np.array([255, 255, 255])
TITLE = 24


class Pretended:
    """Finds as many faces as the photo's name wants: its red corner says how many, best first."""

    name = "pretended"

    def detect(self, pictures):
        return [self._faces(round(float(picture[0, 0, 0]) / 100)) for picture in pictures]

    def _faces(self, count):
        boxes = np.float32([(60 + 8 * n, 50, 140 + 8 * n, 150) for n in range(count)]).reshape(-1, 4)
        _, points = cartoon.photo({})
        landmarks = np.repeat(points.astype(np.float32), count, axis=0)
        return Faces(boxes, landmarks, np.linspace(0.9, 0.6, count).astype(np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Eight photos: five with a face, one with two, one without, one that is no image."""
    folder = tmp_path_factory.mktemp("set")
    rows = []
    for number, count in enumerate([1, 1, 1, 1, 1, 2, 0]):
        picture = cartoon.photo({})[0]
        picture[:16, :16] = 100 * count
        row = {"image": images.encode_jpeg(picture), "label": -1, "identity": "", "source": f"{number}.jpg"}
        rows.append(row)
    rows.append({"image": b"nothing", "label": -1, "identity": "", "source": "7.jpg"})
    shard_writing.write_shards(rows, folder / "photos", shards.Meta("photos", "drawn"))
    patch = pytest.MonkeyPatch()
    patch.setattr(table, "build_detector", lambda name, **options: Pretended())
    table.detect_set(folder / "photos", folder / "d.parquet", "pretended", workers=1, retry=0)
    patch.undo()
    aligning.align_set(folder / "photos", folder / "d.parquet", folder / "faces", workers=1)
    return folder


def drawn(made: Path) -> np.ndarray:
    return photo_sheets.photo_sheet(made / "photos", made / "d.parquet", made / "faces")


def tile(sheet: np.ndarray, top: int, column: int) -> np.ndarray:
    left = column * (TILE[1] + 2)
    return sheet[top + TITLE : top + TITLE + TILE[0], left : left + TILE[1]]


def near(pixels: np.ndarray, colour: np.ndarray) -> int:
    return int((np.abs(pixels.astype(int) - colour).max(axis=-1) < 40).sum())


def test_the_rows_are_random_worst_several_and_none(made: Path) -> None:
    sheet = drawn(made)
    row = TITLE + TILE[0]
    assert sheet.shape == (4 * row, sheets.WIDTH, 3)
    several = tile(sheet, 2 * row, 0)[:, : TILE[0]]
    assert near(several, GREEN) > 200  # the one that was taken
    assert near(several, WHITE) > 100  # the other one
    single = tile(sheet, row, 1)[:, : TILE[0]]
    assert near(single, GREEN) > 200
    assert near(single, WHITE) < near(several, WHITE) / 2
    assert (tile(sheet, 2 * row, 1) == 255).all()  # only one photo has several faces


def test_a_photo_without_a_face_stands_beside_an_empty_place(made: Path) -> None:
    sheet = drawn(made)
    top = 3 * (TITLE + TILE[0])
    blank, broken = tile(sheet, top, 0), tile(sheet, top, 1)
    for each in (blank, broken):
        assert near(each[:, : TILE[0]], GREEN) == 0
        assert (each[: sheets.TILE, -sheets.TILE :] == 225).all()
    assert (broken[: TILE[0], : TILE[0]] == 120).all()  # what cannot be decoded is grey


def test_the_face_beside_a_photo_is_the_one_in_the_set(made: Path) -> None:
    sheet = drawn(made)
    faces = shards.read_shards(made / "faces", "faces")
    worst = int(np.argmin(faces.table["score"].to_numpy()))
    np.testing.assert_array_equal(
        tile(sheet, TITLE + TILE[0], 0)[: sheets.TILE, -sheets.TILE :], images.decode(faces.image(worst))
    )


def test_a_sheet_is_always_the_same_and_is_a_picture(made: Path, tmp_path: Path) -> None:
    parts = (made / "photos", made / "d.parquet", made / "faces")
    for name in ("one.jpg", "two.jpg"):
        photo_sheets.write_photo_sheet(*parts, tmp_path / name)
    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()
    with pytest.raises(ParamsError, match="png or"):
        photo_sheets.write_photo_sheet(*parts, tmp_path / "three.gif")


def test_a_face_cut_blindly_has_no_landmarks_to_draw(made: Path, tmp_path: Path) -> None:
    options = Align(crop="box", fallbacks=("detector", "crop"))
    aligning.align_set(made / "photos", made / "d.parquet", tmp_path / "faces", options, workers=1)
    sheet = photo_sheets.photo_sheet(made / "photos", made / "d.parquet", tmp_path / "faces")
    assert len(sheet) == len(drawn(made)) + TITLE + TILE[0]  # a row for the fallback crop; one photo is still broken


def test_an_empty_set_has_a_sheet(tmp_path: Path) -> None:
    shard_writing.write_shards([], tmp_path / "photos", shards.Meta("photos", "none"))
    table.detect_set(tmp_path / "photos", tmp_path / "d.parquet", "mtcnn", {"min_face": 40}, workers=1)
    aligning.align_set(tmp_path / "photos", tmp_path / "d.parquet", tmp_path / "faces", workers=1)
    sheet = photo_sheets.photo_sheet(tmp_path / "photos", tmp_path / "d.parquet", tmp_path / "faces")
    assert sheet.shape == (4 * TITLE, sheets.WIDTH, 3)
