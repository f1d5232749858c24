"""The detection table of a photo set and the face set aligned from it."""

import dataclasses
import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from facerec import alignment, enrolment, images
from facerec.detection import table
from facerec.errors import FormatError, ParamsError
from facerec.formats import failures, shards
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
    shards.write(rows, folder / "photos", shards.Meta("photos", "drawn", licence="CC0"))
    counts = table.detect(folder / "photos", folder / "detections.parquet", "mtcnn", OPTIONS, workers=1)
    return folder, truth, counts


def test_counts_tell_what_was_found(scene):
    assert scene[2] == table.Counts(
        photos=PHOTOS, with_face=PHOTOS - 2, several_faces=1, faces=PHOTOS - 1, undecodable=1
    )


def test_table_gives_the_faces_of_each_photo(scene):
    folder, truth, _ = scene
    found = table.read(folder / "detections.parquet")
    assert len(found) == PHOTOS
    assert found.sources == shards.read(folder / "photos").sources
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
        "photo", "source", "face", "box", "landmarks", "score", "width", "height", "error",
    ]  # fmt: skip
    blank = written.filter(np.asarray(written["photo"]) == BLANK).to_pylist()
    assert [(row["face"], row["box"], row["score"]) for row in blank] == [(-1, None, None)]
    two = written.filter(np.asarray(written["photo"]) == TWO).to_pylist()
    assert [row["face"] for row in two] == [0, 1]
    assert two[0]["score"] >= two[1]["score"]
    assert len(two[0]["landmarks"]) == 10


def test_bytes_do_not_depend_on_the_number_of_workers(scene):
    folder, _, counts = scene
    again = folder / "again.parquet"
    assert table.detect(folder / "photos", again, "mtcnn", OPTIONS, workers=2) == counts
    assert digest(again) == digest(folder / "detections.parquet")


def test_bytes_do_not_depend_on_the_decoding_batches(scene, monkeypatch):
    folder, _, _ = scene
    monkeypatch.setattr(table, "_PIXELS", 100_000)
    again = folder / "small-batches.parquet"
    table.detect(folder / "photos", again, "mtcnn", OPTIONS, workers=1)
    assert digest(again) == digest(folder / "detections.parquet")


def test_an_empty_set_has_an_empty_table(tmp_path):
    shards.write([], tmp_path / "photos", shards.Meta("photos", "nothing"))
    counts = table.detect(tmp_path / "photos", tmp_path / "d.parquet", "mtcnn", workers=1)
    assert dataclasses.astuple(counts) == (0, 0, 0, 0, 0)
    aligned = enrolment.align(tmp_path / "photos", tmp_path / "d.parquet", tmp_path / "faces", workers=1)
    assert aligned == enrolment.Counts(photos=0, faces=0, failures=0, share=0.0, residual=0.0)


def test_what_is_no_table_is_refused(tmp_path, scene):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(FormatError, match="not a readable detection table"):
        table.read(path)
    with pytest.raises(FormatError, match="not a readable detection table"):
        table.read(tmp_path / "missing.parquet")
    pq.write_table(pq.read_table(scene[0] / "detections.parquet").drop(["score"]), path)
    with pytest.raises(FormatError, match="not a table of detections"):
        table.read(path)


@pytest.fixture(scope="module")
def aligned(scene):
    folder, _, _ = scene
    counts = enrolment.align(folder / "photos", folder / "detections.parquet", folder / "faces", workers=1)
    return shards.read(folder / "faces", "faces"), counts


def test_one_face_a_photo_and_failures_with_reasons(aligned):
    faces, counts = aligned
    assert (counts.photos, counts.faces, counts.failures) == (PHOTOS, PHOTOS - 2, 2)
    assert counts.share == (PHOTOS - 2) / PHOTOS
    assert 0 < counts.residual < 6
    reasons = {f.source: f.reason for f in failures.read(faces.path)}
    assert list(reasons) == [f"p01/{CUT:03d}.jpg", f"p{BLANK // 2}/{BLANK:03d}.jpg"]
    assert "cut short" in reasons[f"p01/{CUT:03d}.jpg"]
    assert "no face" in reasons[f"p{BLANK // 2}/{BLANK:03d}.jpg"]


