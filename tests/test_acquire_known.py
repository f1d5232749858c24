"""Files without a published digest: the first copy is recorded, and every later one is held to it."""

import hashlib
import os

import pytest
import yaml

from facerec.catalog import downloads, sets
from facerec.catalog.entries import CatalogEntry, SetCounts
from facerec.core import AcquireError, FormatError
from tests.test_acquire_http import server  # noqa: F401  the fixture

FIRST, OTHER = os.urandom(1000), os.urandom(1000)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "catalog").mkdir()
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "catalog"))
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    return tmp_path / "catalog/known"


def entry(url="http://127.0.0.1:1/x", **file):
    values = {"name": "x.bin", "urls": [url], **file}
    return CatalogEntry.model_validate(
        {"name": "small", "title": "t", "kind": "lists", "licence": "CC0", "files": [values]}
    )


def get(made, folder):
    sets.acquire(made, folder / "raw", downloads=folder)
    return folder / "raw/x.bin"


def test_the_first_download_is_recorded_for_everyone(server, tmp_path, folder):  # noqa: F811
    server.script.steps = [{"body": FIRST}]
    assert get(entry(server.url), tmp_path / "d").read_bytes() == FIRST
    text = (folder / "small.yaml").read_text()
    recorded = {"sha256": hashlib.sha256(FIRST).hexdigest(), "size": 1000, "trusted_from": "download"}
    assert yaml.safe_load(text) == {"x.bin": recorded}
    assert "keep this file in git" in text


def test_another_machine_is_held_to_it(server, tmp_path, folder):  # noqa: F811
    server.script.steps = [{"body": FIRST}, {"body": OTHER}]
    get(entry(server.url), tmp_path / "d")
    before = (folder / "small.yaml").read_bytes()
    with pytest.raises(AcquireError, match="what came is not the listed file"):
        get(entry(server.url), tmp_path / "another machine")
    assert (folder / "small.yaml").read_bytes() == before
    server.script.steps = [{"body": FIRST}]
    assert get(entry(server.url), tmp_path / "another machine").read_bytes() == FIRST


def test_a_copy_in_the_mirror_counts_as_the_first(tmp_path, folder, monkeypatch):
    shelf = tmp_path / "shelf"
    (shelf / "small").mkdir(parents=True)
    (shelf / "small/x.bin").write_bytes(FIRST)
    monkeypatch.setenv("FACEREC_MIRROR", str(shelf))
    assert get(entry(), tmp_path / "d").read_bytes() == FIRST
    assert yaml.safe_load((folder / "small.yaml").read_text())["x.bin"]["trusted_from"] == "mirror"
    (shelf / "small/x.bin").write_bytes(OTHER)
    with pytest.raises(AcquireError, match=r"is not the listed file.*recorded in .*small\.yaml; remove it there"):
        get(entry(), tmp_path / "d")
    (folder / "small.yaml").unlink()
    assert get(entry(), tmp_path / "d").read_bytes() == OTHER


def test_a_record_of_before_is_still_read_and_kept(tmp_path, folder):
    folder.mkdir()
    digest = hashlib.sha256(FIRST).hexdigest()
    (folder / "small.yaml").write_text(f"x.bin: {{sha256: {digest}, size: 1000}}\n")
    made = entry()
    assert downloads.known_versions(made, made.files[0])[0].sha256 == digest
    (tmp_path / "two").write_bytes(OTHER)
    downloads.record_checksums(entry(name="two"), {"two": tmp_path / "two"}, {"two": "downloads"})
    records = yaml.safe_load((folder / "small.yaml").read_text())
    assert records["x.bin"] == {"sha256": digest, "size": 1000}
    assert records["two"]["trusted_from"] == "downloads"


@pytest.mark.attack("Servers", "a first copy over http", "refused")
def test_a_first_copy_does_not_come_over_http(tmp_path, folder):
    """Not even asked for: names of .invalid have no address, which would be another error."""
    with pytest.raises(AcquireError, match=r"x\.invalid/x: no digest of this file is known, so .* over https only"):
        get(entry("http://x.invalid/x"), tmp_path / "d")
    assert not folder.exists()


