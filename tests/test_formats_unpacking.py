"""InsightFace-layout packs to face shards."""

from pathlib import Path

import numpy as np
import pytest

from facerec import images
from facerec.errors import FormatError
from facerec.formats import packs, pairs, recordio, shards, unpacking

GOLDEN = Path(__file__).parent / "golden/recordio"


def jpeg(value, size=(112, 112)):
    return images.encode_jpeg(np.full((*size, 3), value, np.uint8))


@pytest.fixture
def golden(tmp_path):
    (tmp_path / "pack").mkdir()
    for name in ("train.rec", "train.idx", "property", "lfw.bin"):
        (tmp_path / "pack" / name).write_bytes((GOLDEN / name).read_bytes())
    return tmp_path / "pack"


def test_the_golden_pack(golden, tmp_path):
    counts = unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test")
    assert counts == {"train": 12, "lfw": 20}
    train = shards.read(tmp_path / "train", "faces")
    assert (train.meta.size, train.meta.template, train.meta.dataset) == ((112, 112), "arcface-112", "pack")
    originals = list(recordio.Reader(GOLDEN / "train.rec").images())
    assert [bytes(train.image(row)) for row in range(12)] == [image for _, image in originals]
    assert train.labels.tolist() == [label for label, _ in originals]
    assert train.identities == [str(label) for label, _ in originals]
    row = train.row(0)
    assert (row["source"], row["rung"], row["score"], row["box"]) == (
        "train/00000001.jpg",
        "pack",
        None,
        None,
    )
    faces = shards.read(tmp_path / "test/lfw", "faces")
    expected, same = packs.read(GOLDEN / "lfw.bin")
    assert [bytes(faces.image(row)) for row in range(20)] == expected
    assert set(faces.labels.tolist()) == {-1}
    found = pairs.read(tmp_path / "test/lfw/pairs.parquet", faces.sources)
    assert found.first.tolist() == list(range(0, 20, 2))
    assert found.second.tolist() == list(range(1, 20, 2))
    assert found.same.tolist() == same.tolist()


def test_a_pack_without_training_faces_gives_an_empty_folder(golden, tmp_path):
    for name in ("train.rec", "train.idx", "property"):
        (golden / name).unlink()
    (tmp_path / "train").mkdir()
    (tmp_path / "train/part-00000.arrow").touch()
    assert unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test") == {"lfw": 20}
    assert not list((tmp_path / "train").iterdir())


def test_an_empty_pack_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"neither train\.rec nor a verification pack"):
        unpacking.unpack_pack(tmp_path, tmp_path / "train", tmp_path / "test")
    packs.write(tmp_path / "x.bin", [], [])
    with pytest.raises(FormatError, match="no images"):
        unpacking.unpack_bin(tmp_path / "x.bin")


def test_labels_with_gaps_are_numbered_from_0(tmp_path):
    with recordio.Writer(tmp_path / "train.rec") as writer:
        for key, label in enumerate((40, 7, 40, 1000)):
            writer.write(key, label, jpeg(label % 200))
    _, rows = unpacking.unpack_train(tmp_path)
    assert [(row["label"], row["identity"]) for row in rows] == [
        (1, "40"),
        (0, "7"),
        (1, "40"),
        (2, "1000"),
    ]


def test_a_property_that_contradicts_the_faces_is_refused(tmp_path):
    recordio.write_pack(tmp_path / "pack", [(0, [jpeg(9, (112, 96))])], (112, 112))
    with pytest.raises(FormatError, match=r"does not give the size of the faces, which is \(112, 96\)"):
        unpacking.unpack_train(tmp_path / "pack")
    recordio.write_pack(tmp_path / "pack", [(0, [jpeg(9, (112, 96))])], (112, 96))
    meta, _ = unpacking.unpack_train(tmp_path / "pack")
    assert (meta.size, meta.template) == ((112, 96), "arcface-112x96")


def test_a_damaged_member_leaves_the_old_outputs(golden, tmp_path):
    unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test")
    (golden / "lfw.bin").write_bytes(b"broken")
    with pytest.raises(FormatError, match=r"lfw\.bin"):
        unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test")
    assert len(shards.read(tmp_path / "test/lfw")) == 20
