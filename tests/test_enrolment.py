"""Which face of a photo is kept, fallback by fallback, and what is written of it; detections are given, not made."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec import aligning, detection, params
from facerec.aligning import crops
from facerec.core import FormatError, ParamsError
from facerec.detection import table
from facerec.imaging import alignment, images
from facerec.params import Align
from facerec.store import shard_writing, shards
from facerec.store.shards import FAILURES, read_failures
from tests import cartoon

# One photo of each kind; its name is its source.
PLAIN, TWO, WEAK, TIGHT, BOTH, POINT, CUT, BLANK, BOXED, MARKED = KINDS = (
    "plain",  # a face of score .9
    "two",  # a small one of score .99 at the left, a large one of .8 in the middle
    "weak",  # a face of score .3
    "tight",  # a face in the padded view only
    "both",  # one face in the photo, landmarks off by 30 pixels, and the right ones in the padded view
    "point",  # a face whose landmarks are one point
    "cut",  # a photo that cannot be decoded
    "blank",  # nothing
    "boxed",  # an annotated box
    "marked",  # annotated landmarks
)
EVERY = ("detector", "retry", "low-score", "annotation", "crop")


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True, scope="module")
def scratch_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEREC_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        yield


def box_of(landmarks):
    return [*(landmarks.min(0) - 25), *(landmarks.max(0) + 25)]


def finding(number, kind, view, face, landmarks, score):
    return {
        "photo": number,
        "source": f"{kind}.jpg",
        "view": view,
        "face": face,
        "box": None if landmarks is None else box_of(landmarks),
        "landmarks": None if landmarks is None else landmarks.reshape(-1).tolist(),
        "score": score,
        "width": 0 if kind == CUT else 200,
        "height": 0 if kind == CUT else 180,
        "error": "The JPEG is cut short." if kind == CUT else "",
    }


def found_in(number, kind, landmarks):
    """Rows of the detection table for one photo."""
    one = landmarks[0] if len(landmarks) else None
    rows = {
        PLAIN: [(0, 0, one, 0.9)],
        TWO: [(0, 0, one, 0.99), (0, 1, landmarks[-1] if len(landmarks) else None, 0.8)],
        WEAK: [(0, 0, one, 0.3)],
        TIGHT: [(1, 0, one, 0.95)],
        BOTH: [(0, 0, None if one is None else one + 30, 0.9), (1, 0, one, 0.6)],
        POINT: [(0, 0, np.full((5, 2), 50.0), 0.9)],
    }
    return [finding(number, kind, *row) for row in rows.get(kind, [(0, -1, None, None)])]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Photo shards, a detection table, the photos' pixels and true landmarks by kind."""
    folder = tmp_path_factory.mktemp("scene")
    rows, found, pixels, truth = [], [], {}, {}
    for number, kind in enumerate(KINDS):
        drawn = [{"width": 70.0 + number, "centre": (98.0, 92.0)}]
        if kind == TWO:
            drawn = [{"width": 40.0, "centre": (40.0, 60.0)}, {"width": 80.0, "centre": (130.0, 95.0)}]
        image, landmarks = cartoon.photo(*(drawn if kind != BLANK else []), height=180)
        data = images.encode_jpeg(image)
        row = {"image": data, "label": number, "identity": f"p{number}", "source": f"{kind}.jpg"}
        rows.append(row | {"box": box_of(landmarks[0])} if kind == BOXED else row)
        if kind == MARKED:
            rows[-1]["landmarks"] = landmarks[0]
        found += found_in(number, kind, landmarks)
        pixels[kind], truth[kind] = images.decode(data), landmarks.astype(np.float32)
    shard_writing.write_shards(rows, folder / "photos", shards.Meta("photos", "drawn", licence="CC0"))
    pq.write_table(pa.Table.from_pylist(found, table.SCHEMA), folder / "found.parquet")
    return folder, pixels, truth


