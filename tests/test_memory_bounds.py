"""Memory bombs: files of a few kilobytes that would take gigabytes are refused in one sentence, under a memory limit."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numcodecs import blosc

from facerec.store import bounds, tables
from tests.conftest import ROOT

ROWS = 100_000_000
MOST = 400 << 20
"""Bytes that a reader may take of a bomb; what it would take is more."""

_READ = """
import importlib, json, os, resource, sys
from pathlib import Path
from facerec.core import FormatError

calls = json.load(sys.stdin)
readers = {name: importlib.import_module(module) for name, (module, _) in calls.items()}
for name, (_, call) in calls.items():
    sys.stdout.flush()
    if (child := os.fork()):
        os.waitpid(child, 0)
        continue
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), used + (2 << 30)))
    said = "read it"
    try:
        eval(call, {**vars(readers[name]), "Path": Path, "path": name})
    except FormatError as error:
        said = str(error)
    except BaseException as error:
        said = f"failed: {error!r}"
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before << 10
    print(json.dumps([name, said, taken]), flush=True)
    os._exit(0)
"""


def repeated(kind: pa.DataType, rows: int = ROWS) -> pa.ChunkedArray:
    """One value `rows` times, which Parquet stores once; in pieces that are one object, so it is made quickly."""
    piece = pa.array(np.zeros(1_000_000)).cast(kind)
    return pa.chunked_array([piece] * (rows // len(piece)))


def write_pairs(path: Path, **options: object) -> None:
    table = pa.table({"first": repeated(pa.int64()), "second": repeated(pa.int64()), "same": repeated(pa.bool_())})
    pq.write_table(table, path, **options)


def write_packed_pairs(path: Path) -> None:
    write_pairs(path, use_dictionary=False, compression="zstd")


def _varint(number: int, length: int) -> bytes:
    bits = [number * 2 >> 7 * place & 127 for place in range(length)]
    return bytes([*(bit | 128 for bit in bits[:-1]), bits[-1]])


def write_gallery(path: Path) -> None:
    count = 30_000_000
    embedding = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.array(np.zeros(count, np.float32)))
    rows = {name: pa.array(["x"]) for name in ("name", "source", "photo", "rung")}
    faces = {"score": pa.array([1.0], pa.float32()), "face": pa.array([b"x"])}
    pq.write_table(pa.table({**rows, "embedding": embedding, **faces}), path, compression="none")
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    lie = data[footer:].replace(_varint(count, 4), _varint(1, 4))
    assert lie != data[footer:]
    path.write_bytes(data[:footer] + lie)


def write_texts(path: Path) -> None:
    """A failure table of one long text in every row."""
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table(dict.fromkeys(("source", "identity", "category", "reason"), long)), path)


def write_prefixes(path: Path) -> None:
    """Texts that repeat the start of the one before: 1 MB each."""
    start = "x" * 1_000_000
    texts = pa.array([start + str(number) for number in range(100)])
    names = ("source", "identity", "category", "reason")
    options = {"use_dictionary": False, "column_encoding": dict.fromkeys(names, "DELTA_BYTE_ARRAY")}
    pq.write_table(pa.table(dict.fromkeys(names, texts)), path, **options)


def write_shards(folder: Path) -> None:
    from facerec.store import shards

    folder.mkdir()
    schema = shards.schema_of(shards.Meta("photos", "x"))
    columns = {"image": [bytes(1 << 29)], "label": [0], "identity": [""], "source": ["a"]}
    batch = pa.RecordBatch.from_pylist([{name: value[0] for name, value in columns.items()}], schema)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(folder / "part-00000.arrow", schema, options=options) as writer:
        writer.write_batch(batch)


def write_weights(path: Path) -> None:
    """A torch file whose members are packed."""
    plain = io.BytesIO()
    torch.save({"weight": torch.zeros(200 << 20, dtype=torch.uint8)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for member in source.infolist():
            packed.writestr(member.filename, source.read(member))


def write_old_weights(path: Path) -> None:
    """The form of torch 1.5, whose storage claims 4 GB."""
    torch.save({"weight": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"M\xe8\x03", b"J\0\0\0\x40"))


def write_stretched(path: Path) -> None:
    """A tensor of 40 GB that repeats one number."""
    torch.save({"weight": torch.zeros(1).expand(100_000, 100_000)}, path)


def write_bytearray(path: Path) -> None:
    class Zeros:
        def __reduce__(self) -> tuple[type, tuple[int]]:
            return bytearray, (8 << 30,)

    torch.save({"weight": Zeros()}, path)


def write_backbone(path: Path) -> None:
    from facerec.backbones.storage import FORMAT
    from facerec.store.model_metadata import Preprocessing

    spec = {"name": "mobilefacenet", "dim": 1 << 26, "options": {}}
    content = {"format": FORMAT, "backbone": spec, "preprocessing": Preprocessing().to_dict(), "state_dict": {}}
    torch.save({**content, "trained_on": None}, path)


def write_packed_backbone(path: Path) -> None:
    """A zip whose values unpack to 512 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("x/data.pkl", b"\x80\x02facerec-backbone-1" + bytes(1 << 29))


def write_npy(path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 30, 512)})
    path.write_bytes(header.getvalue() + bytes(64))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("a/1.jpg", bytes(200 << 20))


def write_tgz(path: Path) -> None:
    with gzip.open(path, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("a/1.jpg")
        info.size = 200 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))


