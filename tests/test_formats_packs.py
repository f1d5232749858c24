"""Verification packs: pickles of every age, and pickles that must not be trusted."""

import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec.core import FormatError
from facerec.interop import verification_packs

GOLDEN = Path(__file__).parent / "golden/recordio"
IMAGES = [b"\xff\xd8one", b"two\x00", b"", b"four"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lfw.bin"


def test_the_golden_pack_is_read_and_written_byte_for_byte(path):
    images, same = verification_packs.read_bin(GOLDEN / "lfw.bin")
    assert len(images) == 20
    assert all(image.startswith(b"\xff\xd8\xff") for image in images)
    assert same.tolist() == [True, False] * 5
    verification_packs.write_bin(path, images, same)
    assert path.read_bytes() == (GOLDEN / "lfw.bin").read_bytes()


def test_a_pickle_of_python_2_is_read_as_bytes():
    images, same = verification_packs.read_bin(GOLDEN / "py2_proto2.bin")
    assert images == [b"\xff\xd8py2jpegA", b"\xff\xd8py2jpegB"]
    assert same.tolist() == [True]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(), st.binary(), st.booleans())))
def test_what_is_written_is_read(path, values):
    images = [image for first, second, _ in values for image in (first, second)]
    verification_packs.write_bin(path, images, [same for *_, same in values])
    assert verification_packs.read_bin(path)[0] == images
    assert verification_packs.read_bin(path)[1].tolist() == [same for *_, same in values]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", [bytes, lambda image: np.frombuffer(image, np.uint8)])
@pytest.mark.parametrize(
    "same", [[True, False], np.array([True, False]), [np.bool_(1), np.bool_(0)], np.array([1, 0]), (1, 0)]
)
def test_every_protocol_and_form_is_read(path, protocol, form, same):
    path.write_bytes(pickle.dumps(([form(image) for image in IMAGES], same), protocol=protocol))
    images, found = verification_packs.read_bin(path)
    assert images == IMAGES
    assert found.tolist() == [True, False]
    assert found.dtype == bool


def test_arrays_of_objects_and_foreign_byte_order_are_read(path):
    same = np.array([1, 0]).astype(">i4")
    path.write_bytes(pickle.dumps((np.array(IMAGES, object), same), protocol=2))
    assert verification_packs.read_bin(path)[0] == IMAGES
    assert verification_packs.read_bin(path)[1].tolist() == [True, False]


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2_are_read(path, core):
    data = pickle.dumps(([np.frombuffer(image, np.uint8) for image in IMAGES], [True, False]), protocol=0)
    path.write_bytes(data.replace(b"numpy._core", core).replace(b"numpy.core", core))
    assert verification_packs.read_bin(path)[0] == IMAGES


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        Calls(os.system, "touch {marker}"),
        Calls(eval, "open({marker!r}, 'w')"),
        Calls(getattr, b"x", "hex"),
        Calls(np.fromfile, "/etc/passwd"),
        Calls(np.save, "{marker}", b"x"),
        Calls(bytearray, 1 << 40),
    ],
)
def test_a_hostile_pickle_runs_nothing(tmp_path, path, call):
    marker = tmp_path / "marker"
    function, arguments = call.call
    filled = [a.format(marker=str(marker)) if isinstance(a, str) else a for a in arguments]
    for hostile in (Calls(function, *filled), ([Calls(function, *filled), b"b"], [True])):
        path.write_bytes(pickle.dumps(hostile))
        with pytest.raises(FormatError, match="asks for"):
            verification_packs.read_bin(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\ndtype\n(S'O'\ntR.",
        b"cnumpy\ndtype\n(S'f8'\ntR.",
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"Vsomething\nP0\n.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I99999999999\ntcnumpy\ndtype\n(S'u1'\ntRI0\nS'x'\ntb.",
        b"c__builtin__\nbytes\n(I1099511627776\ntR.",
        b"cnumpy\nndarray\n(I1000\ntR.",
        b"\x80\x05\x8c\x08builtins\x8c\x04exec\x93\x8c\x04pass\x85R.",
        b"\x80\x02]r\xff\xff\xff\x7f.",  # entry 2^31 of the memo: 32 GB for a reader that makes room
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"a terabyte of bytes promised.",
        b"P5\n.",
        b"",
        b"\x80\x05\x95",
    ],
)
def test_crafted_and_broken_pickles_are_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(FormatError, match=str(path)):
        verification_packs.read_bin(path)


