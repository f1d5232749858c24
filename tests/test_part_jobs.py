"""Large sets in parts that several processes make: the bytes of one that is written in a row."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facerec.core import FormatError, ShareMade, making_share
from facerec.imaging import images
from facerec.interop import file_sources, ingest, photos, recordio, unpacking
from facerec.store import part_jobs, shard_writing, shards

GOLDEN = Path(__file__).parent / "golden/recordio"
SMALL = 30_000  # bytes of a part here


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("FACEREC_WORKERS", "1")
    monkeypatch.setattr(shard_writing, "BATCH_BYTES", 9000)
    return tmp_path / "scratch/parts"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_photo_tree(folder: Path, count: int = 150) -> Path:
    """Files that begin like JPEGs, of any size, in folders with names of any letters."""
    rng = np.random.default_rng(1)
    for number in range(count):
        place = folder / "top" / f"Ünal {number // 7:03d}" / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"\xff\xd8\xff" + rng.bytes(int(rng.integers(1, 4000))))
    return folder


def write_archive(tree: Path, archive: Path, kind: str) -> None:
    files = {path: str(path.relative_to(tree)) for path in sorted(tree.rglob("*.jpg"), reverse=True)}
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path, name in files.items():
                packed.write(path, name)
    else:
        with tarfile.open(archive, "w:gz" if kind == "tgz" else "w") as packed_tar:
            for path, name in files.items():
                packed_tar.add(path, name)


def write_rec(path: Path, count: int = 700) -> Path:
    """A .rec with one label or two, people unknown and known; some images hold the magic word, which cuts a record."""
    rng = np.random.default_rng(2)
    with recordio.RecordWriter(path) as writer:
        for key in range(1, count + 1):
            image = rng.bytes(int(rng.integers(1, 300)))
            if key % 50 == 0:
                image += bytes(-len(image) % 4) + recordio.rec_index.MAGIC * 2 + b"end"
            label = float(key * 37 % 90 - 5)
            writer.write(key, (label, 1.0) if key % 3 else label, image)
    return path


def write_photos(source: Path, folder: Path, meta: shards.Meta, title: str, shard_bytes: int) -> int:
    with photos.open_photos(source) as listed:
        return ingest.write_photos(listed, folder, meta, title, shard_bytes=shard_bytes)


def expected(rows: Iterator[dict[str, object]], folder: Path, meta: shards.Meta) -> dict[str, bytes]:
    folder.mkdir()
    shard_writing.write_parts(rows, folder, meta, SMALL)
    assert len(list(folder.iterdir())) > 3
    return contents(folder)


@pytest.mark.parametrize("kind", ["folder", "tar", "tgz", "zip"])
def test_photos_of_any_source_give_the_bytes_of_one_process(tmp_path: Path, kind: str) -> None:
    source = tree = write_photo_tree(tmp_path / "tree")
    if kind != "folder":
        source = tmp_path / f"photos.{kind}"
        write_archive(tree, source, kind)
    meta = shards.Meta("photos", "x")
    wanted = expected(photos.photo_rows(tree), tmp_path / "serial", meta)
    (tmp_path / "parts").mkdir()
    assert write_photos(source, tmp_path / "parts", meta, "x", shard_bytes=SMALL) == 150
    assert contents(tmp_path / "parts") == wanted
    assert not list((tmp_path / "scratch").rglob("*"))


def test_records_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    path, meta = write_rec(tmp_path / "pack.rec"), shards.Meta("photos", "x")
    reader = recordio.RecordReader(path)
    known = unpacking._find_rows(reader, reader.image_keys(), meta)
    assert known.sizes.tolist() == [len(reader[key].image) for key in range(1, 701)]
    wanted = expected(iter(known), tmp_path / "serial", meta)
    (tmp_path / "parts").mkdir()
    part_jobs.write_known(known, tmp_path / "parts", meta, {}, "x", SMALL)
    assert contents(tmp_path / "parts") == wanted
    rows = shards.read_shards(tmp_path / "parts")
    assert sorted(set(rows.labels.tolist())) == list(range(-1, 85))
    assert (rows.identities[0], rows.sources[699]) == ("32", "pack/00000700.jpg")
    assert bytes(rows.image(99)) == reader[100].image


def test_shares_of_a_pack_are_made_apart_and_then_only_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, meta = write_rec(tmp_path / "pack.rec"), shards.Meta("photos", "x")
    reader = recordio.RecordReader(path)
    known = unpacking._find_rows(reader, reader.image_keys(), meta)
    wanted = expected(iter(known), tmp_path / "serial", meta)
    (tmp_path / "parts").mkdir()
    shares = []
    for number in (0, 1, 2, 1):
        with making_share(number, 3), pytest.raises(ShareMade) as made:
            part_jobs.write_known(known, tmp_path / "parts", meta, {}, "x", SMALL)
        shares.append((made.value.parts, made.value.new))
    assert sum(parts for parts, _ in shares[:3]) == sum(new for _, new in shares[:3]) == len(wanted)
    assert shares[3] == (shares[1][0], 0)
    assert not contents(tmp_path / "parts")
    monkeypatch.setattr(shard_writing, "write_part", None)
    part_jobs.write_known(known, tmp_path / "parts", meta, {}, "x", SMALL)
    assert contents(tmp_path / "parts") == wanted


def test_a_share_of_unpacking_writes_no_output(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    for name in ("train.rec", "train.idx", "property", "lfw.bin"):
        (tmp_path / "pack" / name).write_bytes((GOLDEN / name).read_bytes())
    outputs = tmp_path / "train", tmp_path / "test"
    with making_share(0, 2), pytest.raises(ShareMade, match="1 of 1 parts made"):
        unpacking.unpack_pack(tmp_path / "pack", *outputs)
    (tmp_path / "pack/train.rec").unlink()
    with making_share(0, 2), pytest.raises(ShareMade, match="0 of 0 parts made"):
        unpacking.unpack_pack(tmp_path / "pack", *outputs)
    assert not any(path.exists() for path in outputs)


def test_several_processes_give_the_bytes_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("FACEREC_WORKERS", "2")
    face, meta = images.encode_jpeg(np.zeros((112, 112, 3), np.uint8)), shards.Meta("faces", "x", size=(112, 112))
    with recordio.RecordWriter(tmp_path / "pack.rec") as writer:
        for key in range(1200):
            writer.write(key, float(key // 10), face)
    reader = recordio.RecordReader(tmp_path / "pack.rec")
    known = unpacking._find_rows(reader, reader.image_keys(), meta)
    wanted = expected(iter(known), tmp_path / "serial", meta)
    (tmp_path / "parts").mkdir()
    part_jobs.write_known(known, tmp_path / "parts", meta, {}, "x", SMALL)
    assert contents(tmp_path / "parts") == wanted


def test_an_interrupted_run_goes_on_with_the_parts_that_are_missing(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, meta = write_photo_tree(tmp_path / "tree"), shards.Meta("photos", "x")
    wanted = expected(photos.photo_rows(tree), tmp_path / "serial", meta)
    made: list[Path] = []
    real = shard_writing.write_part

    def counted(rows: object, path: Path, *rest: object, **named: object) -> int:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(path)
        return real(rows, path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(shard_writing, "write_part", counted)
    (tmp_path / "parts").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_photos(tree, tmp_path / "parts", meta, "x", shard_bytes=SMALL)
    assert not list((tmp_path / "parts").iterdir())
    (left,) = scratch.iterdir()
    assert contents(left) == dict(list(wanted.items())[:2])
    monkeypatch.setattr(
        shard_writing, "write_part", lambda *rest, **named: made.append(rest[1]) or real(*rest, **named)
    )
    write_photos(tree, tmp_path / "parts", meta, "x", shard_bytes=SMALL)
    assert len(made) == len(wanted)
    assert contents(tmp_path / "parts") == wanted
    assert not scratch.exists()


@pytest.mark.attack(
    "Halves and mixtures", "photos changed between two halves of a run", "the parts before are not used"
)
def test_parts_of_other_photos_are_not_used(tmp_path: Path) -> None:
    tree = write_photo_tree(tmp_path / "tree")
    reader = file_sources.FileReader(tree, {"top/Ünal 000/0.jpg": (0, 3), "top/Ünal 000/1.jpg": (0, 3)})
    before = reader.state()
    assert reader.state() == before
    place = tree / "top/Ünal 000/1.jpg"
    place.write_bytes(place.read_bytes()[::-1])
    assert reader.state() != before
    with pytest.raises(FormatError, match=r"it ends inside top/Ünal 000/1\.jpg"):
        file_sources.FileReader(tree, {"top/Ünal 000/1.jpg": (0, 1 << 20)}).read("top/Ünal 000/1.jpg")


def test_a_part_of_another_length_is_refused(tmp_path: Path) -> None:
    job = part_jobs._Job([{"image": b"", "label": 0, "identity": "", "source": ""}], tmp_path / "part-00000.arrow", 2)
    with pytest.raises(FormatError, match="got 1 rows instead of 2; its source has changed"):
        part_jobs._Write(shards.Meta("photos", "x"), tmp_path / "x")(job)
