"""The readers of foreign files and small valid inputs for each: what the fuzzer spoils.

A reader gets a folder with the files of one input and reads everything there is in them, as an honest
program would: what one record refuses must not hide the next.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from random import Random
from unittest.mock import patch

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numcodecs import blosc
from PIL import Image

from facerec import params
from facerec.backbones import published, storage
from facerec.core import FacerecError, local_setting
from facerec.detection import table as detections
from facerec.embedding import embedder
from facerec.evaluation.identification import devkit as published_curves
from facerec.evaluation.identification import outcomes
from facerec.imaging import images
from facerec.inspection.weights import describe_weights
from facerec.interop import (
    attributes,
    bcolz,
    devkit,
    pair_lists,
    photo_lists,
    photos,
    recordio,
    template_lists,
    verification_packs,
)
from facerec.interop.file_sources import open_source
from facerec.interop.matlab import read_mat
from facerec.params import profiles
from facerec.reporting.summary import load_metrics
from facerec.store import embeddings, gallery, pairs, shard_writing, shards
from facerec.store.embeddings import SCORES, Measured, read_scores, write_scores
from facerec.store.model_metadata import Preprocessing
from facerec.store.shards import FAILURES
from tests.fuzzing.values import spoil_table, spoil_weights
from tests.matlab import mat_bytes

Files = Mapping[str, bytes]
"""The files of one input, by their path in its folder."""
Layer = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
"""Takes a checksum or a compression away and puts it on again, so that what is spoiled lies under it."""

MAGIC = b"\x0a\x23\xd7\xce"


@dataclass(frozen=True)
class Target:
    """A kind of file: who reads it, valid inputs, and byte strings that mean something in it."""

    name: str
    read: Callable[[Path], object]
    valid: Callable[[], list[Files]]
    tokens: tuple[bytes, ...] = ()
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """By suffix of the file."""
    memory: int = 256 << 20
    """Bytes that one input may cost."""
    spoil: Callable[[Files, Random], Files] | None = None
    """Changes values instead of bytes, for two of three inputs."""
    share: float = 1.0
    """Of the inputs of one target; less for slow readers."""


def each(calls: Iterable[Callable[[], object]]) -> None:
    """Make every call, then raise the first refusal."""
    refused: FacerecError | None = None
    for call in calls:
        try:
            call()
        except FacerecError as error:
            refused = refused or error
    if refused is not None:
        raise refused


def files_of(write: Callable[[Path], object]) -> Files:
    """The files that `write` puts into the folder it is given."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        places = sorted(place for place in Path(folder).rglob("*") if place.is_file())
        return {place.relative_to(folder).as_posix(): place.read_bytes() for place in places}


@cache
def jpeg(number: int = 0, size: int = 24) -> bytes:
    """A small colourful JPEG."""
    small = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return images.encode_jpeg(np.asarray(cv2.resize(small, (size, size)), np.uint8), 80)


# RecordIO


def _read_rec(box: Path) -> None:
    reader = recordio.RecordReader(box / "train.rec")
    keys = reader.keys.tolist()
    each(partial(one, key) for key in keys for one in (reader.payload, reader.__getitem__, reader.number))
    for _ in reader.images():
        pass


def _valid_rec() -> list[Files]:
    def pack(folder: Path) -> None:
        recordio.write_pack(folder / "pack", [(0, [jpeg(0), jpeg(1)]), (1, [jpeg(2)])], (24, 24))

    def odd(folder: Path) -> None:
        with recordio.RecordWriter(folder / "train.rec") as writer:
            writer.write(0, 3.0, b"\xff" + MAGIC * 3)
            writer.write(7, [1.0, 2.0, 3.0], b"\xff\xff\xff\xff" + MAGIC + b"x" + MAGIC)
            writer.write(1 << 40, [4.0], b"")

    made = [{Path(name).name: data for name, data in files_of(write).items()} for write in (pack, odd)]
    return [*made, *({"train.rec": files["train.rec"]} for files in made)]