@pytest.fixture
def enrol(scene, tmp_path):
    """Enrol the scene with options; returns (faces by kind, counts, failures by kind)."""

    def run(**options):
        folder = scene[0]
        out = tmp_path / "faces"
        counts = aligning.align_set(folder / "photos", folder / "found.parquet", out, Align(**options), workers=1)
        found = shards.read_shards(out, "faces")
        by_kind = {source.removesuffix(".jpg"): found.row(row) for row, source in enumerate(found.sources)}
        lost = {failure.source.removesuffix(".jpg"): failure for failure in read_failures(found)}
        return by_kind, counts, lost

    return run


def test_every_photo_gets_its_face_from_the_first_fallback_that_has_one(enrol):
    found, counts, lost = enrol(fallbacks=EVERY, min_score=0.5)
    assert {kind: row["rung"] for kind, row in found.items()} == {
        PLAIN: "detector", TWO: "detector", WEAK: "low-score", TIGHT: "retry", BOTH: "detector",
        POINT: "crop", BLANK: "crop", BOXED: "annotation", MARKED: "annotation",
    }  # fmt: skip
    assert counts.rungs == {"detector": 3, "retry": 1, "low-score": 1, "annotation": 2, "crop": 2}
    assert list(lost) == [CUT]
    assert (counts.photos, counts.faces, counts.failures, counts.fallbacks) == (10, 9, 1, 6)
    assert counts.enrolled == 0.9
    assert counts.several == 0.1


def test_without_a_further_fallback_a_photo_is_dropped_and_counted(enrol):
    found, counts, lost = enrol(fallbacks=("detector",), min_score=0.5)
    assert set(found) == {PLAIN, TWO, BOTH}
    assert {kind: failure.category for kind, failure in lost.items()} == {
        WEAK: "no-face", TIGHT: "no-face", POINT: "landmarks", CUT: "undecodable", BLANK: "no-face",
        BOXED: "no-face", MARKED: "no-face",
    }  # fmt: skip
    assert counts.reasons == {"landmarks": 1, "no-face": 5, "undecodable": 1}
    assert lost[CUT].reason == "The JPEG is cut short."
    assert "fallbacks tried: detector" in lost[BLANK].reason
    assert "cannot be aligned" in lost[POINT].reason


def test_the_order_of_the_fallbacks_decides(enrol, scene):
    found, counts, _ = enrol(fallbacks=("retry", "detector"))
    np.testing.assert_array_equal(found[BOTH]["landmarks"], scene[2][BOTH][0])
    assert (found[BOTH]["rung"], found[WEAK]["rung"]) == ("retry", "detector")
    assert list(counts.rungs) == ["retry", "detector"]


@pytest.mark.parametrize(("rule", "face"), [("center", 1), ("largest", 1), ("best-score", 0)])
def test_the_rule_chooses_among_several_faces(enrol, scene, rule, face):
    np.testing.assert_array_equal(enrol(rule=rule)[0][TWO]["landmarks"], scene[2][TWO][face])


def test_min_score_holds_before_the_rule(enrol, scene):
    found, _, _ = enrol(rule="center", min_score=0.85, fallbacks=("detector", "low-score"))
    np.testing.assert_array_equal(found[TWO]["landmarks"], scene[2][TWO][0])


@pytest.mark.parametrize("size", [112, (112, 96), 128, 100])
def test_a_crop_is_the_photo_warped_by_the_similarity_of_its_landmarks(enrol, scene, size):
    _, pixels, truth = scene
    found, _, _ = enrol(size=size, quality=90, subsampling="yuv444", fallbacks=("detector", "annotation"))
    for kind in (PLAIN, MARKED):
        crop = alignment.warp(pixels[kind], alignment.similarity(truth[kind][0], size)[0], size)
        assert bytes(found[kind]["image"]) == images.encode_jpeg(crop, 90, "yuv444")


def test_a_box_crop_is_upright_and_has_its_margin(enrol, scene):
    found, _, _ = enrol(crop="box", margin=0.25, fallbacks=("detector", "annotation"))
    for kind in (PLAIN, BOXED):
        matrix = alignment.upright(np.float32(box_of(scene[2][kind][0])), 112, 0.25)[0]
        assert bytes(found[kind]["image"]) == images.encode_jpeg(alignment.warp(scene[1][kind], matrix))
    assert found[PLAIN]["landmarks"] is not None
    assert set(found) >= {POINT}  # a box needs no landmarks
    assert MARKED not in found


