"""Packs of other systems to face shards."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.imaging import images
from facerec.interop import pair_lists, recordio, unpacking, verification_packs
from facerec.interop.unpacking import Expected
from facerec.store import shards
from tests import packs as drawn

GOLDEN = Path(__file__).parent / "golden/recordio"


@pytest.fixture
def golden(tmp_path):
    (tmp_path / "pack").mkdir()
    for name in ("train.rec", "train.idx", "property", "lfw.bin"):
        (tmp_path / "pack" / name).write_bytes((GOLDEN / name).read_bytes())
    return tmp_path / "pack"


def unpacked(source, out, **expected):
    return unpacking.unpack(source, out, Expected(**expected)).images


def stored(folder):
    """Encoded images of a set."""
    opened = shards.read_shards(folder)
    return [bytes(opened.image(row)) for row in range(len(opened))]


def check_golden(train_out, lfw_out):
    train = shards.read_shards(train_out, "faces")
    assert (train.meta.size, train.meta.template, train.meta.dataset) == ((112, 112), "arcface-112", "pack")
    originals = list(recordio.RecordReader(GOLDEN / "train.rec").images())
    assert stored(train_out) == [image for _, image in originals]
    assert train.labels.tolist() == [label for label, _ in originals]
    assert train.identities == [str(label) for label, _ in originals]
    row = train.row(0)
    shown = (row["source"], row["rung"], row["score"], row["box"])
    assert shown == ("train/00000001.jpg", "pack", None, None)
    expected, same = verification_packs.read_bin(GOLDEN / "lfw.bin")
    assert stored(lfw_out) == expected
    faces = shards.read_shards(lfw_out, "faces")
    assert (set(faces.labels.tolist()), faces.meta.dataset) == ({-1}, "pack/lfw")
    found = pair_lists.read_pairs(lfw_out / "pairs.parquet", faces.sources)
    assert found.first.tolist() == list(range(0, 20, 2))
    assert found.second.tolist() == list(range(1, 20, 2))
    assert found.same.tolist() == same.tolist()


def test_the_golden_pack(golden, tmp_path):
    assert unpacked(golden, tmp_path / "out") == {"train": 12, "lfw": 20}
    check_golden(tmp_path / "out/train", tmp_path / "out/lfw")


def test_the_stage_writes_the_same_bytes_to_its_two_folders(golden, tmp_path):
    counts = unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test").images
    assert counts == {"train": 12, "lfw": 20}
    check_golden(tmp_path / "train", tmp_path / "test/lfw")
    unpacked(golden, tmp_path / "out")
    for name, place in (("train", "train"), ("lfw", "test/lfw")):
        one, other = (tmp_path / folder / "part-00000.arrow" for folder in (f"out/{name}", place))
        assert one.read_bytes() == other.read_bytes()


def test_a_lone_member_becomes_the_set_itself(golden, tmp_path):
    assert unpacked(golden / "train.rec", tmp_path / "a") == {"train": 12}
    assert unpacked(golden / "lfw.bin", tmp_path / "b") == {"lfw": 20}
    check_golden(tmp_path / "a", tmp_path / "b")


def test_im2rec_without_record_0_and_without_an_index(tmp_path):
    with recordio.RecordWriter(tmp_path / "val.rec") as writer:
        for key, label in enumerate((40, 7, 40, -1, 1000)):
            writer.write(key, label, drawn.jpeg(key))
    (tmp_path / "val.idx").unlink()
    assert unpacked(tmp_path, tmp_path / "out") == {"val": 5}
    faces = shards.read_shards(tmp_path / "out/val")
    assert faces.labels.tolist() == [1, 0, 1, -1, 2]
    assert faces.identities == ["40", "7", "40", "", "1000"]
    assert faces.sources[3] == "val/00000003.jpg"


def test_bcolz_pixels_come_back_exactly(tmp_path):
    faces = drawn.bcolz(tmp_path / "pack/lfw", [True, False, True, True])
    assert unpacked(tmp_path / "pack", tmp_path / "out") == {"lfw": 8}
    assert unpacked(tmp_path / "pack/lfw", tmp_path / "alone") == {"lfw": 8}
    for folder in (tmp_path / "out/lfw", tmp_path / "alone"):
        decoded = [images.decode(image) for image in stored(folder)]
        assert np.array_equal(decoded, faces)
        opened = shards.read_shards(folder, "faces")
        assert opened.sources[7] == "lfw/000007.png"
        assert pair_lists.read_pairs(folder / "pairs.parquet", opened.sources).same.tolist() == [
            True,
            False,
            True,
            True,
        ]
    unpacked(tmp_path / "pack/lfw", tmp_path / "rgb", arrays="rgb")
    assert np.array_equal(images.decode(stored(tmp_path / "rgb")[0]), faces[0][..., ::-1])


def test_images_that_were_never_written_are_told(tmp_path):
    drawn.bcolz(tmp_path / "lfw", [True, False])
    empty = tmp_path / "one/lfw"
    drawn.bcolz(empty, [True, False], chunk=3)
    from numcodecs import blosc

    data = (empty / "data/__1.blp").read_bytes()[:16]
    zeros = np.zeros((1, 3, 112, 112), np.float32)
    (empty / "data/__1.blp").write_bytes(data + blosc.compress(zeros, b"lz4", 5, blosc.SHUFFLE))
    assert unpacking.unpack(tmp_path / "lfw", tmp_path / "a").notes == []
    assert "lacks its last 1 of 4 images" in unpacking.unpack(empty, tmp_path / "b").notes[0]


def test_a_member_in_both_forms_is_taken_from_the_bin(tmp_path):
    drawn.bcolz(tmp_path / "pack/lfw", [True])
    faces = drawn.verification(tmp_path / "pack/lfw.bin", [True, False])
    assert unpacked(tmp_path / "pack", tmp_path / "out") == {"lfw": 4}
    assert stored(tmp_path / "out/lfw") == faces


def test_two_members_of_one_name_are_refused(tmp_path):
    drawn.rec(tmp_path / "pack", {0: 1})
    drawn.verification(tmp_path / "pack/train.bin", [True])
    with pytest.raises(FormatError, match=r"two members of one name among train, train"):
        unpacking.unpack(tmp_path / "pack", tmp_path / "out")


def test_a_pack_without_training_faces_gives_the_stage_an_empty_folder(golden, tmp_path):
    for name in ("train.rec", "train.idx", "property"):
        (golden / name).unlink()
    (tmp_path / "train").mkdir()
    (tmp_path / "train/part-00000.arrow").touch()
    assert unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test").images == {"lfw": 20}
    assert not list((tmp_path / "train").iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), r"neither a \.rec nor a verification pack"),
        (lambda path: path.write_bytes(b"x"), "is no pack"),
        (lambda path: (path.mkdir(), verification_packs.write_bin(path / "x.bin", [], [])), "holds no images"),
        (lambda path: (path.mkdir(), (path / "x.rec").touch()), "holds no images"),
    ],
)
def test_what_is_no_pack_is_refused(tmp_path, make, message):
    make(tmp_path / "source")
    with pytest.raises(FormatError, match=message):
        unpacking.unpack(tmp_path / "source", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sizes_that_contradict_are_refused(tmp_path):
    drawn.rec(tmp_path / "pack", {0: 1}, (112, 96))
    (tmp_path / "pack/property").write_text("1,112,112\n")
    with pytest.raises(FormatError, match=r"does not give the size of the faces .* \(112, 96\)"):
        unpacking.unpack(tmp_path / "pack", tmp_path / "out")
    (tmp_path / "pack/property").write_text("1,112,96\n")
    with pytest.raises(FormatError, match=r"112x96 pixels \(height x width\), not 112x112 as asked for"):
        unpacking.unpack(tmp_path / "pack", tmp_path / "out", Expected(size=(112, 112)))
    unpacked(tmp_path / "pack", tmp_path / "out", size=(112, 96))
    meta = shards.read_shards(tmp_path / "out/train").meta
    assert (meta.size, meta.template) == ((112, 96), "arcface-112x96")


def test_images_that_are_not_aligned_are_photos(tmp_path):
    verification_packs.write_bin(tmp_path / "x.bin", [drawn.jpeg(0, (100, 90)), drawn.jpeg(1, (80, 90))], [True])
    with pytest.raises(FormatError, match=r"100x90 pixels .* no usual size .* --size 100x90 .* --photos"):
        unpacking.unpack(tmp_path / "x.bin", tmp_path / "out")
    with pytest.raises(FormatError, match=r"x/000001\.jpg: 80x90 pixels where the first face has 100x90; .*--photos"):
        unpacking.unpack(tmp_path / "x.bin", tmp_path / "out", Expected(size=(100, 90)))
    unpacked(tmp_path / "x.bin", tmp_path / "out", photos=True)
    assert shards.read_shards(tmp_path / "out", "photos").meta.size is None


def test_bytes_that_are_no_image_are_refused(tmp_path):
    verification_packs.write_bin(tmp_path / "x.bin", [drawn.jpeg(0), b"no image"], [True])
    with pytest.raises(FormatError, match=r"x/000001\.jpg: the bytes are no image of a known format"):
        unpacking.unpack(tmp_path / "x.bin", tmp_path / "out")


def test_a_damaged_member_leaves_the_old_outputs(golden, tmp_path):
    unpacking.unpack(golden, tmp_path / "out")
    unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test")
    (golden / "lfw.bin").write_bytes(b"broken")
    with pytest.raises(FormatError, match=r"lfw\.bin"):
        unpacking.unpack(golden, tmp_path / "out")
    with pytest.raises(FormatError, match=r"lfw\.bin"):
        unpacking.unpack_pack(golden, tmp_path / "train", tmp_path / "test")
    assert len(shards.read_shards(tmp_path / "out/lfw")) == len(shards.read_shards(tmp_path / "test/lfw")) == 20


def test_the_order_of_files_in_the_folder_does_not_matter(golden, tmp_path):
    shutil.copytree(golden, tmp_path / "other/pack")
    (tmp_path / "other/pack/aaa.bin").write_bytes((golden / "lfw.bin").read_bytes())
    assert list(unpacked(tmp_path / "other/pack", tmp_path / "out")) == ["train", "aaa", "lfw"]
