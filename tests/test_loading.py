"""Faces of several sets as one sequence: order, sizes and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facerec.core import FormatError
from facerec.imaging import images
from facerec.store import shard_writing, shards
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import reduction


def write_set(path: Path, size: int, count: int = 3, template: str = "arcface-112") -> shards.Shards:
    rng = np.random.default_rng(size)
    rows = []
    for number in range(count):
        small = rng.integers(0, 256, (8, 8, 3), np.uint8)
        face = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
        rows.append(
            {"image": images.encode_jpeg(face), "label": number, "identity": str(number), "source": f"{number}.jpg"}
        )
    shard_writing.write_shards(rows, path, shards.Meta("faces", path.name, size=(size, size), template=template))
    return shards.read_shards(path)


def test_larger_crops_are_averaged_to_the_smallest_size(tmp_path: Path) -> None:
    small, large = write_set(tmp_path / "small", 112), write_set(tmp_path / "large", 224)
    faces = FaceDataset([large, small])
    assert faces.size == (112, 112)
    assert faces.reduced == ["large"]
    assert faces.batch([0, 3]).shape == (2, 112, 112, 3)
    decoded = images.decode(large.image(0)).astype(float)
    averaged = decoded.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3))
    assert np.abs(faces.image(0) - averaged).max() <= 0.5
    assert (faces.image(3) == images.decode(small.image(0))).all()


def test_batches_keep_their_order(tmp_path: Path) -> None:
    faces = FaceDataset([write_set(tmp_path / "a", 112, 5)])
    order = [np.array([4, 0]), np.array([2]), np.array([1, 3])]
    for indices, batch in zip(order, faces.batches(order), strict=True):
        assert (batch == faces.batch(indices)).all()


@pytest.mark.attack("Numbers", "sets whose sizes or templates do not fit", "refused; the set is named")
def test_other_geometry_is_refused(tmp_path: Path) -> None:
    small = write_set(tmp_path / "small", 112)
    for other in (write_set(tmp_path / "t", 112, template="arcface-128"), write_set(tmp_path / "o", 168)):
        with pytest.raises(FormatError, match="align all sets to one template"):
            FaceDataset([small, other])


@pytest.mark.attack("Numbers", "a face of another size than its set", "refused; the face is named")
def test_one_face_of_another_size_than_its_set_is_named(tmp_path: Path) -> None:
    faces = write_set(tmp_path / "a", 112, 3)
    rows = [faces.row(row) for row in range(3)]
    rows[1]["image"] = images.encode_jpeg(np.zeros((96, 112, 3), np.uint8))
    shard_writing.write_shards(rows, tmp_path / "mixed", faces.meta)
    mixed = FaceDataset([shards.read_shards(tmp_path / "mixed")])
    assert (mixed.image(2) == FaceDataset([faces]).image(2)).all()
    with pytest.raises(
        FormatError, match=rf"^Face 1 of {tmp_path}/mixed \(.*\) is 96x112, but its set promises 112x112"
    ):
        mixed.batch([0, 1])


@pytest.mark.parametrize(
    ("size", "wanted", "scale"),
    [((112, 112), (112, 112), 1), ((224, 224), (112, 112), 2), ((224, 112), (112, 112), 0), ((56, 56), (112, 112), 0)],
)
def test_reduction(size: tuple[int, int], wanted: tuple[int, int], scale: int) -> None:
    assert reduction(size, wanted) == scale