# Pickles

_CANARY = "touch ../canary"
_HOSTILE = (
    b"cos\nsystem\n(S'%s'\ntR" % _CANARY.encode(),
    b"\x8c\x02os\x8c\x06system\x93\x8c\x0f" + _CANARY.encode() + b"\x85R",
    b'cbuiltins\neval\n(S\'open("../canary","w")\'\ntR',
    b"c__builtin__\nexecfile\n",
    b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR",
    b"cnumpy\nndarray\n(I100000000\ntR",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy\ndtype\n(S'u1'\ntR",
    b"cnumpy\ndtype\n(S'O'\ntR",
    b"c_codecs\nencode\n(Vabc\nVlatin1\ntR",
    b"r\xff\xff\xff\x7f",  # LONG_BINPUT: the memo grows to the number of its entry
    b"r\xff\xff\xff\x0f",
    b"p99999999\n",
    b"\x96\xff\xff\xff\xff\x00\x00\x00\x00",  # BYTEARRAY8, BINBYTES8, FRAME: lengths nobody checks
    b"\x8e\xff\xff\xff\x7f\x00\x00\x00\x00",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\x7f",
    *(bytes([code]) for code in b"()]}ldta0123.NRbcBCTUVXqhrjJKMIGsu\x80\x81\x85\x86\x87\x88\x89\x93\x94\x92\x97\x98"),
)


def _valid_bin() -> list[Files]:
    stored = [jpeg(0), jpeg(1), b"third", b""]
    arrays = [np.frombuffer(data, np.uint8) for data in stored]
    forms = [
        pickle.dumps((stored, [True, False]), 4),
        pickle.dumps((arrays, np.array([True, False])), 2),
        pickle.dumps((arrays, [np.bool_(True), np.bool_(False)]), 5),
        pickle.dumps((stored, (1, 0)), 0),
    ]
    return [{"lfw.bin": data} for data in forms]


# Text, matrices, embeddings, tables


_SOURCES = ("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg")
_TEXTS: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "pairs.txt": (
        lambda path: pair_lists.read_pairs(path, _SOURCES),
        "1\t2\nAnn\t1\t2\nAnn\t2\t1\nAnn\t1\tBob\t1\nAnn\t2\tBob\t1\n",
    ),
    "dev.txt": (lambda path: pair_lists.read_pairs(path, _SOURCES), "1\nAnn 1 2\nAnn 1 Bob 1\n"),
    "names.txt": (photo_lists.read_names, "Ann/1.jpg\tAnn Other\nb  c.jpg\tZoë\n"),
    "noises.txt": (photo_lists.read_noises, "# noise\nAnn_1.jpg\n100/1@N00/x.jpg\n3\t100/1@N00/y.jpg\n"),
    "list.json": (photo_lists.read_feature_list, '{"id": ["Ann", "Bob", 3], "path": ["a/1.jpg", "b/2.jpg", "c"]}'),
    "people.csv": (attributes.read_attributes, "identity,gender,camera\nAnn,f,one\nBob,m,\n"),
    "photos.csv": (lambda path: attributes.read_qualities(path, "q", _SOURCES), "photo,q\nAnn_0001.jpg,2.5\n"),
    "property": (recordio.read_property, "85742,112,112\n"),
    "tid_mid.txt": (template_lists.read_media, "1.jpg 1 69544\n2.jpg 1 69544\n3.jpg 7 8\n"),
    "5pts.txt": (template_lists.read_landmarks, "1.jpg 46.6 50.2 82.3 51.5 64.5 71.1 49.7 91.8 79.2 92.6 0.999\n"),
    "pair_label.txt": (template_lists.read_template_pairs, "1 11065 1\n1 11066 0\n"),
    "G1.csv": (template_lists.read_subjects, 'TEMPLATE_ID,SUBJECT_ID,FILENAME\n1,2,img/3.jpg\n1,2,"a,b"\n'),
}


