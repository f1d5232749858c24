"""Photo and face shards: round trips, random access, determinism, refusals."""

import ctypes
import mmap
import multiprocessing
import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec.core import FormatError
from facerec.store import shard_writing, shards

FACES = shards.Meta("faces", "test", "CC0", size=(112, 112), template="arcface-112")
PHOTOS = shards.Meta("photos", "test")


def face(number, **changes):
    return {
        "image": bytes([number % 256]) * (number % 50 + 1),
        "label": number % 7,
        "identity": f"p{number % 7}",
        "source": f"p{number % 7}/{number}.jpg",
        "box": [1, 2, 3, number] if number % 2 else None,
        "landmarks": np.full((5, 2), number) if number % 3 else None,
        "score": 0.5,
        "rung": "detected",
        **changes,
    }


def contents(path):
    return {part.name: part.read_bytes() for part in path.iterdir()}


def test_every_row_comes_back(tmp_path):
    rows = [face(number) for number in range(1000)]
    assert shard_writing.write_shards(iter(rows), tmp_path / "set", FACES, shard_bytes=40_000) == 1000
    found = shards.read_shards(tmp_path / "set", "faces")
    assert len(list((tmp_path / "set").iterdir())) > 1
    assert found.meta == FACES
    assert len(found) == 1000
    assert [bytes(found.image(number)) for number in range(1000)] == [row["image"] for row in rows]
    assert found.labels.tolist() == [row["label"] for row in rows]
    assert found.labels.dtype == np.int64
    assert found.sources == [row["source"] for row in rows]
    assert found.identities == [row["identity"] for row in rows]
    assert found.classes == 7
    row = found.row(301)
    assert row["box"].tolist() == [1, 2, 3, 301]
    assert row["landmarks"].shape == (5, 2)
    assert found.row(300)["box"] is None
    assert found.row(300)["landmarks"] is None
    assert (row["score"], row["rung"]) == (0.5, "detected")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(-1, 5), st.text(max_size=5)), max_size=30))
def test_any_bytes_and_names_come_back(tmp_path, values):
    rows = [{"image": i, "label": n, "identity": t, "source": t} for i, n, t in values]
    shard_writing.write_shards(rows, tmp_path / "set", PHOTOS, shard_bytes=60)
    found = shards.read_shards(tmp_path / "set")
    assert [bytes(found.image(number)) for number in range(len(found))] == [row["image"] for row in rows]
    assert found.labels.tolist() == [row["label"] for row in rows]
    assert found.sources == [row["source"] for row in rows]


def test_equal_rows_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        shard_writing.write_shards([face(number) for number in range(600)], tmp_path / name, FACES, shard_bytes=9000)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_large_images_make_short_batches(tmp_path):
    shard_writing.write_shards([face(number, image=bytes(12 << 20)) for number in range(7)], tmp_path, FACES)
    table = shards.read_shards(tmp_path).table
    assert [len(chunk) for chunk in table["image"].chunks] == [3, 3, 1]


def test_an_empty_set_is_a_set(tmp_path):
    assert shard_writing.write_shards([], tmp_path, PHOTOS) == 0
    found = shards.read_shards(tmp_path, "photos")
    assert (len(found), found.classes, found.sources) == (0, 0, [])
    with pytest.raises(IndexError):
        found.image(0)


def test_unknown_labels_are_no_class(tmp_path):
    shard_writing.write_shards([face(0, label=-1), face(1, label=4), face(2, label=4)], tmp_path, FACES)
    assert shards.read_shards(tmp_path).classes == 1


def test_images_are_views_into_the_file(tmp_path):
    shard_writing.write_shards([face(number, image=bytes(1 << 20)) for number in range(8)], tmp_path, FACES)
    before = pa.total_allocated_bytes()
    found = shards.read_shards(tmp_path)
    images = [found.image(number) for number in range(8)]
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert all(image.readonly and image.format == "B" and image.nbytes == 1 << 20 for image in images)


def resident(path: Path) -> int:
    """Bytes of a file that the system holds in memory."""
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE) as data,
    ):
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        address = ctypes.addressof(ctypes.c_char.from_buffer(data))
        assert ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages) == 0
    return sum(each & 1 for each in pages) * mmap.PAGESIZE


