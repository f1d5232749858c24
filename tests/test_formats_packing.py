"""Face shards to packs of other systems, there and back."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec.core import FormatError
from facerec.interop import exporting, recordio, unpacking, verification_packs
from facerec.store import pairs, shard_writing, shards
from tests import packs as drawn

GOLDEN = Path(__file__).parent / "golden/recordio"
FACES = [drawn.jpeg(number) for number in range(4)]


def same_files(one, other):
    """Whether both folders hold the same files, byte for byte."""
    names = [sorted(path.name for path in folder.iterdir()) for folder in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


def round_trip(pack, tmp_path):
    unpacking.unpack(pack, tmp_path / "faces")
    exporting.pack_faces(tmp_path / "faces", tmp_path / "again")
    return tmp_path / "again"


def test_a_whole_pack_comes_back_byte_for_byte(tmp_path):
    drawn.rec(tmp_path / "pack", {0: 3, 1: 1, 2: 4})
    drawn.verification(tmp_path / "pack/lfw.bin", [True, False, True])
    drawn.verification(tmp_path / "pack/agedb_30.bin", [False])
    assert same_files(tmp_path / "pack", round_trip(tmp_path / "pack", tmp_path))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(FACES), min_size=1, max_size=4), min_size=1, max_size=5))
def test_any_pack_in_the_usual_form_comes_back_byte_for_byte(tmp_path, groups):
    recordio.write_pack(tmp_path / "pack", list(enumerate(groups)))
    assert same_files(tmp_path / "pack", round_trip(tmp_path / "pack", tmp_path))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 3)), min_size=1, max_size=12))
def test_any_set_packs_to_its_faces_by_identity(tmp_path, rows):
    made = [{"image": FACES[i], "label": label, "identity": "", "source": ""} for label, i in rows]
    shard_writing.write_shards(made, tmp_path / "faces", shards.Meta("faces", "x", size=(112, 112)))
    if min(rows)[0] < 0:
        with pytest.raises(FormatError, match="have no identity"):
            exporting.pack_faces(tmp_path / "faces", tmp_path / "pack")
        return
    assert exporting.pack_faces(tmp_path / "faces", tmp_path / "pack") == {"train": len(rows)}
    people = sorted({label for label, _ in rows})
    wanted = [(number, FACES[i]) for number, who in enumerate(people) for label, i in rows if label == who]
    reader = recordio.RecordReader(tmp_path / "pack/train.rec")
    assert list(reader.images()) == wanted
    count = len(rows) + 1
    assert reader[0].label.tolist() == [count, count + len(people)]
    ranges = np.array([reader[key].label for key in range(count, count + len(people))])
    assert ranges[0, 0] == 1
    assert np.array_equal(ranges[1:, 0], ranges[:-1, 1])
    assert recordio.read_property(tmp_path / "pack/property") == (len(people), (112, 112))


def test_mxnets_own_pack_comes_back_but_for_array_labels(tmp_path):
    (tmp_path / "pack").mkdir()
    for name in ("train.rec", "train.idx", "property", "lfw.bin"):
        shutil.copy(GOLDEN / name, tmp_path / "pack" / name)
    again = round_trip(tmp_path / "pack", tmp_path)
    assert (again / "lfw.bin").read_bytes() == (GOLDEN / "lfw.bin").read_bytes()
    assert (again / "property").read_bytes() == (GOLDEN / "property").read_bytes()
    theirs, ours = (recordio.RecordReader(folder / "train.rec") for folder in (GOLDEN, again))
    assert list(ours.images()) == list(theirs.images())
    assert ours.keys.tolist() == theirs.keys.tolist()
    for key in ours.keys[np.array([isinstance(theirs[int(key)].label, float) for key in ours.keys])]:
        assert ours.payload(int(key)) == theirs.payload(int(key))


def test_bcolz_becomes_a_bin_without_loss(tmp_path):
    drawn.bcolz(tmp_path / "pack/lfw", [True, False])
    again = round_trip(tmp_path / "pack", tmp_path)
    encoded, same = verification_packs.read_bin(again / "lfw.bin")
    opened = shards.read_shards(tmp_path / "faces/lfw")
    assert encoded == [bytes(opened.image(row)) for row in range(4)]
    assert same.tolist() == [True, False]


def lfw_set(folder):
    rows = [(0, "A", "A/A_0001.jpg"), (0, "A", "A/A_0002.jpg"), (1, "B", "B/B_0001.jpg")]
    return drawn.face_set(folder, rows)


def test_pairs_txt_and_a_set_make_a_bin(tmp_path):
    first, second, third = lfw_set(tmp_path / "faces")
    (tmp_path / "pairs.txt").write_text("1\t1\nA\t1\t2\nA\t2\tB\t1\n")
    assert exporting.pack_bin(tmp_path / "faces", tmp_path / "pairs.txt", tmp_path / "lfw.bin") == 4
    encoded, same = verification_packs.read_bin(tmp_path / "lfw.bin")
    assert encoded == [first, second, second, third]
    assert same.tolist() == [True, False]


def test_a_pair_without_a_face_is_refused(tmp_path):
    lfw_set(tmp_path / "faces")
    (tmp_path / "pairs.txt").write_text("1\t1\nA\t1\t3\nA\t2\tB\t1\n")
    with pytest.raises(FormatError, match=r"1 of the 2 pairs of .*pairs\.txt name a photo without a face"):
        exporting.pack_bin(tmp_path / "faces", tmp_path / "pairs.txt", tmp_path / "lfw.bin")
    assert not (tmp_path / "lfw.bin").exists()


def test_what_cannot_be_packed_is_refused(tmp_path):
    with pytest.raises(FormatError, match="neither a set of faces nor a folder of such sets"):
        exporting.pack_faces(tmp_path / "none", tmp_path / "pack")
    drawn.face_set(tmp_path / "photos", [(0, "A", "A/1.jpg")], kind="photos")
    with pytest.raises(FormatError, match="holds photos, but faces are needed"):
        exporting.pack_faces(tmp_path / "photos", tmp_path / "pack")
    drawn.face_set(tmp_path / "empty", [])
    with pytest.raises(FormatError, match="it is empty"):
        exporting.pack_faces(tmp_path / "empty", tmp_path / "pack")
    drawn.face_set(tmp_path / "sets/lfw", [(-1, "", "a.jpg")])
    with pytest.raises(FormatError, match=r"lfw has no pairs\.parquet; only train"):
        exporting.pack_faces(tmp_path / "sets", tmp_path / "pack")
    with pytest.raises(FormatError, match="1 of its 1 faces have no identity"):
        exporting.pack_faces(tmp_path / "sets/lfw", tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_one_image_at_a_time_is_in_memory(tmp_path, monkeypatch):
    drawn.face_set(tmp_path / "faces", [(0, "A", f"{i}.jpg") for i in range(20)])
    events = []
    image, write = shards.Shards.image, recordio.RecordWriter.write
    monkeypatch.setattr(shards.Shards, "image", lambda *args: events.append("read") or image(*args))
    monkeypatch.setattr(recordio.RecordWriter, "write", lambda *args: events.append("write") or write(*args))
    exporting.pack_faces(tmp_path / "faces", tmp_path / "pack")
    assert events == ["write", *["read", "write"] * 20, "write"]


def test_a_pairs_table_of_another_set_is_refused(tmp_path):
    lfw_set(tmp_path / "faces")
    rows = np.array([7])
    pairs.write_pairs(pairs.Pairs(rows, rows, np.array([True])), tmp_path / "pairs.parquet")
    with pytest.raises(FormatError, match="names face 7, but the set holds 3"):
        exporting.pack_bin(tmp_path / "faces", tmp_path / "pairs.parquet", tmp_path / "x.bin")