def _read_text(box: Path) -> None:
    each(partial(read, box / name) for name, (read, _) in _TEXTS.items() if (box / name).exists())


def _valid_text() -> list[Files]:
    return [{name: text.encode()} for name, (_, text) in _TEXTS.items()]


def _valid_matrices() -> list[Files]:
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    return [files_of(partial(_write_matrix, array)) for array in (matrix, matrix.astype(np.float64), matrix[:, :1])]


def _write_matrix(array: np.ndarray, folder: Path) -> None:
    devkit.write_matrix(array, folder / "a.bin")


def _valid_embeddings() -> list[Files]:
    matrix = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    sources = [f"Ann/{number}.jpg" for number in range(5)]
    found = embeddings.Embeddings(matrix, sources, ["Ann"] * 5, embeddings.Origin("ab" * 32, "lfw", True))
    return [files_of(lambda folder: embeddings.write_embeddings(found, folder / "lfw.npy"))]


_TABLES: Mapping[str, Callable[[Path], object]] = {
    "pairs.parquet": lambda path: pair_lists.read_pairs(path, ["a"] * 6),
    FAILURES: shards._read_failure_table,
    "detections.parquet": lambda path: [
        detections.DetectionTable(path).read(range(2)),
        *detections.read_detections(path),
    ],
    SCORES: read_scores,
}


def _read_tables(box: Path) -> None:
    each(partial(read, box / name) for name, read in _TABLES.items() if (box / name).exists())


def _valid_tables() -> list[Files]:
    def write(folder: Path) -> None:
        first = np.array([0, 2, 4])
        pairs.write_pairs(pairs.Pairs(first, first + 1, np.array([True, False, True])), folder / "pairs.parquet")
        lost = [dict.fromkeys(shards.FAILURE_SCHEMA.names, "x")]
        pq.write_table(pa.Table.from_pylist(lost, shards.FAILURE_SCHEMA), folder / FAILURES)
        face = {
            "view": 0,
            "box": [1.0] * 4,
            "landmarks": [2.0] * 10,
            "score": 0.9,
            "height": 9,
            "width": 8,
            "error": "",
        }
        found = [
            {"photo": 0, "source": "a.jpg", "face": 0, **face},
            {"photo": 0, "source": "a.jpg", "face": 1, **face},
            {"photo": 1, "source": "b.jpg", "view": 0, "face": -1, "height": 0, "width": 0, "error": "cut"},
        ]
        pq.write_table(pa.Table.from_pylist(found, detections.SCHEMA), folder / "detections.parquet")
        measured = Measured("lfw", "insightface", embeddings.Origin("ab" * 32, "lfw", True))
        write_scores(pa.table({"same": [True, False], "distance": [0.5, 1.5]}), measured, folder)

    return [{name: data} for name, data in files_of(write).items()]


def _valid_outcomes() -> list[Files]:
    def write(folder: Path) -> None:
        searches = [
            {"identity": who, "probe": a, "mate": b, "rank": 3, "false_positives": count}
            for who, count in (("Ann", 2), ("Bob", None))
            for a, b in (("1.jpg", "2.jpg"), ("2.jpg", "1.jpg"))
        ]
        people = [
            {"identity": "Ann", "probes": 2, "impostors": [0, 2]},
            {"identity": "Bob", "probes": 2, "impostors": [1]},
        ]
        pq.write_table(pa.Table.from_pylist(searches, outcomes._PAIRS), folder / "raw_pairs.parquet")
        pq.write_table(pa.Table.from_pylist(people, outcomes._PEOPLE), folder / "raw_people.parquet")

    return [files_of(write)]


def _read_gallery(box: Path) -> None:
    found = gallery.read_gallery(box / "x.gallery")
    assert found.matrix.shape == (len(found), found.model.dim)
    assert sum(found.people.values()) == len(found)