def forget(path: Path) -> None:
    """Have the system drop a file from memory, where it can."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if resident(path):
        pytest.skip("this file system keeps all files in memory")


def test_random_faces_cost_their_own_pages_alone(tmp_path):
    """On a cold cache; opening the set and its labels cost a few pages a batch of 1.8 MB."""
    shard_writing.write_shards([face(number, image=os.urandom(7000)) for number in range(4096)], tmp_path, FACES)
    part = tmp_path / "part-00000.arrow"
    forget(part)
    found = shards.read_shards(tmp_path)
    found.expect_any_order()
    assert found.classes == 7
    opened = resident(part)
    assert opened <= 16 * 6 * mmap.PAGESIZE < part.stat().st_size / 50
    chosen = np.random.default_rng(1).choice(4096, 100, replace=False).tolist()
    assert sum(len(bytes(found.image(number))) for number in chosen) == 700_000
    assert resident(part) - opened <= 100 * 4 * mmap.PAGESIZE


def test_images_in_order_are_read_ahead(tmp_path):
    shard_writing.write_shards([face(number, image=os.urandom(7000)) for number in range(256)], tmp_path, FACES)
    part = tmp_path / "part-00000.arrow"
    forget(part)
    found = shards.read_shards(tmp_path)
    before = resident(part)
    bytes(found.image(0))
    assert resident(part) - before > 4 * mmap.PAGESIZE


def _read_with_few_files(path, told):
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 9, 4096))
    found = shards.read_shards(path)
    told.send((len(found), bytes(found.image(len(found) - 1))))


def test_a_set_may_have_more_parts_than_files_may_be_open(tmp_path):
    shard_writing.write_shards([face(number) for number in range(40 * 256)], tmp_path, FACES, shard_bytes=10_000)
    assert len(list(tmp_path.iterdir())) == 40
    told, tell = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_read_with_few_files, args=(tmp_path, tell))
    process.start()
    assert told.poll(60)
    assert told.recv() == (40 * 256, face(40 * 256 - 1)["image"])
    process.join()


def test_other_files_may_lie_beside_the_parts(tmp_path):
    shard_writing.write_shards([face(1)], tmp_path, FACES)
    (tmp_path / "pairs.txt").write_text("1\t1\n")
    assert len(shards.read_shards(tmp_path)) == 1


def test_pickling_keeps_only_the_path(tmp_path):
    shard_writing.write_shards([face(number, image=bytes(10_000)) for number in range(100)], tmp_path, FACES)
    pickled = pickle.dumps(shards.read_shards(tmp_path))
    assert len(pickled) < 500
    assert len(pickle.loads(pickled)) == 100


def _first_byte(found):
    return bytes(found.image(3))


def test_worker_processes_can_read(tmp_path):
    shard_writing.write_shards([face(number) for number in range(9)], tmp_path, FACES)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first_byte, (shards.read_shards(tmp_path),)) == bytes([3]) * 4


def test_a_failed_write_leaves_the_old_set(tmp_path):
    shard_writing.write_shards([face(1)], tmp_path / "set", FACES)
    before = contents(tmp_path / "set")
    with pytest.raises(FormatError, match="landmarks"):
        shard_writing.write_shards([face(1), face(2, landmarks=np.zeros((2, 5)))], tmp_path / "set", FACES)
    assert contents(tmp_path / "set") == before
    assert [place.name for place in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "column image .* has none"),
        ({"image": 5}, "column image"),
        ({"label": "x"}, "column label"),
        ({"label": 1 << 70}, "column label"),
        ({"source": None}, "column source"),
        ({"box": [1, 2, 3]}, "column box .*shape"),
        ({"score": "high"}, "column score"),
    ],
)
def test_impossible_rows_are_refused(tmp_path, change, message):
    with pytest.raises(FormatError, match=message):
        shard_writing.write_shards([face(1, **change)], tmp_path / "set", FACES)


def test_impossible_metas_are_refused(tmp_path):
    for meta in (
        shards.Meta("images", "x"),
        shards.Meta("faces", "x"),
        shards.Meta("photos", "x", size=(112, 112)),
        shards.Meta("photos", "x", colour="BGR"),
    ):
        with pytest.raises(FormatError):
            shard_writing.write_shards([], tmp_path / "set", meta)


def test_the_wrong_kind_is_refused(tmp_path):
    shard_writing.write_shards([], tmp_path, PHOTOS)
    with pytest.raises(FormatError, match="holds photos, but faces are needed"):
        shards.read_shards(tmp_path, "faces")


@pytest.mark.parametrize("missing", [0, 1, -1])
def test_a_missing_part_is_noticed(tmp_path, missing):
    shard_writing.write_shards([face(number) for number in range(1000)], tmp_path, FACES, shard_bytes=20_000)
    sorted(tmp_path.iterdir())[missing].unlink()
    with pytest.raises(FormatError, match=r"lacks part|had more parts"):
        shards.read_shards(tmp_path)


def test_a_part_of_another_set_is_noticed(tmp_path):
    for name in ("a", "b"):
        meta = shards.Meta("faces", name, size=(112, 112))
        shard_writing.write_shards([face(number) for number in range(600)], tmp_path / name, meta, shard_bytes=9000)
    (tmp_path / "b/part-00001.arrow").replace(tmp_path / "a/part-00001.arrow")
    with pytest.raises(FormatError, match="different sets"):
        shards.read_shards(tmp_path / "a")
    extra = tmp_path / "a" / f"part-{len(list((tmp_path / 'a').iterdir())):05d}.arrow"
    shard_writing.write_shards([face(1)], tmp_path / "c", FACES)
    (tmp_path / "c/part-00000.arrow").replace(extra)
    with pytest.raises(FormatError):
        shards.read_shards(tmp_path / "a")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_a_cut_part_is_noticed(tmp_path, keep):
    shard_writing.write_shards([face(number) for number in range(100)], tmp_path, FACES)
    part = tmp_path / "part-00000.arrow"
    part.write_bytes(part.read_bytes()[: int(part.stat().st_size * keep)])
    with pytest.raises(FormatError, match="damaged or cut short"):
        shards.read_shards(tmp_path)


def _foreign(path: Path, metadata: dict[bytes, bytes]) -> None:
    schema = pa.schema([pa.field("x", pa.int64())], metadata=metadata)
    with pa.ipc.new_file(path / "part-00000.arrow", schema) as writer:
        writer.write_batch(pa.record_batch([pa.array([1])], schema=schema))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not one of facerec's"),
        ({b"facerec": b"{"}, "does not say what set"),
        ({b"facerec": b'{"version": 1}'}, "does not say what set"),
        (
            {b"facerec": b'{"version": 1, "kind": "faces", "dataset": "", "size": [99999, 99999]}'},
            "promises faces of 99999x99999",
        ),
        ({b"facerec": b'{"version": 2, "kind": "photos", "dataset": ""}'}, "has version 2, this program reads 1"),
        (
            {b"facerec": b'{"version": 1, "kind": "photos", "dataset": "", "size": null, "colour": "BGR"}'},
            "holds BGR pixels",
        ),
        (
            {b"facerec": b'{"version": 1, "kind": "photos", "dataset": "", "size": null}'},
            "does not have the columns of photos",
        ),
    ],
)
def test_foreign_arrow_files_are_refused(tmp_path, metadata, message):
    _foreign(tmp_path, metadata)
    with pytest.raises(FormatError, match=message):
        shards.read_shards(tmp_path)


def test_an_offset_that_leads_out_of_the_file_is_refused_before_it_is_used(tmp_path):
    shard_writing.write_shards([face(1, source="the source of the face")], tmp_path, FACES)
    part = tmp_path / "part-00000.arrow"
    data = part.read_bytes()
    offsets = data.index(bytes([0, 0, 0, 0, 22, 0, 0, 0]))  # of the one source, [0, 22]
    for hostile in (1 << 30, -1 & 0xFFFFFFFF):
        part.write_bytes(data[: offsets + 4] + hostile.to_bytes(4, "little") + data[offsets + 8 :])
        with pytest.raises(FormatError, match="damaged or cut short"):
            _ = shards.read_shards(tmp_path).sources
        with pytest.raises(FormatError, match="damaged or cut short"):
            shards.read_shards(tmp_path).row(0)


def test_an_image_outside_its_file_is_refused(tmp_path):
    shard_writing.write_shards([face(1, image=b"x" * 22), face(2)], tmp_path, FACES)
    part = tmp_path / "part-00000.arrow"
    data = part.read_bytes()
    offsets = data.index(bytes([0, 0, 0, 0, 22, 0, 0, 0]))
    for hostile in (1 << 30, -1 & 0xFFFFFFFF):
        part.write_bytes(data[: offsets + 4] + hostile.to_bytes(4, "little") + data[offsets + 8 :])
        found = shards.read_shards(tmp_path)
        for number in (0, 1):
            with pytest.raises(FormatError, match=f"image {number} lies outside its file"):
                found.image(number)


def test_names_that_are_no_text_are_refused(tmp_path):
    shard_writing.write_shards([face(1, source="the source of the face")], tmp_path, FACES)
    part = tmp_path / "part-00000.arrow"
    part.write_bytes(part.read_bytes().replace(b"the source", b"the\xffsource"))
    with pytest.raises(FormatError, match="UTF8"):
        _ = shards.read_shards(tmp_path).sources


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(FormatError, match="holds no shards"):
        shards.read_shards(tmp_path)
