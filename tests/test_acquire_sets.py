"""From catalog entries to sets: mirrors, digests, counts, and what the user is told."""

import hashlib
import io
import os
import tarfile
import zipfile

import pytest
import yaml

from facerec.catalog import entries, set_facts, sets
from facerec.catalog.downloads import fetch_file
from facerec.catalog.entries import CatalogEntry, File
from facerec.core import AcquireError, FormatError, ParamsError
from facerec.interop import pair_lists, recordio, verification_packs
from facerec.store import shards
from tests.conftest import ROOT
from tests.test_acquire_http import HASTY, server  # noqa: F401  the fixture

PAIRS = b"1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n"


def tgz(names):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name) + 3
            archive.addfile(info, io.BytesIO(b"\xff\xd8\xff" + name.encode()))
    return data.getvalue()


PHOTOS = tgz(["top/Bob/Bob_0001.jpg", "top/Ann/Ann_0002.jpg", "top/Ann/Ann_0001.jpg"])


def version(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def entry(**changes):
    return CatalogEntry.model_validate(
        {
            "name": "small",
            "title": "t",
            "kind": "photos",
            "licence": "CC0",
            "homepage": "http://small.example/",
            "manual": "Ask Ann.",
            "files": [
                {"name": "small.tgz", "use": "photos", "versions": [version(PHOTOS)]},
                {"name": "small-pairs.txt", "save_as": "pairs.txt", "versions": [version(PAIRS)]},
            ],
            "counts": {"photos": 3, "identities": 2, "pairs": 2},
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    (tmp_path / "catalog").mkdir()
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "catalog"))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    (folder / "lists").mkdir(parents=True)
    (folder / "small.tgz").write_bytes(PHOTOS)
    (folder / "lists/small-pairs.txt").write_bytes(PAIRS)
    monkeypatch.setenv("FACEREC_MIRROR", str(folder))
    return folder


def test_photos_from_a_mirror_folder(shelf, tmp_path):
    sets.acquire(entry(), tmp_path / "raw/small")
    found = shards.read_shards(tmp_path / "raw/small", "photos")
    assert found.sources == ["Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg"]
    assert found.labels.tolist() == [0, 0, 1]
    assert (found.meta.dataset, found.meta.licence) == ("small", "CC0")
    assert pair_lists.read_pairs(tmp_path / "raw/small/pairs.txt", found.sources).second.tolist() == [1, 2]
    assert sorted(place.name for place in (tmp_path / "raw/small").iterdir()) == ["pairs.txt", "part-00000.arrow"]
    assert (tmp_path / "raw/small/pairs.txt").read_bytes() == PAIRS


def test_a_finished_set_is_described_by_its_counts_and_content(shelf, tmp_path):
    for name in ("one", "other"):
        sets.acquire(entry(), tmp_path / name)
    told = set_facts.describe_set(entry(), tmp_path / "one")
    assert told == set_facts.describe_set(entry(), tmp_path / "other")
    files = sorted((tmp_path / "one").iterdir())
    assert told["bytes"] == sum(file.stat().st_size for file in files)
    lines = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    assert told["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert (told["photos"], told["identities"], told["pairs"]) == (3, 2, 2)
    (tmp_path / "one/pairs.txt").write_bytes(PAIRS.replace(b"Bob\t1", b"Bob\t2"))
    assert set_facts.describe_set(entry(), tmp_path / "one")["sha256"] != told["sha256"]


def test_another_packing_of_the_same_photos_gives_the_same_set(shelf, tmp_path):
    sets.acquire(entry(), tmp_path / "a")
    again = tgz(["top/Ann/Ann_0001.jpg", "top/Ann/Ann_0002.jpg", "top/Bob/Bob_0001.jpg"])
    (shelf / "small.tgz").write_bytes(again)
    versions = [{"md5": hashlib.md5(PHOTOS).hexdigest()}, {"md5": hashlib.md5(again).hexdigest()}]
    files = [{"name": "small.tgz", "use": "photos", "versions": versions}]
    sets.acquire(entry(files=files, counts={"photos": 3}), tmp_path / "b")
    assert (tmp_path / "a/part-00000.arrow").read_bytes() == (tmp_path / "b/part-00000.arrow").read_bytes()


def test_a_wrong_file_in_the_mirror_is_refused(shelf, tmp_path):
    (shelf / "small.tgz").write_bytes(PHOTOS[:-1])
    with pytest.raises(AcquireError, match=f"has {len(PHOTOS) - 1} bytes, not {len(PHOTOS)}"):
        sets.acquire(entry(), tmp_path / "raw")
    (shelf / "small.tgz").write_bytes(PHOTOS[:-1] + b"x")
    with pytest.raises(
        AcquireError, match=r"small\.tgz is not the listed file.*unpack it instead, as the folder small in"
    ):
        sets.acquire(entry(), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("name", ["photos", "identities", "pairs"])
def test_wrong_counts_are_refused_and_the_old_set_stays(shelf, tmp_path, name):
    sets.acquire(entry(), tmp_path / "raw")
    with pytest.raises(AcquireError, match=f"small should hold 9 {name} but holds"):
        sets.acquire(entry(counts={name: 9}), tmp_path / "raw")
    assert len(shards.read_shards(tmp_path / "raw")) == 3


def test_unlabelled_photos(shelf, tmp_path):
    sets.acquire(entry(layout="unlabelled", counts={"photos": 3, "identities": 0}), tmp_path / "raw")
    assert set(shards.read_shards(tmp_path / "raw").labels.tolist()) == {-1}


def test_a_model_brings_its_preprocessing(shelf, tmp_path):
    (shelf / "net.onnx").write_bytes(b"weights")
    model = entry(
        kind="model",
        files=[{"name": "net.onnx"}],
        counts={},
        preprocessing={"size": [112, 112], "mean": [1, 2, 3], "std": [4, 5, 6], "flip": "sum"},
    )
    sets.acquire(model, tmp_path / "raw")
    assert (tmp_path / "raw/net.onnx").read_bytes() == b"weights"
    declared = yaml.safe_load((tmp_path / "raw/preprocessing.yaml").read_text())
    assert declared == {
        "size": [112, 112],
        "crop": None,
        "colour": "RGB",
        "template": "arcface-112",
        "mean": [1.0, 2.0, 3.0],
        "std": [4.0, 5.0, 6.0],
        "flip": "sum",
    }


def test_a_pack_is_copied_untouched_and_counted(shelf, tmp_path):
    recordio.write_pack(shelf / "pack", [(0, [b"\xffa", b"\xffb"]), (1, [b"\xffc"])])
    names = ("train.rec", "train.idx", "property")
    pack = {"kind": "pack", "files": [{"name": name} for name in names]}
    sets.acquire(entry(**pack, counts={"photos": 3, "identities": 2}), tmp_path / "raw")
    for name in names:
        assert (tmp_path / "raw" / name).read_bytes() == (shelf / "pack" / name).read_bytes()
    with pytest.raises(AcquireError, match="should hold 4 photos but holds 3"):
        sets.acquire(entry(**pack, counts={"photos": 4}), tmp_path / "raw")


PACK = {"kind": "pack", "files": [{"name": "small.zip", "use": "pack"}]}


def zipped(folder, names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, place in names.items():
            archive.write(folder / place, name)
    return data.getvalue()


def tarred(folder, names):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, place in names.items():
            archive.add(folder / place, name)
    return data.getvalue()


@pytest.mark.parametrize("packed", [zipped, tarred])  # told apart by content, not by name
def test_a_pack_comes_out_of_its_archive(shelf, tmp_path, packed):
    recordio.write_pack(tmp_path / "pack", [(0, [b"\xffa", b"\xffb"]), (1, [b"\xffc"])])
    (tmp_path / "pack/lfw.bin").write_bytes(b"pairs")
    names = ["train.rec", "train.idx", "property", "lfw.bin"]
    members = {f"faces/deep/{name}": name for name in names} | {"faces/readme.txt": "property"}
    (shelf / "small.zip").write_bytes(packed(tmp_path / "pack", members))
    sets.acquire(entry(**PACK, counts={"photos": 3, "identities": 2}), tmp_path / "raw")
    assert sorted(place.name for place in (tmp_path / "raw").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "raw" / name).read_bytes() == (tmp_path / "pack" / name).read_bytes()


def test_a_pack_may_lie_unpacked_in_a_folder_of_its_name(shelf, tmp_path):
    recordio.write_pack(shelf / "small/small", [(0, [b"\xffa", b"\xffb"])])
    sets.acquire(entry(**PACK, counts={"photos": 2, "identities": 1}), tmp_path / "raw")
    assert (tmp_path / "raw/train.rec").read_bytes() == (shelf / "small/small/train.rec").read_bytes()
    assert not (tmp_path / "catalog/known").exists()  # a folder has no digest to hold to


def test_archives_that_are_no_pack_or_several_are_refused(shelf, tmp_path):
    recordio.write_pack(tmp_path / "pack", [(0, [b"\xffa"])])
    (shelf / "small.zip").write_bytes(zipped(tmp_path / "pack", {"a/train.idx": "train.idx"}))
    with pytest.raises(FormatError, match=r"holds no train\.rec"):
        sets.acquire(entry(**PACK, counts={}), tmp_path / "raw")
    twice = zipped(tmp_path / "pack", {"a/train.rec": "train.rec", "b/train.rec": "train.rec"})
    (shelf / "small.zip").write_bytes(twice)
    with pytest.raises(FormatError, match=r"holds several train\.rec"):
        sets.acquire(entry(**PACK, counts={}), tmp_path / "raw")


def test_photos_may_lie_unpacked_in_a_folder_of_their_name(shelf, tmp_path):
    sets.acquire(entry(), tmp_path / "a")
    with tarfile.open(shelf / "small.tgz") as archive:
        archive.extractall(shelf / "small/small", filter="data")
    (shelf / "small.tgz").unlink()
    sets.acquire(entry(), tmp_path / "b")
    assert (tmp_path / "a/part-00000.arrow").read_bytes() == (tmp_path / "b/part-00000.arrow").read_bytes()


def test_photos_by_view_with_their_protocol(shelf, tmp_path):
    names = [f"top/Data/Images/{name}/{view}/01.jpg" for name in ("001", "002") for view in ("frontal", "profile")]
    extra = {"top/Protocol/Pair_list_F.txt": b"1 ../Data/Images/001/frontal/01.jpg", "top/readme.txt": b"no"}
    with zipfile.ZipFile(shelf / "cfp.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"\xff\xd8\xff")
        for name, data in extra.items():
            archive.writestr(name, data)
    files = [{"name": "cfp.zip", "use": "photos", "keep": "Protocol"}]
    made = entry(files=files, layout="identity-view", counts={"photos": 4, "identities": 2})
    sets.acquire(made, tmp_path / "raw")
    found = shards.read_shards(tmp_path / "raw", "photos")
    assert found.sources == ["001/frontal/01.jpg", "001/profile/01.jpg", "002/frontal/01.jpg", "002/profile/01.jpg"]
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert (tmp_path / "raw/Protocol/Pair_list_F.txt").read_bytes() == extra["top/Protocol/Pair_list_F.txt"]
    assert sorted(place.name for place in (tmp_path / "raw").iterdir()) == ["Protocol", "part-00000.arrow"]


def test_a_lone_verification_pack_is_counted(shelf, tmp_path):
    verification_packs.write_bin(shelf / "few.bin", [b"\xffa", b"\xffb", b"\xffc", b"\xffd"], [True, False])
    pack = {"kind": "pack", "files": [{"name": "few.bin"}]}
    sets.acquire(entry(**pack, counts={"pairs": 2}), tmp_path / "raw")
    assert (tmp_path / "raw/few.bin").read_bytes() == (shelf / "few.bin").read_bytes()
    with pytest.raises(AcquireError, match="should hold 3 pairs but holds 2"):
        sets.acquire(entry(**pack, counts={"pairs": 3}), tmp_path / "raw")


def test_a_file_put_beside_the_downloads_by_hand_is_taken(tmp_path):
    folder = tmp_path / ".facerec/downloads/small"
    folder.mkdir(parents=True)
    (folder / "small.tgz").write_bytes(PHOTOS)
    (folder / "small-pairs.txt").write_bytes(PAIRS[:-1])
    with pytest.raises(AcquireError, match=r"small-pairs\.txt has 23 bytes, not 24.*fetch it by hand"):
        sets.acquire(entry(), tmp_path / "raw")
    (folder / "small-pairs.txt").write_bytes(PAIRS)
    sets.acquire(entry(), tmp_path / "raw")
    assert len(shards.read_shards(tmp_path / "raw")) == 3


def test_what_cannot_be_had_says_what_to_do(tmp_path):
    with pytest.raises(AcquireError) as caught:
        sets.acquire(entry(), tmp_path / "raw")
    assert str(caught.value) == (
        "cannot get small.tgz of small: no program can fetch it; fetch it by hand (see http://small.example/) "
        "and put it into .facerec/downloads/small/, or into small/ in the folder named by FACEREC_MIRROR. Ask Ann."
    )


def test_a_mirror_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEREC_MIRROR", str(tmp_path / "none"))
    with pytest.raises(AcquireError, match="neither a folder nor an http address"):
        sets.acquire(entry(), tmp_path / "raw")


def test_fetched_sets_take_no_options(shelf, tmp_path):
    with pytest.raises(ParamsError, match=r"download\.small takes no options, but got seed"):
        sets.acquire(entry(), tmp_path / "raw", {"seed": 1})


def test_an_entry_below_the_wrong_section_is_refused_before_anything_is_written(tmp_path):
    from facerec.catalog import synthetic_sets

    rendered = entry(generator="synthetic", part="lfw", files=[], counts={})
    with pytest.raises(ParamsError, match=r"download\.small is a rendered set; name it below render"):
        sets.acquire(rendered, tmp_path / "raw")
    with pytest.raises(ParamsError, match=r"render\.small is no rendered set; name it below download"):
        synthetic_sets.render_set(entry(), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_generated_sets_take_the_options_of_both(tmp_path, monkeypatch):
    from facerec.catalog import synthetic_sets

    calls = []
    monkeypatch.setattr(synthetic_sets, "generate", lambda *given, **options: calls.append((given, options)))
    generated = entry(generator="synthetic", part="lfw", files=[], options={"seed": 1, "pairs": 20}, counts={})
    synthetic_sets.render_set(generated, tmp_path / "raw", {"pairs": 40})
    assert calls == [(("lfw", tmp_path / "raw"), {"seed": 1, "pairs": 40})]


def test_a_failed_build_leaves_nothing(shelf, tmp_path):
    (shelf / "small.tgz").write_bytes(b"no archive")
    files = [{"name": "small.tgz", "use": "photos"}]
    with pytest.raises(FormatError, match="cannot be read"):
        sets.acquire(entry(files=files, counts={}), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


class TestOverHttp:
    """One file of an entry, from servers that fail in turn."""

    def file(self, *urls, data):
        return File.model_validate({"name": "x.bin", "urls": urls, "versions": [version(data)]})

    def test_the_second_address_is_tried(self, server, tmp_path):  # noqa: F811
        body = os.urandom(1000)
        server.script.steps = [{"status": 404}, {"body": body}]
        file = self.file(server.url, f"{server.url}?second", data=body)
        path = fetch_file(file, entry(), tmp_path / "d", HASTY)
        assert path.read_bytes() == body
        assert [place.name for place in path.parent.iterdir()] == ["x.bin"]

    def test_a_wrong_file_is_not_kept_and_the_next_is_tried(self, server, tmp_path):  # noqa: F811
        body, wrong = os.urandom(1000), os.urandom(1000)
        server.script.steps = [{"body": wrong}, {"body": body}]
        file = self.file(server.url, f"{server.url}?second", data=body)
        assert fetch_file(file, entry(), tmp_path / "d", HASTY).read_bytes() == body

    def test_every_reason_is_told(self, server, tmp_path):  # noqa: F811
        server.script.steps = [{"status": 404}, {"body": b"x" * 17 + b"y"}]
        file = self.file(server.url, f"{server.url}?second", data=b"x" * 18)
        with pytest.raises(AcquireError) as caught:
            fetch_file(file, entry(), tmp_path / "d", HASTY)
        assert "the server answered 404" in str(caught.value)
        assert "second: what came is not the listed file" in str(caught.value)
        assert not list((tmp_path / "d/small").iterdir())

    def test_what_was_downloaded_is_not_downloaded_again(self, server, tmp_path):  # noqa: F811
        body = os.urandom(1000)
        server.script.steps = [{"body": body}]
        file = self.file(server.url, data=body)
        first = fetch_file(file, entry(), tmp_path / "d", HASTY)
        assert fetch_file(file, entry(), tmp_path / "d", HASTY) == first
        assert len(server.script.asked) == 1
        first.write_bytes(b"damaged")
        assert fetch_file(file, entry(), tmp_path / "d", HASTY).read_bytes() == body

    def test_a_wrong_first_half_of_an_earlier_run_is_forgotten(self, server, tmp_path):  # noqa: F811
        body = os.urandom(1000)
        server.script.steps = [{"body": os.urandom(1000), "cut": 500}, {"status": 503}]
        file = self.file(server.url, data=body)
        with pytest.raises(AcquireError, match="503"):
            fetch_file(file, entry(), tmp_path / "d", HASTY)
        server.script.steps = [{"body": body}]
        assert fetch_file(file, entry(), tmp_path / "d", HASTY).read_bytes() == body

    def test_an_http_mirror_comes_first(self, server, tmp_path, monkeypatch):  # noqa: F811
        body = os.urandom(1000)
        server.script.steps = [{"body": body}]
        monkeypatch.setenv("FACEREC_MIRROR", server.url.rsplit("/", 1)[0] + "/sets/")
        file = self.file("http://127.0.0.1:1/never", data=body)
        assert fetch_file(file, entry(), tmp_path / "d", HASTY).read_bytes() == body
        assert [path for path, _ in server.script.asked] == ["/sets/small/x.bin"]

    def test_an_http_mirror_may_be_flat(self, server, tmp_path, monkeypatch):  # noqa: F811
        body = os.urandom(1000)
        server.script.steps = [{"status": 404}, {"body": body}]
        monkeypatch.setenv("FACEREC_MIRROR", server.url.rsplit("/", 1)[0])
        file = self.file(data=body)
        assert fetch_file(file, entry(), tmp_path / "d", HASTY).read_bytes() == body
        assert [path for path, _ in server.script.asked] == ["/small/x.bin", "/x.bin"]


@pytest.mark.slow
def test_lfw_from_the_mirror(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEREC_MIRROR", str(mirror))
    monkeypatch.setenv("FACEREC_CATALOG", str(ROOT / "data/catalog"))
    sets.acquire(entries.load_entry("lfw"), tmp_path / "lfw")
    assert len(shards.read_shards(tmp_path / "lfw")) == 13233
