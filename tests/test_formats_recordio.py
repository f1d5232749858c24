"""RecordIO against files written by MXNet 1.9.1 itself (tests/golden/recordio)."""

import json
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec.core import FormatError
from facerec.imaging import images
from facerec.interop import rec_index, recordio

GOLDEN = Path(__file__).parent / "golden/recordio"
META = json.loads((GOLDEN / "meta.json").read_text())
MAGIC = struct.pack("<I", 0xCED7230A)


@pytest.fixture
def pack(tmp_path):
    for name in ("train.rec", "train.idx"):
        (tmp_path / name).write_bytes((GOLDEN / name).read_bytes())
    return tmp_path / "train.rec"


def test_golden_records_are_read():
    reader = recordio.RecordReader(GOLDEN / "train.rec")
    assert reader.keys.tolist() == list(range(16))
    assert reader[0].label.tolist() == [13, 16]
    assert [reader[key].label.tolist() for key in (13, 14, 15)] == META["ranges"]
    assert reader[13].image == b""
    assert [reader[key].id for key in reader.keys] == list(range(16))
    found = list(reader.images())
    assert [label for label, _ in found] == [record["label"] for record in META["records"]]
    assert [len(image) for _, image in found] == [record["jpeg"] for record in META["records"]]
    assert [reader.number(key) for key in reader.image_keys()] == [label for label, _ in found]
    for (_, image), record in zip(found, META["records"], strict=True):
        mean = images.decode(image)[..., ::-1].reshape(-1, 3).mean(axis=0)
        assert mean == pytest.approx(record["mean_bgr"], abs=0.5)


def test_golden_files_are_written_byte_for_byte(tmp_path):
    reader = recordio.RecordReader(GOLDEN / "train.rec")
    with recordio.RecordWriter(tmp_path / "train.rec") as writer:
        for key in reader.keys:
            writer.write(key, reader[key].label, reader[key].image)
    for name in ("train.rec", "train.idx"):
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_an_embedded_magic_word_is_split_and_restored(tmp_path):
    reader = recordio.RecordReader(GOLDEN / "magic.rec")
    assert reader.payload(0) == (GOLDEN / "magic.payload").read_bytes()
    assert reader.payload(0, 7) == reader.payload(0)[:7]
    assert reader.payload(1) == b"tail"
    with recordio.RecordWriter(tmp_path / "magic.rec") as writer:
        for key in (0, 1):
            writer.write_payload(key, reader.payload(key))
    for name in ("magic.rec", "magic.idx"):
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()


PAYLOADS = st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=6)), max_size=8).map(b"".join)


@settings(deadline=None)
@given(st.lists(PAYLOADS, max_size=5), st.integers(0, 40))
def test_any_payload_survives_framing(payloads, size):
    data, offsets = b"", [0]
    for payload in payloads:
        data += rec_index.frame_payload(payload)
        offsets.append(len(data))
        assert len(data) % 4 == 0
    for payload, offset, end in zip(payloads, offsets, offsets[1:], strict=False):
        assert rec_index.read_payload(data, offset) == payload
        assert rec_index.read_payload(data, offset, size) == payload[:size]
        assert rec_index.record_end(data, offset) == end


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 1 << 40), st.tuples(st.integers(0, 1 << 20), PAYLOADS), max_size=6))
def test_records_are_found_by_key_with_and_without_array_labels(tmp_path, records):
    with recordio.RecordWriter(tmp_path / "x.rec") as writer:
        for key, (label, image) in records.items():
            writer.write(key, [label, 0.5] if key % 2 else label, b"\xff" + image)
    reader = recordio.RecordReader(tmp_path / "x.rec")
    assert reader.keys.tolist() == sorted(records)
    for key, (label, image) in records.items():
        assert reader[key].number == reader.number(key) == label
        assert reader[key].image == b"\xff" + image
        assert np.size(reader[key].label) == 1 + key % 2
    assert list(reader.images()) == [(records[key][0], b"\xff" + records[key][1]) for key in sorted(records)]