def write_bcolz(folder: Path) -> None:
    (folder / "meta").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "meta/sizes").write_text('{"shape": [2, 3, 20000, 20000], "nbytes": 0, "cbytes": 0}')
    (folder / "meta/storage").write_text(
        '{"dtype": "float32", "cparams": {"clevel": 5}, "chunklen": 2, "expectedlen": 2}'
    )
    packed = blosc.compress(bytes(1 << 20), b"blosclz", 5, 1, 512, 4)
    (folder / "data/__0.blp").write_bytes(b"blpk\x01" + bytes(3) + (1).to_bytes(8, "little") + packed)


def write_png(path: Path) -> None:
    path.write_bytes(bytes(cv2.imencode(".png", np.zeros((20_000, 20_000), np.uint8))[1].tobytes()))


_PAIRS = "facerec.store.pairs", "read_pair_table(Path(path), 9)"
_TEXTS = "facerec.store.shards", "tables.read_parquet(path, FAILURE_SCHEMA)"
_TORCH = "facerec.backbones.storage", "read_tensors(path)"
_BACKBONE = "facerec.backbones.storage", "load_backbone(path)"
_PHOTOS = "facerec.interop.photos", "list(photo_rows(path))"

BOMBS = {
    "pairs": (write_pairs, _PAIRS, "MB of memory, more than"),
    "packed pairs": (write_packed_pairs, _PAIRS, "MB of memory, more than"),
    "gallery": (write_gallery, ("facerec.store.gallery", "read_gallery(path)"), "the footer names another number"),
    "long texts": (write_texts, _TEXTS, "MB of memory, more than"),
    "shared prefixes": (write_prefixes, _TEXTS, "DELTA_BYTE_ARRAY"),
    "shards": (write_shards, ("facerec.store.shards", "read_shards(path)"), "its batches are compressed"),
    "weights": (write_weights, _TORCH, "its members are compressed"),
    "old weights": (write_old_weights, _TORCH, "its tensors claim more than"),
    "stretched weights": (write_stretched, _TORCH, "its tensors are more than 4 times larger than the file"),
    "bytearray": (write_bytearray, _TORCH, "it holds an array of bytes"),
    "backbone": (write_backbone, _BACKBONE, "less than or equal to 65536"),
    "packed backbone": (write_packed_backbone, _BACKBONE, "its members are compressed"),
    "array": (write_npy, ("facerec.store.tables", "read_npy(path)"), "is no array"),
    "zip": (write_zip, _PHOTOS, "it unpacks to more than 200 times its size"),
    "tgz": (write_tgz, _PHOTOS, "it unpacks to more than 200 times its size"),
    "bcolz": (write_bcolz, ("facerec.interop.bcolz", "read_bcolz(path)"), "is refused: its chunks"),
    "png": (write_png, ("facerec.imaging.images", "decode(Path(path).read_bytes())"), "pixels"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each reader said of its bomb, and the bytes it took, in a process that may take no more than 2 GB."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (write, _, _) in BOMBS.items():
        write(folder / name)
    threads = {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _READ],
        input=json.dumps({name: call for name, (_, call, _) in BOMBS.items()}),
        cwd=folder,
        env={**os.environ, **threads, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return {name: (said, taken) for name, said, taken in map(json.loads, run.stdout.splitlines())}


@pytest.mark.attack(
    "Memory", "bombs of every format: tables, shards, weights, images, archives", "refused before they are decoded"
)
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.slow
def test_a_bomb_is_refused_within_little_memory(bomb, answers):
    said, taken = answers[bomb]
    assert BOMBS[bomb][-1] in said
    assert "\n" not in said
    assert taken < MOST


@pytest.mark.attack("Memory", "an honest table that repeats", "read")
def test_an_honest_table_is_read_although_it_repeats(tmp_path):
    table = pa.table({"source": ["x" * 1000] * 100_000, "count": [7] * 100_000})
    tables.write_parquet(table, tmp_path / "x")
    assert (tmp_path / "x").stat().st_size < 20_000
    assert tables.read_parquet(tmp_path / "x", table.schema).equals(table)


@pytest.mark.attack("Memory", "tables of other programs", "read")
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_tables_of_other_writers_are_read(compression, version, tmp_path):
    rng = np.random.default_rng(0)
    numbers = pa.array(rng.normal(size=3000), mask=rng.random(3000) < 0.1)
    lists = pa.array([[1.0] * (row % 3) if row % 5 else None for row in range(3000)], pa.list_(pa.float32()))
    texts = pa.array([f"Ann {row % 7}" if row % 4 else None for row in range(3000)]).dictionary_encode()
    table = pa.table({"number": numbers, "list": lists, "text": texts, "name": texts.cast(pa.large_string())})
    options = {"compression": compression, "data_page_version": version, "row_group_size": 700}
    pq.write_table(table, tmp_path / "x", write_page_index=True, data_page_size=1000, **options)
    schema = pa.schema(
        {"name": pa.string(), "text": pa.string(), "list": pa.list_(pa.float32()), "number": pa.float64()}
    )
    assert tables.read_parquet(tmp_path / "x", schema).equals(table.select(schema.names).cast(schema))


def test_a_table_may_grow_with_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FLOOR", 0)
    table = pa.table({"first": np.arange(100_000)})
    tables.write_parquet(table, tmp_path / "x")
    assert tables.read_parquet(tmp_path / "x", table.schema).equals(table)
