"""Shards to files, whose names are safe on every system."""

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec.interop import exporting, photos
from facerec.interop.exporting import safe_file, safe_name
from facerec.store import shard_writing, shards
from tests import packs as drawn

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IMAGE = drawn.jpeg(0)
HOSTILE = st.one_of(
    TEXT, st.sampled_from(["..", ".", "/", "../../x", "CON", "nul.jpg", "a.jpg", "A.JPG", "a/b", "list.txt"])
)


def files(folder):
    """Contents of all files below `folder` by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_faces_go_to_folders_of_their_identities(tmp_path):
    rows = [(0, "Ann", "Ann/Ann_0001.png"), (1, "Bob", "Bob/Bob_0001.jpeg"), (0, "Ann", "Ann/Ann_0002")]
    one, two, three = drawn.face_set(tmp_path / "faces", rows)
    assert exporting.export_images(tmp_path / "faces", tmp_path / "out") == {"images": 3, "folders": 2}
    assert files(tmp_path / "out") == {"Ann/Ann_0001.jpg": one, "Ann/Ann_0002.jpg": three, "Bob/Bob_0001.jpeg": two}


def test_photos_come_back_as_they_went_in(tmp_path):
    rows = [(0, "Ann", "Ann/Ann_0001.jpg"), (0, "Ann", "Ann/Ann_0002.jpg"), (1, "Bob", "Bob/Bob_0001.jpg")]
    drawn.face_set(tmp_path / "photos", rows, kind="photos")
    exporting.export_images(tmp_path / "photos", tmp_path / "out")
    shard_writing.write_shards(photos.photo_rows(tmp_path / "out"), tmp_path / "again", shards.Meta("photos", "drawn"))
    one, other = (tmp_path / name / "part-00000.arrow" for name in ("photos", "again"))
    assert one.read_bytes() == other.read_bytes()


def test_images_of_nobody_keep_the_folders_of_their_source(tmp_path):
    images = drawn.face_set(tmp_path / "faces", [(-1, "", "a1/a2/x.jpg"), (-1, "", "y.jpg")])
    exporting.export_images(tmp_path / "faces", tmp_path / "out")
    assert files(tmp_path / "out") == {"a1/a2/x.jpg": images[0], "y.jpg": images[1]}


def test_a_list_file_names_every_image_and_its_label(tmp_path):
    rows = [(4, "Ann  Lee", "Ann Lee/Ann Lee 1.jpg"), (-1, "", "b/x.jpg"), (4, "Ann  Lee", "Ann Lee/2.jpg")]
    drawn.face_set(tmp_path / "faces", rows)
    exporting.export_images(tmp_path / "faces", tmp_path / "out", list_file=True)
    lines = (tmp_path / "out/list.txt").read_text().splitlines()
    assert lines == ["Ann_Lee/Ann_Lee_1.jpg 4", "Ann_Lee/2.jpg 4", "b/x.jpg -1"]
    assert all((tmp_path / "out" / line.split()[0]).is_file() for line in lines)


def test_a_limit_takes_the_first_images(tmp_path):
    images = drawn.face_set(tmp_path / "faces", [(i, f"p{i}", f"{i}.jpg") for i in range(5)])
    assert exporting.export_images(tmp_path / "faces", tmp_path / "out", limit=2) == {"images": 2, "folders": 2}
    assert files(tmp_path / "out") == {"p0/0.jpg": images[0], "p1/1.jpg": images[1]}


def test_names_that_collide_are_numbered_in_the_order_of_the_set(tmp_path):
    rows = [(0, "a:b", "x/1.jpg"), (1, "a?b", "y/1.jpg"), (2, "A_B", "z/1.jpg"), (0, "a:b", "w/1.JPG")]
    images = drawn.face_set(tmp_path / "faces", rows)
    exporting.export_images(tmp_path / "faces", tmp_path / "out")
    assert files(tmp_path / "out") == {
        "a_b/1.jpg": images[0],
        "a_b/1_2.JPG": images[3],
        "a_b_2/1.jpg": images[1],
        "A_B_3/1.jpg": images[2],
    }


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=8), st.booleans())
def test_no_name_leaves_the_folder_or_is_lost(tmp_path, names, listed):
    identities = sorted({name for name, _ in names} - {""})
    made = [
        {"image": IMAGE, "label": identities.index(who) if who else -1, "identity": who, "source": source}
        for who, source in names
    ]
    shard_writing.write_shards(made, tmp_path / "faces", shards.Meta("photos", "hostile"))
    before = set(tmp_path.iterdir())
    exporting.export_images(tmp_path / "faces", tmp_path / "out", listed)
    assert set(tmp_path.iterdir()) <= {*before, tmp_path / "out"}
    found = files(tmp_path / "out")
    lines = found.pop("list.txt", b"").decode().splitlines()
    assert list(found.values()) == [IMAGE] * len(names)
    assert len({unicodedata.normalize("NFC", path).casefold() for path in found}) == len(names)
    for path in found:
        assert all(safe_name(part) == part for part in path.split("/"))
    if listed:
        assert sorted(line.split(" ")[0] for line in lines) == sorted(found)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Ann_Lee", "Ann_Lee"),
        ("José", "José"),
        ("..", "_"),
        ("a/b\\c:d", "a_b_c_d"),
        ("tail. .", "tail"),
        (".hidden", "_.hidden"),
        ("COM1.txt", "_COM1.txt"),
        ("console", "console"),
        ("a\n\x00b", "a__b"),
        ("x" * 300 + ".jpg", "x" * 116 + ".jpg"),
        ("é" * 100, "é" * 60),
    ],
)
def test_a_safe_name(name, wanted):
    assert safe_name(name) == wanted


@given(TEXT | st.text(max_size=300))
def test_a_safe_name_is_safe_and_stays_as_it_is(name):
    clean = safe_name(name)
    assert safe_name(clean) == clean
    assert 0 < len(clean.encode("utf-8", "surrogatepass")) <= 130
    assert not set(clean) & set('<>:"/\\|?*\0\n')
    assert clean not in (".", "..")


@pytest.mark.parametrize(
    ("name", "suffix", "wanted"),
    [
        ("a.jpg", ".jpg", "a.jpg"),
        ("a.JPEG", ".jpg", "a.JPEG"),
        ("a.png", ".jpg", "a.jpg"),
        ("J.R", ".jpg", "J.R.jpg"),
        ("a.jpg", "", "a.jpg"),
        ("a", "", "a.dat"),
    ],
)
def test_an_extension_says_what_the_content_is(name, suffix, wanted):
    assert safe_file(name, suffix) == wanted


def test_what_is_no_image_is_written_all_the_same(tmp_path):
    row = {"image": b"cut", "label": 0, "identity": "A", "source": "A/1.jpg"}
    shard_writing.write_shards([row], tmp_path / "photos", shards.Meta("photos", "x"))
    exporting.export_images(tmp_path / "photos", tmp_path / "out")
    assert files(tmp_path / "out") == {"A/1.jpg": b"cut"}


def test_an_empty_set_gives_an_empty_folder(tmp_path):
    drawn.face_set(tmp_path / "faces", [])
    assert exporting.export_images(tmp_path / "faces", tmp_path / "out") == {"images": 0, "folders": 0}
    assert files(tmp_path / "out") == {}