def test_a_first_copy_is_not_redirected_to_http(server, tmp_path, folder):  # noqa: F811
    server.script.steps = [{"status": 302, "headers": {"Location": "http://x.invalid/x"}}]
    with pytest.raises(AcquireError, match="over https only"):
        get(entry(server.url), tmp_path / "d")
    assert not folder.exists()


def test_what_makes_no_sound_set_is_not_recorded(tmp_path, folder, monkeypatch):
    (tmp_path / "x.bin").write_bytes(b"<html>a page someone saved</html>")
    monkeypatch.setenv("FACEREC_MIRROR", str(tmp_path))
    made = entry().model_copy(update={"kind": "pack", "counts": SetCounts(pairs=5)})
    with pytest.raises(FormatError):
        get(made, tmp_path / "d")
    assert not folder.exists()


def test_files_of_one_entry_share_a_record_and_keep_each_other(tmp_path, folder):
    for name in ("two", "one"):
        (tmp_path / name).write_bytes(name.encode())
        downloads.record_checksums(entry(name=name), {name: tmp_path / name}, {name: "mirror"})
    assert list(yaml.safe_load((folder / "small.yaml").read_text())) == ["one", "two"]
    made = entry(name="two")
    assert [version.sha256 for version in downloads.known_versions(made, made.files[0])] == [
        hashlib.sha256(b"two").hexdigest()
    ]


def test_what_the_catalog_lists_counts_more(tmp_path, folder):
    (tmp_path / "x").write_bytes(b"another")
    downloads.record_checksums(entry(), {"x.bin": tmp_path / "x"}, {"x.bin": "mirror"})
    made = entry(versions=[{"sha256": "5" * 64}])
    assert downloads.known_versions(made, made.files[0]) == made.files[0].versions
    (folder / "small.yaml").unlink()
    downloads.record_checksums(made, {"x.bin": tmp_path / "x"}, {"x.bin": "mirror"})
    assert not (folder / "small.yaml").exists()


@pytest.mark.parametrize("text", ["x.bin: 5", "[", "x.bin: {sha256: abc}", "x.bin: {size: 5}", "- a"])
def test_a_broken_record_is_named(folder, text):
    folder.mkdir()
    (folder / "small.yaml").write_text(text)
    made = entry()
    with pytest.raises(AcquireError, match=r"cannot read .*known/small\.yaml; restore it from git or delete it"):
        downloads.known_versions(made, made.files[0])


def test_a_record_that_cannot_be_written_is_named(folder, tmp_path):
    folder.write_bytes(b"a file where a folder belongs")
    with pytest.raises(AcquireError, match=r"cannot write .*known/small\.yaml"):
        downloads.record_checksums(entry(), {"x.bin": folder}, {"x.bin": "mirror"})


def test_a_copy_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(AcquireError, match=r"cannot read .*gone: No such file"):
        downloads._digest(tmp_path / "gone")


def test_an_experiment_in_a_folder_of_its_own_finds_and_records_in_the_project(tmp_path, folder, monkeypatch):
    """DVC's queue works in a copy of what git knows: what a person put beside it, and new digests, are the project's."""
    monkeypatch.delenv("FACEREC_CATALOG")
    work = tmp_path / ".dvc/tmp/exps/tmpa1b2"
    for place in (work, tmp_path):
        (place / "data/catalog").mkdir(parents=True)
    (tmp_path / ".facerec/downloads/small").mkdir(parents=True)
    (tmp_path / ".facerec/downloads/small/x.bin").write_bytes(FIRST)
    monkeypatch.chdir(work)
    sets.acquire(entry(), "data/raw/small")
    assert (work / "data/raw/small/x.bin").read_bytes() == FIRST
    known = yaml.safe_load((tmp_path / "data/catalog/known/small.yaml").read_text())
    assert known["x.bin"]["trusted_from"] == "downloads"
    assert not (work / "data/catalog/known").exists()
