"""The detection table of a photo set."""

import dataclasses
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError
from facerec.detection import finding, table
from facerec.detection.faces import Faces
from facerec.imaging import images
from facerec.store import shard_writing, shards
from tests import cartoon

OPTIONS = {"min_face": 40}
PHOTOS = table._JOB + 6  # two jobs
CUT, BLANK, TWO = 3, PHOTOS - 1, 5


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Shards of drawn photos (one cut short, one without a face, one with two), and their true landmarks."""
    folder = tmp_path_factory.mktemp("photos")
    rows, truth = [], []
    for number in range(PHOTOS):
        drawn = [{"width": 70.0 + number % 7, "centre": (98.0 + number % 5, 100.0)}]
        if number == TWO:
            drawn = [{"width": 50.0, "centre": (50.0, 60.0)}, {"width": 80.0, "centre": (130.0, 110.0)}]
        image, landmarks = cartoon.photo(*(drawn if number != BLANK else []))
        data = images.encode_jpeg(image)
        rows.append(
            {
                "image": data[: len(data) // 2] if number == CUT else data,
                "label": number // 2,
                "identity": f"p{number // 2:02d}",
                "source": f"p{number // 2:02d}/{number:03d}.jpg",
            }
        )
        truth.append(landmarks)
    shard_writing.write_shards(rows, folder / "photos", shards.Meta("photos", "drawn", licence="CC0"))
    counts = table.detect_set(folder / "photos", folder / "detections.parquet", "mtcnn", OPTIONS, workers=1)
    return folder, truth, counts


def test_counts_tell_what_was_found(scene):
    assert scene[2] == table.DetectionCounts(
        photos=PHOTOS,
        with_face=PHOTOS - 2,
        several_faces=1,
        faces=PHOTOS - 1,
        undecodable=1,
        shortest_side=200,
        longest_side=200,
    )


def test_table_gives_the_faces_of_each_photo(scene):
    folder, truth, _ = scene
    found = table.read_detections(folder / "detections.parquet")
    assert len(found) == PHOTOS
    assert found.sources == shards.read_shards(folder / "photos").sources
    assert len(found[TWO]) == 2
    assert len(found[CUT]) == len(found[BLANK]) == 0
    assert "cut short" in found.errors[CUT]
    assert found.errors[BLANK] == ""
    assert found.sizes[0].tolist() == [200, 200]
    assert found.sizes[CUT].tolist() == [0, 0]
    for photo in (0, 1, PHOTOS - 2):
        assert np.abs(found[photo].landmarks[0] - truth[photo][0]).max() < 5


def test_table_has_the_documented_columns(scene):
    written = pq.read_table(scene[0] / "detections.parquet")
    assert written.column_names == [
        "photo", "source", "view", "face", "box", "landmarks", "score", "width", "height", "error",
    ]  # fmt: skip
    blank = written.filter(np.asarray(written["photo"]) == BLANK).to_pylist()
    assert [(row["face"], row["box"], row["score"]) for row in blank] == [(-1, None, None)]
    two = written.filter(np.asarray(written["photo"]) == TWO).to_pylist()
    assert [row["face"] for row in two] == [0, 1]
    assert two[0]["score"] >= two[1]["score"]
    assert len(two[0]["landmarks"]) == 10


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(scene):
    folder, _, counts = scene
    again = folder / "again.parquet"
    assert table.detect_set(folder / "photos", again, "mtcnn", OPTIONS, workers=2) == counts
    assert digest(again) == digest(folder / "detections.parquet")


def test_bytes_do_not_depend_on_the_decoding_batches(scene, monkeypatch):
    folder, _, _ = scene
    monkeypatch.setattr(finding, "_DECODED", 100_000)
    again = folder / "small-batches.parquet"
    table.detect_set(folder / "photos", again, "mtcnn", OPTIONS, workers=1)
    assert digest(again) == digest(folder / "detections.parquet")


def test_an_empty_set_has_an_empty_table(tmp_path):
    shard_writing.write_shards([], tmp_path / "photos", shards.Meta("photos", "nothing"))
    counts = table.detect_set(tmp_path / "photos", tmp_path / "d.parquet", "mtcnn", workers=1)
    assert dataclasses.astuple(counts) == (0,) * 7


def test_what_is_no_table_is_refused(tmp_path, scene):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(FormatError, match="not a readable detection table"):
        table.read_detections(path)
    with pytest.raises(FormatError, match="not a readable detection table"):
        table.read_detections(tmp_path / "missing.parquet")
    pq.write_table(pq.read_table(scene[0] / "detections.parquet").drop(["score"]), path)
    with pytest.raises(FormatError, match="not a readable detection table"):
        table.read_detections(path)


class Sure:
    """A detector that finds the whole image; scores it by its width."""

    name = "sure"

    def detect(self, images):
        return [
            Faces(
                np.float32([[-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5]]),
                np.zeros((1, 5, 2), np.float32),
                np.float32([image.shape[1] / 1000]),
            )
            for image in images
        ]


@pytest.mark.parametrize(("retry", "again"), [(0.0, []), (0.25, [0]), (1.0, [0, 1])])
def test_photos_below_the_retry_score_are_looked_at_again(tmp_path, monkeypatch, retry, again):
    rows = [
        {"image": images.encode_jpeg(np.zeros((100, width, 3), np.uint8)), "label": 0, "identity": "a"}
        | {"source": f"{width}.jpg"}
        for width in (200, 300)
    ]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "plain"))
    monkeypatch.setattr(table, "build_detector", lambda name, **options: Sure())
    counts = table.detect_set(tmp_path / "photos", tmp_path / "d.parquet", "sure", workers=1, retry=retry)
    assert counts == table.DetectionCounts(
        2, 2, several_faces=0, faces=2, undecodable=0, shortest_side=100, longest_side=300
    )
    found = table.read_detections(tmp_path / "d.parquet")
    assert [photo for photo in (0, 1) if len(found.retried(photo))] == again
    for photo, width in enumerate((200, 300)):
        assert found[photo].boxes.tolist() == [[-0.5, -0.5, width - 0.5, 99.5]]
        if photo in again:
            # the view has 64 pixels around a photo of 160 x (80 or 53)
            scale_x, scale_y = width / 160, 100 / (80, 53)[photo]
            box = [-64 * scale_x - 0.5, -64 * scale_y - 0.5, 224 * scale_x - 0.5]
            np.testing.assert_allclose(found.retried(photo).boxes[0, :3], box, atol=0.01)
            assert found.retried(photo).scores[0] == np.float32(0.288)


def made_table(path, faces):
    """A table of photos with so many faces each, of which every third has one in its padded view too."""
    rows = []
    for photo, count in enumerate(faces):
        plain = {"photo": photo, "source": f"{photo}.jpg", "width": 90 + photo % 5, "height": 80, "error": ""}
        if not count:
            rows.append(
                plain | {"view": 0, "face": -1} | ({"width": 0, "height": 0, "error": "cut"} if photo % 2 else {})
            )
        for face in range(count):
            place = {"box": [photo, face, 1, 2], "landmarks": list(range(10)), "score": 1 / (face + 1)}
            rows.append(plain | place | {"view": int(face > 0 and photo % 3 == 0), "face": face})
    found = pa.Table.from_pylist(rows, table.SCHEMA)
    table._write_table((found.slice(start, 7) for start in range(0, len(found), 7)), path)
    return found


@pytest.mark.parametrize("group", [1, 5, 1 << 16])
def test_a_table_in_groups_is_read_job_by_job(tmp_path, monkeypatch, group):
    faces = np.random.default_rng(3).integers(0, 5, 60).tolist()
    monkeypatch.setattr(table, "GROUP", group)
    written = made_table(tmp_path / "d.parquet", faces)
    assert pq.read_table(tmp_path / "d.parquet").equals(written)
    assert pq.read_metadata(tmp_path / "d.parquet").num_row_groups == -(-len(written) // group)
    whole, pieces = table.read_detections(tmp_path / "d.parquet"), table.DetectionTable(tmp_path / "d.parquet")
    assert pieces.counts() == whole.counts()
    assert pieces.faces_of_photos().tolist() == np.diff(whole.starts).tolist()
    for job in (range(1), range(7, 23), range(22, 60), range(60), range(9, 9)):
        found = pieces.read(job)
        assert found.sources == whole.sources[job.start : job.stop]
        assert found.errors == whole.errors[job.start : job.stop]
        assert found.sizes.tolist() == whole.sizes[job.start : job.stop].tolist()
        for place, photo in enumerate(job):
            for one, other in ((found[place], whole[photo]), (found.retried(place), whole.retried(photo))):
                assert one.boxes.tolist() == other.boxes.tolist()
                assert one.scores.tolist() == other.scores.tolist()
    with pytest.raises(FormatError, match="lacks some of the photos 59 to 61"):
        pieces.read(range(59, 61))


def test_a_small_table_has_the_bytes_of_one_written_whole(tmp_path):
    for name, faces in (("few", [1, 0, 3]), ("none", [])):
        found = made_table(tmp_path / name, faces)
        pq.write_table(found.combine_chunks(), tmp_path / "whole")
        assert digest(tmp_path / name) == digest(tmp_path / "whole")


def test_a_table_knows_its_photos(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "GROUP", 5)
    made_table(tmp_path / "d.parquet", [1, 0, 3, 4, 0, 2, 1])
    for name, sources, right in (
        ("same", range(7), True),
        ("fewer", range(6), False),
        ("more", range(8), False),
        ("other", [0, 1, 2, 4, 3, 5, 6], False),
    ):
        rows = [{"image": b"", "label": 0, "identity": "", "source": f"{each}.jpg"} for each in sources]
        shard_writing.write_shards(rows, tmp_path / name, shards.Meta("photos", name))
        opened = shards.read_shards(tmp_path / name)
        assert table.DetectionTable(tmp_path / "d.parquet").is_of(opened) is right


@pytest.mark.attack("Halves and mixtures", "a detection table without one of its photos", "refused; the table is named")
def test_a_table_that_lacks_a_photo_is_refused(tmp_path):
    found = made_table(tmp_path / "d.parquet", [1, 1, 1])
    pq.write_table(found.filter(np.array([True, False, True])), tmp_path / "d.parquet")
    with pytest.raises(FormatError, match="not numbered one by one"):
        table.read_detections(tmp_path / "d.parquet")