def _valid_gallery() -> list[Files]:
    model = gallery.GalleryModel("ab" * 32, 2, {"size": [112, 112]})
    unit = np.array([0.6, 0.8], np.float32)
    people = [
        gallery.GalleryEntry("Ann", "Ann/1.jpg", "01" * 32, unit, 0.5, "detector", jpeg()),
        gallery.GalleryEntry("Bob", "Bob/1.jpg", "02" * 32, -unit, None, "crop"),
    ]
    made = gallery.Gallery(model).with_entries(people)
    return [files_of(lambda folder: gallery.write_gallery(made, folder / "x.gallery"))]


# Networks and parameters


def _read_weights(box: Path) -> None:
    readers: list[Callable[[], object]] = [lambda: storage.load_backbone(box / "x.pt")]
    readers += [
        lambda: describe_weights(box / "x.pt"),
        lambda: published.load_published(box / "x.pt", Preprocessing(size=(16, 16))),
    ]
    each(readers[:2] if storage.is_backbone_file(box / "x.pt") else readers)


def _valid_weights() -> list[Files]:
    made = storage.create_backbone("mobilefacenet", 4, {"width": 0.02}, Preprocessing(size=(16, 16)))
    return [files_of(lambda folder: storage.save_backbone(made, folder / "x.pt"))]


def _read_settings(box: Path) -> None:
    readers: Mapping[str, Callable[[Path], object]] = {
        "params.yaml": params.load_params,
        "profile.yaml": lambda path: profiles.load_profile(path.parent, "profile"),
        "preprocessing.yaml": embedder._declared_beside,
        "curves.json": published_curves.read_published,
        "result.json": load_metrics,
    }
    each(partial(read, box / name) for name, read in readers.items() if (box / name).exists())
    if (box / "facerec.local.toml").exists():
        with patch.dict(os.environ, {"FACEREC_HOME": str(box)}):
            local_setting("device", "cpu")


def _valid_settings() -> list[Files]:
    root = Path(__file__).parents[2]
    written = (root / "params.yaml").read_bytes()
    curve = {"cmc": [[0, 1], [0.5, 1.0]], "roc": [[0.0, 1.0], [0.0, 1.0]]}
    return [
        {"params.yaml": written},
        {"profile.yaml": written},
        {"preprocessing.yaml": yaml.safe_dump(Preprocessing().to_dict()).encode()},
        {"curves.json": json.dumps(curve).encode()},
        {"result.json": b'{"lfw": {"accuracy": 0.99}}'},
        {"facerec.local.toml": b'device = "cpu"\nworkers = 3\n'},
    ]


_DEEP = (b"[" * 5000, b"{a: " * 3000, b"- " * 3000, b"9" * 6000, b"0x" + b"f" * 9000, b"&a [*a]", b"!!python/object:os.x ", b"!!binary x", b"!!timestamp 1", b"1e999", b".nan", b"<<: *a", b"!!set {", b"\x1b[31m", b"2001-99-99", b"\xff")  # fmt: skip


# MATLAB's files


def _valid_mats() -> list[dict[str, bytes]]:
    lists = {
        "labels": np.arange(6, dtype="u2")[:, None],
        "names": ["a.jpg", "b"],
        "rows": [np.ones((1, 3)), [np.ones((1, 1), "u1")]],
    }
    return [{"x.mat": mat_bytes(lists, compressed)} for compressed in (False, True)]


# bcolz folders


def _valid_blp() -> list[Files]:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8)) / 255
    values = ((pixels - 0.5) / 0.5).astype(np.float32)
    files = {
        "lfw/meta/sizes": b'{"shape": [6, 3, 8, 8], "nbytes": 4608, "cbytes": 0}',
        "lfw/meta/storage": b'{"dtype": "float32", "cparams": {"clevel": 5}, "chunklen": 4, "expectedlen": 6}',
    }
    for number, chunk in enumerate((values[:4], values[4:])):
        packed = blosc.compress(chunk.tobytes(), b"blosclz", 5, 1, 512, 4)
        files[f"lfw/data/__{number}.blp"] = b"blpk\x01" + bytes(3) + (1).to_bytes(8, "little") + packed
    flags = io.BytesIO()
    np.save(flags, np.array([True, False, True]))
    return [{**files, "lfw_list.npy": flags.getvalue()}]


