"""Sets go out in the formats of other systems and come back as they were; what is damaged is refused in one sentence."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.cli import app
from facerec.core import FormatError, ParamsError, console
from facerec.interop import exchange, pair_lists
from facerec.store import shard_writing, shards
from tests import packs as drawn

ROWS = [(0, "Ann", "Ann/Ann_0001.jpg"), (0, "Ann", "Ann/Ann_0002.jpg"), (1, "Bob Lee", "Bob Lee/Bob Lee_0001.jpg")]
POINTS = np.arange(10, dtype=np.float32).reshape(5, 2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos of two people with landmarks, and the pairs of them."""
    images = [drawn.jpeg(number) for number in range(3)]
    rows = [
        {"image": image, "label": label, "identity": identity, "source": source, "landmarks": POINTS + number}
        for number, (image, (label, identity, source)) in enumerate(zip(images, ROWS, strict=True))
    ]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "drawn"))
    (tmp_path / "photos/pairs.txt").write_text("Ann/Ann_0001.jpg\tAnn/Ann_0002.jpg\t1\nAnn_0001\tBob Lee_0001\t0\n")
    return tmp_path / "photos"


def told(path: Path) -> list[tuple[bytes, int, str]]:
    opened = shards.read_shards(path)
    return [(bytes(opened.image(row)), int(opened.labels[row]), opened.identities[row]) for row in range(len(opened))]


def run(*words: object) -> int:
    return console.run_command(lambda: app(list(map(str, words)), standalone_mode=False))


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_photos_come_back(photos: Path, tmp_path: Path, form: str) -> None:
    assert run("export", photos, tmp_path / "out", "--format", form) == 0
    assert run("import", tmp_path / "out", tmp_path / "again", "--format", form, "--json") == 0
    assert told(tmp_path / "again") == told(photos)
    sources = shards.read_shards(tmp_path / "again").sources
    assert sources == [source for *_, source in ROWS]
    found = shards.read_shards(tmp_path / "again").row(2)["landmarks"]
    if form in ("webdataset", "lfw"):
        np.testing.assert_array_equal(found, POINTS + 2)


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_aligned_faces_come_back_and_bytes_depend_on_nothing_else(tmp_path: Path, form: str) -> None:
    drawn.face_set(tmp_path / "faces", [*ROWS, (-1, "", "x/nobody.jpg")])
    for name in ("one", "two"):
        exchange.export_set(tmp_path / "faces", tmp_path / name, form)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("one", "two"))
    assert one == two
    exchange.import_set(tmp_path / "one", tmp_path / "again", form, aligned=True)
    again = shards.read_shards(tmp_path / "again", "faces")
    assert again.meta.size == shards.read_shards(tmp_path / "faces").meta.size
    assert sorted(told(tmp_path / "again")) == sorted(told(tmp_path / "faces"))


def test_a_limit_and_unknown_formats(photos: Path, tmp_path: Path) -> None:
    assert exchange.export_set(photos, tmp_path / "out", "parquet", limit=2) == {"images": 2}
    with pytest.raises(ParamsError, match="No format 'voc'; use webdataset, imagefolder, parquet, lfw"):
        exchange.export_set(photos, tmp_path / "out", "voc")
    assert run("import", photos, tmp_path / "x", "--format", "lfw", "--unlabelled") == 1
    assert run("import", photos, tmp_path / "x", "--faces") == 1


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_webdataset_of_others_has_numbers_only(tmp_path: Path) -> None:
    one, two = drawn.jpeg(1), drawn.jpeg(2)
    members = {"10.jpg": one, "10.cls": b"10\n", "9.jpg": two, "9.cls": b"2", "9.txt": b"a caption", "8.cls": b"1"}
    tar_of(tmp_path / "set.tar", members)
    assert exchange.import_set(tmp_path / "set.tar", tmp_path / "out", "webdataset") == {"images": 2, "identities": 2}
    assert told(tmp_path / "out") == [(one, 1, "10"), (two, 0, "2")]  # numbers by their value
    assert shards.read_shards(tmp_path / "out").sources == ["set/10.jpg", "set/9.jpg"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"1.cls": b"1"}, "holds no images in the form webdataset"),
        ({"1.jpg": b"\xff\xd8\xff", "1.png": b"x"}, "two members of one kind for 1: 1.jpg and 1.png"),
        ({"1.jpg": b"\xff\xd8\xff", "1.json": b"{"}, "is not valid JSON"),
        ({"1.jpg": b"\xff\xd8\xff", "1.json": b'{"landmarks": [1]}'}, "landmarks"),
        ({"1.jpg": b"\xff\xd8\xff", "1.cls": b"1" * (2 << 20)}, "longer than 1,048,576 bytes"),
        ({"../1.jpg": b"\xff\xd8\xff"}, "no safe name"),
    ],
)
def test_a_damaged_webdataset_is_refused(tmp_path: Path, members: dict[str, bytes], reason: str) -> None:
    tar_of(tmp_path / "set.tar", members)
    with pytest.raises(FormatError, match=reason):
        exchange.import_set(tmp_path / "set.tar", tmp_path / "out", "webdataset")
    assert not (tmp_path / "out").exists()