def test_write_pack_has_the_insightface_layout(tmp_path):
    groups = [(0, [b"\xff a", b"\xff bb"]), (1, []), (2, [b"\xff c"])]
    assert recordio.write_pack(tmp_path / "pack", iter(groups), (112, 96)) == 3
    reader = recordio.RecordReader(tmp_path / "pack/train.rec")
    assert reader[0].label.tolist() == [4, 7]
    assert [reader[key].label.tolist() for key in (4, 5, 6)] == [[1, 3], [3, 3], [3, 4]]
    assert list(reader.images()) == [(0, b"\xff a"), (0, b"\xff bb"), (2, b"\xff c")]
    assert isinstance(reader[1].label, float)
    assert (tmp_path / "pack/property").read_text() == "3,112,96\n"
    assert recordio.read_property(tmp_path / "pack/property") == (3, (112, 96))


def test_golden_pack_from_its_own_images(tmp_path):
    groups = {}
    for label, image in recordio.RecordReader(GOLDEN / "train.rec").images():
        groups.setdefault(label, []).append(image)
    recordio.write_pack(tmp_path / "pack", groups.items())
    wrote, golden = (recordio.RecordReader(tmp_path / "pack/train.rec"), recordio.RecordReader(GOLDEN / "train.rec"))
    assert wrote.payload(0) == golden.payload(0)
    assert [wrote.payload(key) for key in (13, 14, 15)] == [golden.payload(key) for key in (13, 14, 15)]
    assert list(wrote.images()) == list(golden.images())
    assert (tmp_path / "pack/property").read_bytes() == (GOLDEN / "property").read_bytes()


def test_labels_that_skip_a_number_are_refused(tmp_path):
    with pytest.raises(FormatError, match="label 2 where 1 is due"):
        recordio.write_pack(tmp_path / "pack", [(0, [b"a"]), (2, [b"b"])])
    assert not (tmp_path / "pack").exists()


def test_a_rounded_header_label_loses_no_image(pack):
    """Above 2^24 the float32 label of record 0 is off by one or two."""
    golden = list(recordio.RecordReader(pack).images())
    for rounded in (12, 14, 15):
        records = recordio.RecordReader(GOLDEN / "train.rec")
        with recordio.RecordWriter(pack) as writer:
            for key in records.keys:
                label = [rounded, rounded + 3] if key == 0 else records[key].label
                writer.write(key, label, records[key].image)
        assert list(recordio.RecordReader(pack).images()) == golden


def test_a_pack_without_header_record_uses_its_keys(tmp_path):
    with recordio.RecordWriter(tmp_path / "x.rec") as writer:
        writer.write(0, 5.0, b"\xff a")
        writer.write(7, [3.0, 1.0], b"\xff b")
    assert list(recordio.RecordReader(tmp_path / "x.rec").images()) == [(5, b"\xff a"), (3, b"\xff b")]


def same_as_golden(reader):
    golden = recordio.RecordReader(GOLDEN / "train.rec")
    assert reader.keys.tolist() == golden.keys.tolist()
    assert [reader.payload(key) for key in reader.keys] == [golden.payload(key) for key in golden.keys]
    assert list(reader.images()) == list(golden.images())


def test_a_right_index_is_used_as_it_is(pack):
    reader = recordio.RecordReader(pack)
    assert reader.index_note == ""
    same_as_golden(reader)


def test_a_missing_index_is_rebuilt_by_scanning(pack):
    pack.with_suffix(".idx").unlink()
    reader = recordio.RecordReader(pack)
    assert reader.index_note == "train.idx is missing; keys were read from the records of train.rec."
    same_as_golden(reader)