def test_the_last_fallback_is_the_middle_of_the_photo(enrol, scene):
    row = enrol(fallbacks=("detector", "crop"))[0][BLANK]
    assert (row["box"], row["landmarks"], row["score"]) == (None, None, None)
    middle = np.ascontiguousarray(scene[1][BLANK][:, 10:190])
    matrix = alignment.upright((-0.5, -0.5, 179.5, 179.5))[0]
    difference = alignment.warp(middle, matrix).astype(int) - images.decode(row["image"])
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize(
    ("options", "template"),
    [
        ({}, "arcface-112"),
        ({"size": (112, 96)}, "arcface-112x96"),
        ({"size": 128}, "arcface-128"),
        ({"crop": "box", "margin": 0.25}, "box-0.25-112"),
        ({"crop": "box", "margin": 0.25, "size": (112, 96)}, "box-0.25-112x96"),
    ],
)
def test_a_set_names_its_geometry(scene, tmp_path, options, template):
    folder = scene[0]
    aligning.align_set(folder / "photos", folder / "found.parquet", tmp_path / "faces", Align(**options), workers=1)
    meta = shards.read_shards(tmp_path / "faces", "faces").meta
    size = alignment.shape_of(options.get("size", 112))
    assert meta == shards.Meta("faces", "drawn", licence="CC0", size=size, template=template)


def test_what_is_annotated_can_choose(tmp_path):
    image, landmarks = cartoon.photo({"width": 40.0, "centre": (40.0, 60.0)}, {"centre": (130.0, 95.0)})
    notes = [{"box": box_of(landmarks[0])}, {"landmarks": landmarks[0]}, {}]
    rows, found = [], []
    for number, note in enumerate(notes):
        source = {"image": images.encode_jpeg(image), "label": 0, "identity": "p", "source": f"{number}.jpg"}
        rows.append(source | note)
        found += [finding(number, str(number), 0, face, landmarks[face], 0.9) for face in (0, 1)]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "drawn"))
    pq.write_table(pa.Table.from_pylist(found, table.SCHEMA), tmp_path / "found.parquet")
    arguments = (tmp_path / "photos", tmp_path / "found.parquet", tmp_path / "faces")
    counts = aligning.align_set(*arguments, Align(rule="annotated"), workers=1)
    kept = shards.read_shards(tmp_path / "faces", "faces")
    assert kept.sources == ["0.jpg", "1.jpg"]  # nothing is annotated of the third, so none is its face
    assert counts.reasons == {"no-face": 1}
    for row in (0, 1):
        np.testing.assert_array_equal(kept.row(row)["landmarks"], landmarks[0].astype(np.float32))


def test_counts_describe_scores_and_residuals(enrol, scene):
    _, counts, _ = enrol(fallbacks=("detector", "annotation", "crop"), min_score=0.5)
    kept = [scene[2][PLAIN][0], scene[2][TWO][1], scene[2][BOTH][0] + 30, scene[2][MARKED][0]]
    residuals = [alignment.residuals(landmarks)[0] for landmarks in kept]
    assert counts.residual_median == pytest.approx(np.median(residuals))
    assert counts.residual_p95 == pytest.approx(np.percentile(residuals, 95))
    assert counts.score_min == pytest.approx(0.8)
    assert json.loads(json.dumps(counts.as_dict()))["rungs"] == {"detector": 3, "annotation": 1 + 1, "crop": 4}