def _read_blp(box: Path) -> None:
    for _ in bcolz.read_bcolz(box / "lfw").chunks():
        pass


# Shards


def _read_shards(box: Path) -> None:
    found = shards.read_shards(box)
    each(partial(bytes, found.image(number)) for number in range(len(found)))
    each((lambda: found.labels, lambda: found.identities, lambda: found.sources, lambda: found.classes))
    each(partial(found.row, number) for number in range(len(found)))


def _valid_shards() -> list[Files]:
    row = {"image": jpeg(), "label": 1, "identity": "Ann", "source": "Ann/1.jpg", "box": [1, 2, 3, 4]}
    other = {**row, "label": -1, "identity": "", "landmarks": np.ones((5, 2)), "box": None}
    faces = shards.Meta("faces", "x", size=(24, 24), template="arcface-112")
    rows = [{**row, "score": 0.5, "rung": "detected"}, other]
    return [
        files_of(lambda folder: shard_writing.write_parts([row, other, row], folder, shards.Meta("photos", "x"))),
        files_of(lambda folder: shard_writing.write_parts(rows, folder, faces)),
    ]


# Archives

_NAMES = ("lfw/Ann/1.jpg", "lfw/Ann/2.jpg", "lfw/Bob/notes")
_ESCAPES = (b"../canary", b"/tmp/canary", b"lfw/../../canary", b"C:\\x", b"./", b"\0")


def _read_archive(box: Path) -> None:
    for path in sorted(place for place in box.iterdir() if place.suffix in (".tar", ".tgz", ".zip")):
        with open_source(path) as found:
            each(partial(found.read, name) for name in found.names)
        for row in photos.photo_rows(path):
            assert row["source"]


def _tar(compress: Callable[[bytes], bytes] = bytes, form: int = tarfile.GNU_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name in (*_NAMES, "lfw/" + "long/" * 30 + "1.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(jpeg())
            archive.addfile(info, io.BytesIO(jpeg()))
        link = tarfile.TarInfo("lfw/Ann/3.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return compress(packed.getvalue().rstrip(b"\0") + bytes(1024))


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, name in enumerate(_NAMES):
            kind = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number]
            archive.writestr(zipfile.ZipInfo(name), jpeg(), kind)
    return packed.getvalue()


_gzip = partial(gzip.compress, compresslevel=1, mtime=0)


def _valid_tars() -> list[Files]:
    return [{"x.tar": _tar()}, {"x.tar": _tar(form=tarfile.PAX_FORMAT)}]


# Images


def _read_image(box: Path) -> None:
    images.decode((box / "photo.png" if (box / "photo.png").exists() else box / "photo").read_bytes())


def _valid_images() -> list[Files]:
    pixels = np.asarray(cv2.resize(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5, (20, 16)), np.uint8)

    def saved(form: str, mode: str = "RGB", **options: object) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(file, form, **options)
        return file.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [jpeg(), saved("JPEG", progressive=True, exif=exif), saved("JPEG", "CMYK"), saved("GIF"), saved("BMP")]
    forms += [
        saved("TIFF"),
        saved("TIFF", compression="tiff_lzw"),
        saved("WEBP", lossless=True),
        saved("WEBP"),
        saved("ICO"),
    ]
    return [*({"photo": data} for data in forms), {"photo.png": saved("PNG")}, {"photo.png": saved("PNG", "P")}]


def _drop_crcs(png: bytes) -> bytes:
    """The chunks of a PNG without their checksums; the data of IDAT stays compressed."""
    bare, place = png[:8], 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4]) + 8
        bare += png[place : place + length]
        place += length + 4
    return bare


