"""Faces whose landmarks a published list gives are aligned by them, and no detector runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facerec import detection
from facerec.cli import app
from facerec.detection import table
from facerec.imaging import alignment, images
from facerec.store import shards
from tests import cartoon

LANDMARKS = {}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four photos, of which one cannot be decoded and one is not listed, beside their list."""
    folder = tmp_path / "loose_crop"
    folder.mkdir()
    lines = []
    for number in range(1, 5):
        image, landmarks = cartoon.photo({"width": 60.0 + 5 * number, "centre": (95.0 + number, 100.0)})
        data = images.encode_jpeg(image)
        (folder / f"{number}.jpg").write_bytes(data[: len(data) // 2] if number == 3 else data)
        LANDMARKS[number] = landmarks[0]
        points = " ".join(f"{value:.4f}" for value in landmarks[0].reshape(-1))
        lines.append(f"{number}.jpg {points} 0.{number}")
    (tmp_path / "ijbc_name_5pts_score.txt").write_text("\n".join(lines[:3]) + "\n")
    monkeypatch.setattr(detection, "build_detector", lambda *_, **__: pytest.fail("a detector was built"))
    monkeypatch.setattr(table, "build_detector", lambda *_, **__: pytest.fail("a detector was built"))
    return folder


def align(*words: object) -> str:
    result = CliRunner().invoke(app, ["align", *map(str, words)], catch_exceptions=False, standalone_mode=False)
    return result.stdout


def test_listed_landmarks_drive_the_alignment(photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "ijbc_name_5pts_score.txt"
    counts = json.loads(align(photos, tmp_path / "faces", "--landmark-list", listed, "--json"))
    assert (counts["photos"], counts["faces"]) == (4, 2)
    faces = shards.read_shards(tmp_path / "faces", "faces")
    assert faces.sources == ["1.jpg", "2.jpg"]
    for row, number in enumerate((1, 2)):
        points = np.array(faces.table["landmarks"][row].as_py())
        np.testing.assert_allclose(points, LANDMARKS[number], atol=1e-4)
        assert faces.table["score"][row].as_py() == pytest.approx(number / 10)
        photo = images.decode((photos / f"{number}.jpg").read_bytes())
        expected = alignment.warp(photo, alignment.similarity(points.astype(np.float32)[None])[0])
        written = images.decode(faces.image(row)).astype(int)
        assert np.abs(written - expected).mean() < 2  # but for the JPEG
    reasons = {failure["source"]: failure["category"] for failure in failures(tmp_path / "faces")}
    assert reasons == {"3.jpg": "undecodable", "4.jpg": "no-face"}


def failures(folder: Path) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    return pq.read_table(folder / shards.FAILURES).to_pylist()


def test_a_list_of_other_photos_is_refused(photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "other.txt"
    listed.write_text("x.jpg 1 2 3 4 5 6 7 8 9 10 0.5\n")
    with pytest.raises(Exception, match=r"names none of the photos, the first of which is '1\.jpg'"):
        align(photos, tmp_path / "faces", "--landmark-list", listed)
    with pytest.raises(Exception, match="align takes --detections or --landmark-list, not both"):
        align(photos, tmp_path / "faces", "--landmark-list", listed, "--detections", listed)