def test_faces_keep_what_is_known_of_the_photo(aligned, scene):
    faces, _ = aligned
    folder, truth, _ = scene
    assert faces.meta == shards.Meta("faces", "drawn", licence="CC0", size=(112, 112), template="arcface-112")
    photos = shards.read(folder / "photos")
    kept = [row for row in range(PHOTOS) if row not in (CUT, BLANK)]
    assert faces.sources == [photos.sources[row] for row in kept]
    assert faces.labels.tolist() == [photos.labels[row] for row in kept]
    assert faces.identities == [photos.identities[row] for row in kept]
    row = faces.row(kept.index(TWO))
    assert row["rung"] == "detector"
    assert row["score"] > 0.7
    # of two faces the one nearer the centre, and larger
    assert np.abs(row["landmarks"] - truth[TWO][1]).max() < 5


def test_crops_show_the_landmarks_on_the_template(aligned, scene):
    faces, _ = aligned
    crop = images.decode(faces.image(0)).astype(int)
    assert crop.shape == (112, 112, 3)
    for x, y in alignment.TEMPLATE[:2].round().astype(int):
        around = crop[y - 4 : y + 5, x - 4 : x + 5].sum(axis=2)
        assert around.min() < 250  # the dark iris
        assert crop[y + 14, x].sum() > 350  # the light cheek
    mouth = crop[int(alignment.TEMPLATE[3:, 1].mean()) - 3 :, 56][:8]
    assert (mouth[:, 0] - mouth[:, 1]).max() > 40  # lips are red: channels are not swapped


def test_face_bytes_do_not_depend_on_the_number_of_workers(aligned, scene, monkeypatch):
    faces, counts = aligned
    folder, _, _ = scene
    monkeypatch.setattr(enrolment, "_JOB", 16)
    again = enrolment.align(folder / "photos", folder / "detections.parquet", folder / "again", workers=2)
    assert again == counts
    for name in ("part-00000.arrow", failures.NAME):
        assert digest(folder / "again" / name) == digest(faces.path / name)


def test_other_sizes_carry_their_template(scene):
    folder, _, _ = scene
    options = enrolment.Options(rule="largest", size=(112, 96), quality=90)
    enrolment.align(folder / "photos", folder / "detections.parquet", folder / "narrow", options, workers=1)
    faces = shards.read(folder / "narrow", "faces")
    assert (faces.meta.size, faces.meta.template) == ((112, 96), "arcface-112x96")
    assert images.decode(faces.image(0)).shape == (112, 96, 3)


def test_a_table_of_other_photos_is_refused(scene, tmp_path):
    folder, _, _ = scene
    row = {"image": b"x", "label": 0, "identity": "a", "source": "a/1.jpg"}
    shards.write([row], tmp_path / "other", shards.Meta("photos", "other"))
    with pytest.raises(FormatError, match="not a table of the photos"):
        enrolment.align(tmp_path / "other", folder / "detections.parquet", tmp_path / "faces")


@pytest.mark.parametrize("options", [enrolment.Options(rule="annotated"), enrolment.Options(size=0)])
def test_impossible_options_are_refused_before_any_work(scene, tmp_path, options):
    folder, _, _ = scene
    with pytest.raises(ParamsError):
        enrolment.align(folder / "photos", folder / "detections.parquet", tmp_path / "faces", options)
    assert not (tmp_path / "faces").exists()


def test_landmarks_without_extent_are_a_failure_not_a_crop(scene, tmp_path):
    folder, _, _ = scene
    found = pq.read_table(folder / "detections.parquet").to_pylist()
    found[0]["landmarks"] = [50.0] * 10
    import pyarrow as pa

    broken = tmp_path / "broken.parquet"
    pq.write_table(pa.Table.from_pylist(found, table._SCHEMA), broken)
    counts = enrolment.align(folder / "photos", broken, tmp_path / "faces", workers=1)
    assert counts.failures == 3
    assert "cannot be aligned" in failures.read(tmp_path / "faces")[0].reason
