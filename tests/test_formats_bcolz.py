"""bcolz folders written by bcolz itself (tests/golden/bcolz), and folders that must not be trusted.

`tiny` was flushed, `unflushed` was not, so that bcolz lost its last two images; both hold the pixels of
pixels.npy as blue, green, red.
"""

import json
import random
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.interop import bcolz
from facerec.store import tables

GOLDEN = Path(__file__).parent / "golden/bcolz"
PIXELS = np.load(GOLDEN / "pixels.npy")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return tmp_path / "golden/tiny"


def pixels(pack):
    return np.concatenate(list(pack.chunks()))


def test_the_golden_folder_gives_the_very_pixels():
    pack = bcolz.read_bcolz(GOLDEN / "tiny")
    assert (len(pack), pack.shape, pack.lost, pack.note) == (8, (8, 8, 8), 0, "")
    assert pack.same.tolist() == [True, False, True, False]
    assert [chunk.shape for chunk in pack.chunks()] == [(3, 8, 8, 3), (3, 8, 8, 3), (2, 8, 8, 3)]
    assert pixels(pack).dtype == np.uint8
    assert np.array_equal(pixels(pack), PIXELS)


def test_the_order_of_colours_can_be_named():
    assert np.array_equal(pixels(bcolz.read_bcolz(GOLDEN / "tiny", colour="rgb")), PIXELS[..., ::-1])


def test_images_that_bcolz_lost_are_grey_and_told_of():
    pack = bcolz.read_bcolz(GOLDEN / "unflushed")
    assert pack.lost == 2
    assert "lacks its last 2 of 8 images" in pack.note
    assert np.array_equal(pixels(pack)[:6], PIXELS[:6])
    assert (pixels(pack)[6:] == 128).all()


def test_a_folder_is_told_by_its_meta():
    assert bcolz.is_bcolz_folder(GOLDEN / "tiny")
    assert not bcolz.is_bcolz_folder(GOLDEN)
    assert not bcolz.is_bcolz_folder(GOLDEN / "pixels.npy")


def chunk_of(folder, values):
    """`values` in chunk 2 of `folder`, as bcolz would store it without compression."""
    data = np.asarray(values, "<f4").tobytes()
    blosc = struct.pack("<BBBBIII", 2, 1, 2, 4, len(data), len(data), len(data) + 16) + data
    (folder / "data/__2.blp").write_bytes(struct.pack("<4sB3xq", b"blpk", 1, 1) + blosc)


def test_every_level_of_grey_comes_back(folder):
    levels = np.resize(np.arange(256, dtype=np.uint8), (2, 3, 8, 8))
    for stored in (
        levels.astype(np.float32) / np.float32(127.5) - 1,
        (levels / 255 - 0.5) / 0.5,
        (levels.astype(np.float32) - np.float32(127.5)) / np.float32(127.5),
    ):
        chunk_of(folder, stored)
        assert np.array_equal(pixels(bcolz.read_bcolz(folder, "rgb"))[6:], levels.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.01, -1.01, 0.002, 127.5 / 128])
