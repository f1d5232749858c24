"""`facerec align`: photos from a folder, an archive or shards to faces, in one command."""

import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from facerec.cli import app
from facerec.detection import table
from facerec.imaging import images
from facerec.interop import photos
from facerec.store import shard_writing, shards
from tests import cartoon


@pytest.fixture(autouse=True)
def scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("FACEREC_WORKERS", "1")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder of three drawn people and a blank photo."""
    folder = tmp_path_factory.mktemp("people")
    for name, width in (("ann", 70.0), ("bob", 80.0), ("eve", 90.0)):
        (folder / name).mkdir()
        (folder / name / "1.jpg").write_bytes(images.encode_jpeg(cartoon.photo({"width": width})[0]))
    (folder / "eve" / "2.jpg").write_bytes(images.encode_jpeg(cartoon.photo()[0]))
    return folder


def run(*words, code=0):
    """Standard output of `facerec align`."""
    result = CliRunner().invoke(app, ["align", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def test_a_folder_and_its_archive_give_the_same_faces(people, tmp_path):
    counts = json.loads(run(people, tmp_path / "faces", "--json", "--sheet", tmp_path / "sheet.png").stdout)
    assert (counts["photos"], counts["faces"], counts["reasons"]) == (4, 3, {"no-face": 1})
    faces = shards.read_shards(tmp_path / "faces", "faces")
    assert faces.identities == ["ann", "bob", "eve"]
    assert faces.sources == ["ann/1.jpg", "bob/1.jpg", "eve/1.jpg"]
    assert images.decode((tmp_path / "sheet.png").read_bytes()).shape[1] == 1366
    with zipfile.ZipFile(tmp_path / f"{people.name}.zip", "w") as archive:
        for path in sorted(people.rglob("*.jpg")):
            archive.write(path, path.relative_to(people))
    run(tmp_path / f"{people.name}.zip", tmp_path / "again")
    part = "part-00000.arrow"
    assert (tmp_path / "again" / part).read_bytes() == (tmp_path / "faces" / part).read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"faces", "sheet.png", f"{people.name}.zip", "again", "scratch"}


def test_every_option_of_the_stage_detect_can_be_given(people, tmp_path):
    """As the stage detect with these parameters: thresholds that no face reaches, and no second look."""
    words = ("--detect-option", "thresholds=[0.6, 0.7, 0.999999]", "--detect-option", "retry=0", "--json")
    found = CliRunner().invoke(app, ["align", str(people), str(tmp_path / "none"), *words])
    assert json.loads(found.stdout)["faces"] < 3
    for word, message in (
        ("retry", "--detect-option takes key=value, not 'retry'"),
        ("treshold=1", "detect: unknown key treshold (did you mean threshold?"),
        ("threshold=0.8", "detect: mtcnn has no threshold, remove it"),
    ):
        result = CliRunner().invoke(app, ["align", str(people), str(tmp_path / "x"), "--detect-option", word])
        assert message in str(result.exception)


def test_a_table_given_is_used_and_files_can_be_loose(people, tmp_path):
    shard_writing.write_shards(photos.photo_rows(people), tmp_path / "photos", shards.Meta("photos", "people"))
    points = np.array([(70, 80), (110, 80), (90, 100), (75, 120), (105, 120)], np.float32)
    size = {"width": 200, "height": 200, "error": "", "view": 0, "face": 0, "box": [50, 50, 130, 140]}
    rows = [
        {"photo": number, "source": source, "landmarks": points.reshape(-1).tolist(), "score": 0.9, **size}
        for number, source in enumerate(["ann/1.jpg", "bob/1.jpg", "eve/1.jpg", "eve/2.jpg"])
    ]
    pq.write_table(pa.Table.from_pylist(rows, table.SCHEMA), tmp_path / "found.parquet")
    words = ("--detections", tmp_path / "found.parquet", "--size", "112x96", "--files", "--json")
    assert json.loads(run(tmp_path / "photos", tmp_path / "out", *words).stdout)["faces"] == 4
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.jpg"))
    assert files == ["ann/1.jpg", "bob/1.jpg", "eve/1.jpg", "eve/2.jpg"]
    assert images.decode((tmp_path / "out/ann/1.jpg").read_bytes()).shape == (112, 96, 3)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--size", "big"), "takes 112"),
        (("--fallback", "luck"), "fallbacks.0 should be"),
        (("--sheet", "a.gif"), "png or .jpg"),
        (("--detections", "found.parquet"), "belong to photo shards"),
    ],
)
def test_mistakes_are_named_before_any_work(people, tmp_path, words, reason):
    result = run(people, tmp_path / "out", *words, code=1)
    assert reason in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced_unasked(people, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    assert "--replace" in str(run(people, tmp_path / "out", code=1).exception)
    assert "holds the source" in str(run(people, people, "--replace", code=1).exception)
    assert "holds the source" in str(run(people / "ann", people, "--replace", code=1).exception)