IMAGE = b"\xff" * 1_000_000
U1 = b"cnumpy\ndtype\n(S'u1'\ntR"
BOMBS = {
    "one array many times": b"\x80\x02(]q\x00(cnumpy.core.multiarray\n_reconstruct\n)R(I1\n(I1000000\nt" + U1
    + b"I0\nT" + struct.pack("<I", 1_000_000) + IMAGE + b"tbq\x01" + b"h\x01" * 99_999 + b"e](" + b"\x88" * 50_000 + b"et.",
    "one text encoded many times": b"\x80\x02(](c_codecs\nencode\nq\x00X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000
    + b"q\x01X\x06\x00\x00\x00latin1q\x02\x87" + b"".join([b"h\x00h\x01h\x02\x86R" for _ in range(50_000)]) + b"e]\x88at.",
    "a shape of nothing": b"\x80\x02(cnumpy.core.multiarray\n_reconstruct\n)R(I1\n(I2000000000000\nI0\nt" + U1
    + b"I0\nU\x00tbcnumpy.core.multiarray\n_reconstruct\n)R(I1\n(I1000000000000\nI0\nt" + U1 + b"I0\nU\x00tbt.",
    "deep nesting": b"]" * 100_000 + b"a" * 99_999 + b".",
    "tuples of tuples": b"N" + b"2\x86" * 100_000 + b".",
    "a memo of billions": b"\x80\x02]r\xff\xff\xff\xff.",
    "colliding keys": b"}(" + b"".join(b"L%d\nN" % (number * (2**61 - 1)) for number in range(30_000)) + b"u.",
    "a promise of bytes": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "a huge number": b"L" + b"9" * 1_000_000 + b"L\n.",
}  # fmt: skip


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_bombs_take_neither_memory_nor_time(path, data):
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            verification_packs.read_bin(path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("keep", [0, 1, 60_000, 122_000])
def test_a_cut_pack_is_refused(path, keep):
    path.write_bytes((GOLDEN / "lfw.bin").read_bytes()[:keep])
    with pytest.raises(FormatError, match="plain images and bools"):
        verification_packs.read_bin(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([b"a"], "no pair of"),
        ((b"a", b"b"), "no lists"),
        (([b"a", b"b"], [True, False]), "2 images for 2 pairs"),
        (([b"a", b"b", b"c"], [True]), "3 images for 1 pairs"),
        (([b"a", 3], [True]), "image 1 is no string of bytes but int"),
        (([b"a", {}], [True]), "more than lists of images and bools"),
        (([b"a", b"b"], [2]), "neither true nor false"),
        (([b"a", b"b"], ["yes"]), "neither true nor false"),
    ],
)
def test_other_plain_data_is_refused(path, value, message):
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(FormatError, match=message):
        verification_packs.read_bin(path)


def test_images_must_come_in_pairs(path):
    with pytest.raises(FormatError, match="3 images do not make 1 pairs"):
        verification_packs.write_bin(path, [b"a", b"b", b"c"], [True])
    assert not path.exists()


def test_a_missing_pack_is_named(path):
    with pytest.raises(FormatError, match="cannot read the pack"):
        verification_packs.read_bin(path)


def test_an_image_of_many_pairs_may_be_stored_once(path):
    verification_packs.write_bin(path, [IMAGES[0] * 1000] * 20, [True] * 10)
    assert path.stat().st_size < 10_000
    assert verification_packs.read_bin(path)[0] == [IMAGES[0] * 1000] * 20
    path.write_bytes(pickle.dumps(([b"x" * 10_000] * 2000, [True] * 1000)))
    with pytest.raises(FormatError, match="more than 64 times"):
        verification_packs.read_bin(path)


class Array:
    """Pickles as an array around `data`; every one of them refers to the same bytes."""

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        make, arguments, _ = np.empty(0, np.uint8).__reduce__()
        return make, arguments, (1, (len(self.data),), np.dtype(np.uint8), False, self.data)


@pytest.mark.parametrize("form", ["one array", "arrays of the same bytes"])
def test_an_array_of_many_pairs_is_held_once(path, form):
    data = bytes(range(256)) * 4096
    arrays = [np.frombuffer(data, np.uint8)] * 60 if form == "one array" else [Array(data) for _ in range(60)]
    path.write_bytes(pickle.dumps((arrays, [True] * 30), protocol=2))
    tracemalloc.start()
    try:
        images, _ = verification_packs.read_bin(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert images == [data] * 60
    assert peak < 10 * len(data)