def test_numbers_that_are_no_pixels_are_refused(folder, value):
    chunk_of(folder, np.full((2, 3, 8, 8), value))
    with pytest.raises(FormatError, match=r"__2.blp holds numbers that are no pixels"):
        pixels(bcolz.read_bcolz(folder))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("meta/sizes", {"shape": [8, 1, 8, 8]}, "not float32 images"),
        ("meta/sizes", {"shape": [8, 3, 8]}, "holds no images"),
        ("meta/sizes", {"shape": [8, 3, 8, 8.0]}, "holds no images"),
        ("meta/sizes", {"shape": [8, 3, 8, -8]}, "holds no images"),
        ("meta/sizes", {"shape": [8, 3, 8, True]}, "holds no images"),
        ("meta/sizes", {"shape": [1 << 30, 3, 8, 8]}, "lacks __3.blp of its 357913942 chunks"),
        ("meta/sizes", {"shape": [10, 3, 8, 8]}, "lacks __3.blp of its 4 chunks"),
        ("meta/sizes", {"shape": [7, 3, 8, 8]}, "holds 7 images for the 4 pairs"),
        ("meta/sizes", {"shape": [8, 3, 16, 4]}, None),
        ("meta/sizes", {"shape": [6, 3, 8, 8]}, "holds 6 images for the 4 pairs"),
        ("meta/storage", {"dtype": "float64"}, "holds float64"),
        ("meta/storage", {"dtype": ["<f4"]}, "not float32 images"),
        ("meta/storage", {"chunklen": 0}, "holds no images"),
        ("meta/storage", {"chunklen": 1 << 30}, "is refused"),
        ("meta/storage", {"chunklen": 4}, "no chunk of"),
    ],
)
def test_wrong_meta_is_refused(folder, name, change, message):
    meta = json.loads((folder / name).read_text()) | change
    (folder / name).write_text(json.dumps(meta))
    if message is None:
        assert bcolz.read_bcolz(folder).shape == (8, 16, 4)  # as many bytes: nothing can tell
        return
    with pytest.raises(FormatError, match=message):
        pixels(bcolz.read_bcolz(folder))


@pytest.mark.parametrize("name", ["meta/sizes", "meta/storage", "data/__1.blp", "../tiny_list.npy"])
@pytest.mark.parametrize("data", [None, b"", b"[" * 100_000, b"[]", b"\xff" * 300])
def test_missing_and_foreign_files_are_named(folder, name, data):
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)
    with pytest.raises(FormatError, match=Path(name).name):
        pixels(bcolz.read_bcolz(folder))


@pytest.mark.parametrize("flags", [[1, 0, 2, 0], [0.0, 1, 0, 1], [[1, 0, 1, 0]], ["a", "b", "c", "d"], [1, 0]])
def test_lists_of_other_things_are_refused(folder, flags):
    np.save(folder.parent / "tiny_list.npy", flags)
    with pytest.raises(FormatError, match="tiny_list"):
        bcolz.read_bcolz(folder)


def test_a_pickled_list_and_an_archive_are_refused(folder):
    np.save(folder.parent / "tiny_list.npy", np.array([True, None], object), allow_pickle=True)
    with pytest.raises(FormatError, match=r"tiny_list\.npy is no array of numbers"):
        bcolz.read_bcolz(folder)
    np.savez(folder.parent / "list.npz", a=PIXELS)
    with pytest.raises(FormatError, match="an archive"):
        tables.read_npy(folder.parent / "list.npz")


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(-1,)", "(4, 0)", "('4',)", "4", "(4,", "(" * 9000])
def test_an_npy_that_promises_much_is_refused(tmp_path, shape):
    header = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(4)
    (tmp_path / "x.npy").write_bytes(data)
    if shape == "(4, 0)":
        assert tables.read_npy(tmp_path / "x.npy").shape == (4, 0)
        return
    with pytest.raises(FormatError, match=r"x\.npy"):
        tables.read_npy(tmp_path / "x.npy")


def test_damaged_chunks_give_pixels_or_the_format_error(folder):
    whole = (folder / "data/__1.blp").read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 3, 20))):
            data[draw.randrange(len(data) if draw.random() < 0.5 else 64)] = draw.choice((0, 127, 128, 255))
        if draw.random() < 0.2:
            del data[draw.randrange(len(data)) :]
        if draw.random() < 0.5 and len(data) >= 32:  # past our own checks, into the codec
            data[:24] = whole[:24]
            data[28:32] = struct.pack("<I", len(data) - 16)
        (folder / "data/__1.blp").write_bytes(data)
        try:
            pixels(bcolz.read_bcolz(folder))
        except FormatError:
            refused += 1
    assert refused > 150


def test_an_array_whose_header_claims_gigabytes_is_refused_before_they_are_asked_for(tmp_path):
    path = tmp_path / "x.npy"
    for header, message in ((2**31, "header is too long"), (100, "no array of numbers")):
        path.write_bytes(b"\x93NUMPY\x02\x00" + header.to_bytes(4, "little") + b"{'descr': '<f4'}")
        with pytest.raises(FormatError, match=message):
            tables.read_npy(path)