def test_an_empty_set_has_no_faces_and_no_quantiles(tmp_path):
    shard_writing.write_shards([], tmp_path / "photos", shards.Meta("photos", "nothing"))
    pq.write_table(table.SCHEMA.empty_table(), tmp_path / "found.parquet")
    arguments = (tmp_path / "photos", tmp_path / "found.parquet", tmp_path / "faces")
    counts = aligning.align_set(*arguments, workers=1)
    assert (counts.photos, counts.faces, counts.enrolled, counts.residual_median) == (0, 0, 0, None)
    assert len(shards.read_shards(tmp_path / "faces", "faces")) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0}, {"rule": "first"}, {"crop": "circle"}, {"fallbacks": ("drop",)}, {"fallbacks": ()},
        {"fallbacks": ("detector", "detector")}, {"subsampling": "4:2"}, {"quality": 0}, {"margin": -1},
        {"min_score": 2}, {"margin": float("nan")},
    ],
)  # fmt: skip
def test_impossible_options_are_refused(options):
    with pytest.raises(ParamsError, match=next(iter(options))):
        params.parse_options(Align, options, "align")


def test_a_table_of_other_photos_is_refused(scene, tmp_path):
    row = {"image": b"x", "label": 0, "identity": "a", "source": "a/1.jpg"}
    shard_writing.write_shards([row], tmp_path / "other", shards.Meta("photos", "other"))
    with pytest.raises(FormatError, match="not a table of the photos"):
        aligning.align_set(tmp_path / "other", scene[0] / "found.parquet", tmp_path / "faces")


def test_the_rule_annotated_needs_annotated_photos(tmp_path):
    row = {"image": b"x", "label": 0, "identity": "a", "source": "plain.jpg"}
    shard_writing.write_shards([row], tmp_path / "photos", shards.Meta("photos", "plain"))
    found = pa.Table.from_pylist([finding(0, PLAIN, 0, -1, None, None)], table.SCHEMA)
    pq.write_table(found, tmp_path / "found.parquet")
    with pytest.raises(ParamsError, match="none in"):
        aligning.align_set(tmp_path / "photos", tmp_path / "found.parquet", tmp_path / "faces", Align(rule="annotated"))


def outputs(folder) -> list[str]:
    return [digest(folder / name) for name in ("part-00000.arrow", FAILURES)]


def test_bytes_depend_neither_on_workers_nor_on_jobs(scene, tmp_path, monkeypatch):
    arguments = (scene[0] / "photos", scene[0] / "found.parquet")
    aligning.align_set(*arguments, tmp_path / "whole", Align(fallbacks=EVERY), workers=1)
    monkeypatch.setattr(crops, "_JOB", 3)
    aligning.align_set(*arguments, tmp_path / "again", Align(fallbacks=EVERY), workers=2)
    assert outputs(tmp_path / "again") == outputs(tmp_path / "whole")


def test_what_is_counted_does_not_keep_the_images_in_memory(scene, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(crops, "count_outcomes", lambda outcomes, _: kept.extend(outcomes.columns))
    aligning.align_set(scene[0] / "photos", scene[0] / "found.parquet", tmp_path / "faces", workers=2)
    buffers = [buffer for column in kept for chunk in column.chunks for buffer in chunk.buffers() if buffer]
    assert len(buffers) > 5
    assert all(buffer.parent is None for buffer in buffers)  # a view of a part would hold all of it


def test_an_interrupted_run_continues_where_it_stopped(scene, tmp_path, monkeypatch):
    arguments = (scene[0] / "photos", scene[0] / "found.parquet")
    monkeypatch.setattr(crops, "_JOB", 2)
    done, whole = [], crops._align_job

    def stops_at_the_third(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return whole(job)

    monkeypatch.setattr(crops, "_align_job", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        aligning.align_set(*arguments, tmp_path / "faces", workers=1)
    assert not (tmp_path / "faces").exists()
    monkeypatch.setattr(crops, "_align_job", lambda job: done.append(job) or whole(job))
    counts = aligning.align_set(*arguments, tmp_path / "faces", workers=1)
    assert [job.start for job in done] == [0, 2, 4, 6, 8]  # none twice
    assert counts == aligning.align_set(*arguments, tmp_path / "clean", workers=1)
    assert outputs(tmp_path / "faces") == outputs(tmp_path / "clean")


def test_the_parameters_know_every_rule_and_fallback():
    properties = Align.model_json_schema()["properties"]
    assert properties["rule"]["enum"] == [*detection.RULES, "annotated"]
    assert tuple(properties["fallbacks"]["items"]["enum"]) == aligning.FALLBACKS