def test_an_unsorted_index_is_sorted(pack):
    index = pack.with_suffix(".idx")
    index.write_text("".join(reversed(index.read_text().splitlines(keepends=True))))
    same_as_golden(recordio.RecordReader(pack))


WRONG = [
    ("", "is empty"),
    ("0\t0\n", "does not fit"),
    ("0\t0\n1\t40\n1\t73556\n", "lists key 1 twice"),
    ("0\t0\n15\t73560\n", "points where no"),
    ("0\t0\n15\t9999999\n", "points where no whole record"),
    ("0\t-4\n", "points where no"),
    ("zero\t0\n", "no index of 'key<TAB>offset' lines"),
    ("0 0\n1 40\n", "no index of 'key<TAB>offset' lines"),
    ("0\t0\t0\n", "no index of 'key<TAB>offset' lines"),
    ("0\tnan\n", "no index of 'key<TAB>offset' lines"),
    ("0\t99999999999999999999\n", "no index of 'key<TAB>offset' lines"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_index_is_rebuilt_from_the_ids_of_the_records(pack, text, message):
    pack.with_suffix(".idx").write_text(text)
    reader = recordio.RecordReader(pack)
    assert message in reader.index_note
    same_as_golden(reader)


@pytest.mark.parametrize(("text", "message"), WRONG)
@pytest.mark.parametrize("number", [0, 1 << 63])
def test_a_wrong_index_is_refused_where_records_carry_no_keys(tmp_path, text, message, number):
    with recordio.RecordWriter(tmp_path / "x.rec") as writer:
        for key in range(4):
            writer.write_payload(key, struct.pack("<IfQQ", 0, key, number, 0) + b"\xff")
    (tmp_path / "x.idx").write_text(text)
    with pytest.raises(FormatError, match="carry no keys to rebuild it from") as caught:
        recordio.RecordReader(tmp_path / "x.rec")
    assert message in str(caught.value)
    (tmp_path / "x.idx").unlink()
    reader = recordio.RecordReader(tmp_path / "x.rec")
    assert reader.keys.tolist() == [0, 1, 2, 3]
    assert reader.index_note == "x.idx is missing; the records of x.rec were counted from 0."
    assert [reader.number(key) for key in range(4)] == [0, 1, 2, 3]


def test_keys_are_the_ids_also_where_the_records_were_shuffled(tmp_path):
    with recordio.RecordWriter(tmp_path / "x.rec") as writer:
        for key in (7, 3, 900, 5):
            writer.write(key, float(key), b"\xff")
    expected = list(recordio.RecordReader(tmp_path / "x.rec").images())
    (tmp_path / "x.idx").unlink()
    reader = recordio.RecordReader(tmp_path / "x.rec")
    assert reader.keys.tolist() == [3, 5, 7, 900]
    assert list(reader.images()) == expected


def test_an_index_of_other_keys_than_the_ids_is_believed(tmp_path):
    for numbers in ([0, 0, 0], [5, 6, 7], [10, 11, 7]):
        with recordio.RecordWriter(tmp_path / "x.rec") as writer:
            for key, number in enumerate(numbers, 10):
                payload = struct.pack("<IfQQ", 0, key, number, 0)
                writer.write_payload(key, payload)
        reader = recordio.RecordReader(tmp_path / "x.rec")
        if numbers[0] == 10:  # two of three agree: the third line of the index is wrong
            assert "points key 12 at another record" in reader.index_note
            assert reader.keys.tolist() == [7, 10, 11]
        else:
            assert reader.index_note == ""
            assert [reader.number(key) for key in (10, 11, 12)] == [10, 11, 12]


@pytest.mark.parametrize("shift", ["3\t12332", "3\t0", "3\t18376"])
def test_a_wrong_offset_in_a_small_index_is_found_at_once(pack, shift):
    index = pack.with_suffix(".idx")
    index.write_text(re.sub(r"(?m)^3\t\d+$", shift, index.read_text()))
    reader = recordio.RecordReader(pack)
    assert "point" in reader.index_note
    same_as_golden(reader)


def test_an_index_shifted_by_a_line_is_found(pack):
    offsets = [line.split("\t")[1] for line in pack.with_suffix(".idx").read_text().splitlines()]
    shifted = "".join(f"{key}\t{offset}\n" for key, offset in enumerate([*offsets[1:], offsets[0]]))
    pack.with_suffix(".idx").write_text(shifted)
    same_as_golden(recordio.RecordReader(pack))


@pytest.mark.parametrize("where", ["between", "another"])
@pytest.mark.parametrize("use", ["record", "number", "payload"])
def test_a_wrong_offset_in_a_large_index_is_found_on_use(tmp_path, where, use):
    with recordio.RecordWriter(tmp_path / "x.rec") as writer:
        for key in range(5000):
            writer.write(key, float(key), b"\xff")
    index = tmp_path / "x.idx"
    lines = index.read_text().splitlines()
    if where == "between":
        lines[2001] = f"2001\t{int(lines[2001].split()[1]) + 4}"
    else:
        lines[2001], lines[2002] = (f"{key}\t{lines[4003 - key].split()[1]}" for key in (2001, 2002))
    index.write_text("\n".join(lines))
    reader = recordio.RecordReader(tmp_path / "x.rec")
    assert reader.index_note == ""
    if use == "payload":
        if where == "between":
            assert struct.unpack_from("<If", reader.payload(2001))[1] == 2001
        return
    assert (reader[2001].number if use == "record" else reader.number(2001)) == 2001
    assert "points key 2001 where its record is not" in reader.index_note
    assert [reader.number(key) for key in reader.keys] == list(range(5000))


def test_labels_that_the_record_has_no_room_for_are_refused(tmp_path):
    for flag in (1, 0xFFFFFFFF):
        with recordio.RecordWriter(tmp_path / "x.rec") as writer:
            writer.write_payload(0, struct.pack("<IfQQ", flag, 0, 0, 0) + b"abc")
        reader = recordio.RecordReader(tmp_path / "x.rec")
        for use in (reader.__getitem__, reader.number):
            with pytest.raises(FormatError, match="record 0 has no"):
                use(0)


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("keep", [10, 50_000, 73_500])
def test_a_cut_file_is_refused(pack, keep, with_index):
    pack.write_bytes(pack.read_bytes()[:keep])
    if not with_index:
        pack.with_suffix(".idx").unlink()
    with pytest.raises(FormatError, match="cut short"):
        recordio.RecordReader(pack)


def test_a_missing_file_and_a_missing_key(tmp_path):
    with pytest.raises(FormatError, match="cannot open"):
        recordio.RecordReader(tmp_path / "none.rec")
    with pytest.raises(KeyError):
        recordio.RecordReader(GOLDEN / "train.rec")[99]


def test_payloads_without_an_image_header_are_named():
    reader = recordio.RecordReader(GOLDEN / "magic.rec")
    with pytest.raises(FormatError, match="record 0 has no image header"):
        reader[0]
    with pytest.raises(FormatError, match="record 1 has no whole number"):
        reader.number(1)


def test_readers_pickle_as_a_path():
    reader = pickle.loads(pickle.dumps(recordio.RecordReader(GOLDEN / "train.rec")))
    assert reader[1].image == recordio.RecordReader(GOLDEN / "train.rec")[1].image


def test_a_failed_writer_leaves_nothing(tmp_path):
    def fail():
        with recordio.RecordWriter(tmp_path / "x.rec") as writer:
            writer.write(0, 1.0, b"a")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "3,112", "a,b,c", "3 112 112", "-1,112,112", "3,0,112"])
def test_a_malformed_property_is_refused(tmp_path, text):
    (tmp_path / "property").write_text(text)
    with pytest.raises(FormatError, match="identities,height,width"):
        recordio.read_property(tmp_path / "property")