def test_an_image_folder_with_a_csv_in_each_split(tmp_path: Path) -> None:
    for split, number in (("test", 1), ("train", 2)):
        (tmp_path / "set" / split).mkdir(parents=True)
        (tmp_path / "set" / split / "a, b.jpg").write_bytes(drawn.jpeg(number))
        with (tmp_path / "set" / split / "metadata.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["file_name", "label"], ["a, b.jpg", number]])
    exchange.import_set(tmp_path / "set", tmp_path / "out", "imagefolder")
    assert told(tmp_path / "out") == [(drawn.jpeg(1), 0, "1"), (drawn.jpeg(2), 1, "2")]
    assert shards.read_shards(tmp_path / "out").sources == ["test/a, b.jpg", "train/a, b.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"file_name": "b.jpg"}', "names 'b.jpg', which is not there"),
        ('{"file_name": "../a.jpg"}', r"names '\.\./a\.jpg', which is not there"),
        ("[1]", "line 1: expected an object"),
        ("{", "line 1 is not valid JSON"),
    ],
)
def test_wrong_metadata_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.jpg").write_bytes(drawn.jpeg(1))
    (tmp_path / "set/metadata.jsonl").write_text(text)
    with pytest.raises(FormatError, match=reason):
        exchange.import_set(tmp_path / "set", tmp_path / "out", "imagefolder")


def test_an_image_folder_without_metadata_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(drawn.jpeg(1))
    with pytest.raises(FormatError, match="import it without --format"):
        exchange.import_set(tmp_path, tmp_path / "out", "imagefolder")


def test_a_table_of_others_names_its_classes(tmp_path: Path) -> None:
    features = {"label": {"names": ["Zoe", "Ann"], "_type": "ClassLabel"}}
    images = [{"bytes": drawn.jpeg(number), "path": None} for number in range(2)]
    table = pa.table({"image": images, "label": [0, 1]})
    named = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(named, tmp_path / "set.parquet")
    exchange.import_set(tmp_path / "set.parquet", tmp_path / "out", "parquet")
    assert told(tmp_path / "out") == [(drawn.jpeg(0), 1, "Zoe"), (drawn.jpeg(1), 0, "Ann")]
    assert shards.read_shards(tmp_path / "out").sources == ["set/00000000", "set/00000001"]


def test_what_is_no_table_of_images_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "set.parquet"
    for table, reason in (
        (pa.table({"label": [1], "image": [{"bytes": None, "path": "a.jpg"}]}), "its image is not in the table"),
        (pa.table({"text": ["a"]}), "has no column identity or label"),
        (pa.table({"label": [7], "image": [b"x"]}), "cannot be decoded|no image"),
    ):
        pq.write_table(table, place)
        with pytest.raises(FormatError, match=reason):
            exchange.import_set(place, tmp_path / "out", "parquet", aligned=True)
    place.write_bytes(place.read_bytes()[:-20])
    with pytest.raises(FormatError, match="no Parquet table"):
        exchange.import_set(place, tmp_path / "out", "parquet")
    place.unlink()
    with pytest.raises(FormatError, match="no Parquet table"):
        exchange.import_set(place, tmp_path / "out", "parquet")


def test_lfw_as_datumaro_writes_it(photos: Path, tmp_path: Path) -> None:
    exchange.export_set(photos, tmp_path / "out", "lfw")
    text = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.txt")}
    assert text["people.txt"] == "Ann\t2\nBob Lee\t1\n"
    assert text["pairs.txt"] == "Ann\t1\t2\nAnn\t1\tBob Lee\t1\n"
    assert text["landmarks.txt"].splitlines()[0] == "Ann/Ann_0001.jpg\t0\t1\t2\t3\t4\t5\t6\t7\t8\t9"
    (tmp_path / "out/annotations").mkdir()
    (tmp_path / "out/pairs.txt").rename(tmp_path / "out/annotations/pairs.txt")
    exchange.import_set(tmp_path / "out", tmp_path / "again", "lfw")
    listed = pair_lists.read_pairs(tmp_path / "again/pairs.txt", shards.read_shards(tmp_path / "again").sources)
    assert (listed.first.tolist(), listed.second.tolist(), listed.same.tolist()) == ([0, 0], [1, 2], [True, False])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("pairs.txt", "Ann\t1\t9\n", "line 1: there is no photo 'Ann/Ann_0009' below images/"),
        ("pairs.txt", "Ann 1 2 3\nAnn\t1\n", "line 2: expected 'name i j'"),
        ("landmarks.txt", "Ann/Ann_0001.jpg\t1\t2\n", "line 1: expected a photo and 10 numbers"),
        ("landmarks.txt", "Ann/Ann_0001.jpg" + "\tnan" * 10, "line 1: expected a photo and 10 numbers"),
    ],
)
def test_wrong_lists_are_refused(photos: Path, tmp_path: Path, name: str, text: str, reason: str) -> None:
    exchange.export_set(photos, tmp_path / "out", "lfw")
    (tmp_path / "out" / name).write_text(text)
    with pytest.raises(FormatError, match=reason):
        exchange.import_set(tmp_path / "out", tmp_path / "again", "lfw")


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    drawn.face_set(tmp_path / "faces", [(0, "../../evil", "../../evil/../x.jpg"), (1, "CON", "nul.jpg")])
    exchange.export_set(tmp_path / "faces", tmp_path / "in/side/out", "lfw")
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "in"}
    assert [path.name for path in (tmp_path / "in/side").iterdir()] == ["out"]