def _add_crcs(bare: bytes) -> bytes:
    png, place = bare[:8], 8
    while place < len(bare):
        chunk = bare[place : place + 8 + int.from_bytes(bare[place : place + 4])]
        png += chunk + zlib.crc32(chunk[4:]).to_bytes(4)
        place += max(len(chunk), 1)
    return png


TARGETS = (
    Target("rec", _read_rec, _valid_rec, (MAGIC, MAGIC + b"\x04\0\0\x20", b"\t", b"\n", b"nan", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"-1", b"99999999999999999999")),
    Target("bin", lambda box: verification_packs.read_bin(box / "lfw.bin"), _valid_bin, _HOSTILE),
    Target("blp", _read_blp, _valid_blp, (b"blpk", b"[6,", b"99999999999", b"null", b"{", b"float64", b"-1", b"\x93NUMPY")),
    Target("text", _read_text, _valid_text, (b"\t", b"\n", b"\xff", b"\xef\xbb\xbf", b"-1", b"9" * 5000, "²".encode(), b"\r", b'"path"', b"[" * 5000, b"\0", b"NaN", b"1e999")),
    Target("mat", lambda box: read_mat(box / "x.mat"), _valid_mats, (b"\x0e\0\0\0", b"\x0f\0\0\0", b"\x05\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff")),
    Target("matrix", lambda box: devkit.read_matrix(box / "a.bin"), _valid_matrices),
    Target("embeddings", lambda box: embeddings.read_embeddings(box / "lfw.npy"), _valid_embeddings, (b"\x93NUMPY\x01\x00", b"'|O'", b"(1099511627776,)", b"'<f8'", b"True", b"{", b"(" * 500, b"PAR1"), spoil=spoil_table),
    Target("outcomes", lambda box: outcomes.read_outcomes(box, "raw", 9), _valid_outcomes, (b"PAR1",), spoil=spoil_table),
    Target("tables", _read_tables, _valid_tables, (b"PAR1", b'"protocol"', b"null", b"true"), spoil=spoil_table),
    Target("gallery", _read_gallery, _valid_gallery, (b"PAR1", b'"dim"', b'"dim": 1', b"null", b"facerec", b"\0\0\xc0\x7f", b"["), spoil=spoil_table),
    Target("weights", _read_weights, _valid_weights, (b"\x80\x02", b"cbuiltins\nbytearray\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"J\xff\xff\xff\x7f", b"PK\x05\x06"), spoil=spoil_weights, share=0.05),
    Target("settings", _read_settings, _valid_settings, _DEEP),
    Target("shards", _read_shards, _valid_shards, (b"ARROW1", b"\xff\xff\xff\xff", b'"size"', b"null", b"faces", b"photos", b"[1]", b"{")),
    Target("tar", _read_archive, _valid_tars, (b"ustar\0", b"ustar  \0", *_ESCAPES, *(bytes([c]) for c in b"01234567LKSxg"), b"99 path=../canary\n", b"GNU.sparse.major=1")),
    Target("tgz", _read_archive, lambda: [{"x.tgz": _tar(_gzip)}], (b"\x1f\x8b\x08", *_ESCAPES), {".tgz": (gzip.decompress, _gzip)}),
    Target("zip", _read_archive, lambda: [{"x.zip": _zip()}], (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", *_ESCAPES)),
    Target("image", _read_image, _valid_images, (b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9", b"\xff\xc4", b"\xff\xc0", b"\x89PNG\r\n\x1a\n", b"IHDR", b"GIF89a", b"RIFF", b"WEBP", b"BM", b"II*\0", b"tRNS", b"iTXt", b"8BPS", b"%!PS-Adobe", b"\0\0\x01\0"), {".png": (_drop_crcs, _add_crcs)}, 1 << 30),
)  # fmt: skip
"""All of them; their names are those of `python -m tests.fuzzing --only`."""
