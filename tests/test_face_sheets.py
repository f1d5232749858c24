"""The contact sheet of a face set: every row that should be there, the same bytes every time."""

import numpy as np
import pytest

from facerec.core import ParamsError
from facerec.imaging import alignment, images
from facerec.reporting import photo_sheets, summary
from facerec.store import shard_writing, shards
from facerec.store.shards import Failure

HEIGHT = 112 + 14 + 24  # a tile, its caption, the title of a row
WIDTH = 12 * 114 - 2


def write(folder, count=30, size=(112, 112), lost=()):
    """Grey faces, brighter by number; scores rise, residuals fall with it; the last has no landmarks."""
    rows = []
    rng = np.random.default_rng(0)
    for number in range(count):
        landmarks = alignment.TEMPLATE + rng.normal(0, 1, (5, 2)) * (count - number) / 4
        known = {"landmarks": landmarks, "score": 0.5 + number / 100, "box": (0, 0, 9, 9), "rung": "detector"}
        image = images.encode_jpeg(np.full((*size, 3), 8 * number, np.uint8))
        row = {"image": image, "label": -1, "identity": "", "source": f"{number}.jpg"}
        rows.append(row | (known if number < count - 1 else {"rung": "crop"}))
    meta = shards.Meta("faces", "grey", size=size, template=alignment.template_name(size))
    folder.mkdir()
    missing = [Failure(source, "", "no-face", "There is no face.") for source in lost]
    shard_writing.write_parts(rows, folder, meta, failures=lambda: missing)
    return folder


def grey(sheet, top, column):
    """The shade in the corner of a tile, where no mark is."""
    return sheet[top + 24 + 5, column * 114 + 5].tolist()


def test_a_sheet_has_its_rows_in_order(tmp_path):
    sheet = photo_sheets.face_sheet(write(tmp_path / "faces"))
    random = 24 + 2 * 126 + 2
    assert sheet.shape == (random + 4 * HEIGHT, WIDTH, 3)
    worst, lowest, crop, detector = (random + row * HEIGHT for row in range(4))
    assert grey(sheet, lowest, 0) == [0, 0, 0]  # the lowest score first
    np.testing.assert_allclose(grey(sheet, lowest, 3), 24, atol=1)
    assert max(grey(sheet, worst, column)[0] for column in range(12)) < 8 * 25
    np.testing.assert_allclose(grey(sheet, crop, 0), 8 * 29, atol=1)
    assert grey(sheet, crop, 1) == [255] * 3  # only one face of that fallback
    assert grey(sheet, detector, 11) != [255] * 3


def test_marks_are_where_the_template_has_them_and_the_left_eye_is_red(tmp_path):
    row = {"image": images.encode_jpeg(np.zeros((224, 224, 3), np.uint8)), "label": -1, "identity": ""}
    known = {"landmarks": alignment.TEMPLATE * 3 + 7, "score": 1.0, "rung": "detector", "source": "x"}
    shard_writing.write_shards(
        [row | known], tmp_path / "set", shards.Meta("faces", "s", size=(224, 224), template="arcface-112")
    )
    sheet = photo_sheets.face_sheet(tmp_path / "set")
    top = 24 + 126 + 24  # below the title of the second row
    for number, (x, y) in enumerate(alignment.TEMPLATE):
        red, green, _ = sheet[top + round(y), round(x)].tolist()
        assert (red > 150 > green) if number == 0 else (green > 150 > red)


def test_photos_without_a_face_are_shown(tmp_path):
    rows = [
        {"image": images.encode_jpeg(np.full((50, 100, 3), 200, np.uint8)), "label": -1, "identity": ""}
        | {"source": "wide.jpg"},
        {"image": b"no image", "label": -1, "identity": "", "source": "bad.jpg"},
    ]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "p"))
    faces = write(tmp_path / "faces", lost=["wide.jpg", "bad.jpg"])
    with_lost, without = photo_sheets.face_sheet(faces, tmp_path / "photos"), photo_sheets.face_sheet(faces)
    assert len(with_lost) == len(without) + HEIGHT
    np.testing.assert_array_equal(with_lost[: len(without)], without)
    np.testing.assert_allclose(with_lost[len(without) + 24 + 56, 56], 200, atol=1)


@pytest.mark.parametrize("size", [(112, 96), (64, 64)])
def test_an_empty_set_and_other_sizes_have_a_sheet(tmp_path, size):
    meta = shards.Meta("faces", "none", size=size, template=alignment.template_name(size))
    shard_writing.write_shards([], tmp_path / "none", meta)
    assert photo_sheets.face_sheet(tmp_path / "none").shape[1] == WIDTH
    assert photo_sheets.face_sheet(write(tmp_path / "some", 3, size)).shape[1] == WIDTH


def test_a_sheet_is_written_as_its_name_says_and_always_the_same(tmp_path):
    faces = write(tmp_path / "faces")
    for name, magic in (("a.jpg", b"\xff\xd8"), ("b.png", b"\x89PNG")):
        photo_sheets.write_face_sheet(faces, None, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        assert first.startswith(magic)
        photo_sheets.write_face_sheet(faces, None, tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
    with pytest.raises(ParamsError, match="png or"):
        photo_sheets.write_face_sheet(faces, None, tmp_path / "c.gif")


def test_the_summary_says_what_was_enrolled():
    counts = {"enrolled": 0.99, "fallbacks": 3, "residual_median": 2.0, "rungs": {"detector": 5}}
    assert summary.headline({"align": {"lfw": counts}}) == {"lfw": {"enrolled": 0.99, "fallbacks": 3}}
