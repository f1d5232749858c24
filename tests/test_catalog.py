"""The catalog: every entry in the repository is sound, and malformed ones are explained."""

import json
import re
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from facerec.catalog import downloads, entries
from facerec.cli import app
from facerec.core import AcquireError

OURS = Path(__file__).parent.parent / "data/catalog"
MINIMAL = {
    "name": "mine",
    "title": "t",
    "kind": "photos",
    "licence": "CC0",
    "files": [{"name": "a.tgz", "use": "photos"}],
    "manual": "Ask Ann.",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path))
    return tmp_path


def put(folder, changes):
    (folder / "mine.yaml").write_text(yaml.safe_dump({**MINIMAL, **changes}))


@pytest.fixture
def ours(monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    return [entries.load_entry(name) for name in entries.entry_names()]


NAMES = sorted(path.stem for path in OURS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_sound(name, monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    entry = entries.load_entry(name)
    assert re.fullmatch(r"[a-z0-9_]+", name), "stages and parameters are named after it"
    assert entry.title
    assert len(entry.title) < 110
    assert entry.homepage.startswith("http")
    assert entry.generator or entry.citation, "published work is cited"
    assert entry.terms or entry.kind == "pack", "say what one may do with it"
    assert entry.generator or entry.kind not in ("photos", "pack") or entry.counts != entry.published
    for file in entry.files:
        assert file.urls or entry.manual
        for url in file.urls:
            assert httpx.URL(url).scheme in ("http", "https")
            assert httpx.URL(url).host not in ("drive.google.com", "pan.baidu.com"), "no program can fetch it"
            assert url.startswith("https://") or file.versions, "bytes over http need a digest"


def test_a_name_in_a_mirror_means_one_file(ours):
    """One flat folder can hold all files: equal names are equal bytes."""
    named: dict[str, object] = {}
    for file in (file for entry in ours for file in entry.files):
        assert named.setdefault(file.name, file.versions) == file.versions


def test_the_field_is_covered():
    wanted = """lfw lfw_original lfw_funneled cfp cfp_ff cfp_fp agedb_30 calfw cplfw vgg2_fp casia_webface ms1m_ibug
        ms1m_arcface ms1m_retinaface vggface2 vggface2_pack glint360k megaface megaface_lists facescrub retinaface_mnet025
        retinaface_r50 retina_face mobilefacenet_foamliu mobilefacenet_foamliu_pt mobilefacenet_xiaoccer"""
    assert set(wanted.split()) <= set(NAMES)


def test_what_the_mirror_holds_is_what_the_catalog_lists(mirror, ours, monkeypatch):
    monkeypatch.setenv("FACEREC_MIRROR", str(mirror))
    found = {file.name: (downloads.in_mirror(file, entry), file) for entry in ours for file in entry.files}
    here = {name: (path, file) for name, (path, file) in found.items() if path is not None}
    assert {"lfw-pairs.txt", "megaface_noises.txt", "mobilefacenet_xiaoccer_068.ckpt"} <= set(here)
    for path, file in here.values():
        if path.stat().st_size < 10_000_000:  # the archive of LFW is checked where it is unpacked
            downloads.check_digest(path, file.versions)
            assert file.versions


def test_models_declare_what_the_library_understands(monkeypatch):
    from facerec.store.model_metadata import Preprocessing

    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    models = [entry for entry in map(entries.load_entry, entries.entry_names()) if entry.preprocessing]
    assert models
    for entry in models:
        declared = entry.preprocessing.to_dict()
        assert Preprocessing.from_dict(declared, entry.name).to_dict() == declared


def test_the_default_experiment_is_there(monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    parts = {entries.load_entry(name).part for name in entries.entry_names() if name.startswith("synth_")}
    assert parts == {"people", "pack", "lfw", "facescrub", "megaface"}


def test_the_catalog_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.delenv("FACEREC_CATALOG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "lfw" in entries.entry_names()
    (tmp_path / "data/catalog").mkdir(parents=True)
    assert entries.entry_names() == []


def test_a_catalog_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "none"))
    with pytest.raises(AcquireError, match="no catalog in"):
        entries.entry_names()


def test_an_unknown_entry_lists_close_names(monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    with pytest.raises(AcquireError, match="no entry 'synth_lwf'; did you mean synth_lfw"):
        entries.load_entry("synth_lwf")
    with pytest.raises(AcquireError, match=r"no entry '\.\./lfw'"):
        entries.load_entry("../lfw")


def test_a_minimal_entry(folder):
    put(folder, {})
    entry = entries.load_entry("mine")
    assert (entry.layout, entry.counts.photos, entry.files[0].urls) == ("identity", None, [])


def test_people_are_shown_where_they_are_rendered_or_where_it_is_said(ours, folder):
    assert {entry.name for entry in ours if entry.shown} == {
        entry.name for entry in ours if entry.generator is not None
    }
    put(folder, {})
    assert not entries.load_entry("mine").shown
    put(folder, {"pictures": True})
    assert entries.load_entry("mine").shown


SHA = "0" * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"kind": "video"}, "kind: "),
        ({"name": "other"}, "is named other inside"),
        ({"files": []}, "either a generator or files"),
        ({"files": [{"name": "a.tgz"}]}, "one file with use: photos"),
        ({"kind": "lists"}, "one file with use: photos"),
        ({"generator": "synthetic", "part": "lfw"}, "either a generator or files"),
        ({"part": "lfw"}, "part goes with a generator"),
        ({"options": {"pairs": 3}}, "only a generator has options"),
        ({"files": [{"name": "../a", "use": "photos"}]}, r"files\.0\.name"),
        ({"files": [{"name": "a", "use": "photos", "versions": [{"size": 1}]}]}, "sha256 or an md5"),
        ({"files": [{"name": "a", "use": "photos", "versions": [{"sha256": "12"}]}]}, "sha256"),
        ({"kind": "model", "files": [{"name": "a"}]}, "preprocessing goes with a model"),
        ({"kind": "lists", "files": [{"name": "a", "use": "pack"}]}, "use: pack belongs to a pack"),
        ({"manual": ""}, "a file without urls needs manual"),
        ({"files": [{"name": "a", "use": "photos", "only": "b"}]}, "only names another file of the entry"),
        ({"licence": ""}, "licence"),
        ({"pictures": "some"}, "pictures: "),
        ({"kind": "lists", "files": [{"name": "a"}], "pictures": True}, "pictures goes with photos or a pack"),
        ({"name": "mi-ne"}, "name: "),
    ],
)
def test_malformed_entries_are_explained(folder, changes, message):
    put(folder, changes)
    with pytest.raises(AcquireError, match=message):
        entries.load_entry("mine")


def test_broken_yaml_is_named(folder):
    (folder / "mine.yaml").write_text("name: [")
    with pytest.raises(AcquireError, match=r"mine\.yaml is not valid YAML"):
        entries.load_entry("mine")


def run(*words):
    return CliRunner().invoke(app, ["catalog", *words], catch_exceptions=False)


def test_the_command_lists_everything_as_json(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    monkeypatch.setenv("FACEREC_MIRROR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "retinaface_mobilenet0.25.pth").write_bytes(b"")
    (tmp_path / ".facerec/downloads/lfw").mkdir(parents=True)
    (tmp_path / ".facerec/downloads/lfw/lfw-pairs.txt").write_bytes(b"")
    rows = {row["name"]: row for row in json.loads(run("--json").stdout)["entries"]}
    assert sorted(rows) == NAMES
    assert {name: row["here"] for name, row in rows.items() if row["here"]} == {
        "retinaface_mnet025": "mirror",
        "lfw": "partly",
    }
    ways = {name: rows[name]["how"] for name in ("synth_lfw", "lfw", "megaface", "megaface_lists")}
    assert ways == {
        "synth_lfw": "rendered",
        "lfw": "download",
        "megaface": "by hand",
        "megaface_lists": "partly by hand",
    }
    assert rows["retinaface_mnet025"]["bytes"] == 1789735
    assert rows["megaface"]["bytes"] is None


def test_the_command_shows_one_entry_in_full(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    monkeypatch.setenv("FACEREC_MIRROR", str(tmp_path))
    shown = json.loads(run("megaface", "--json").stdout)
    assert "withdrawn" in shown["terms"]
    assert "megaface_images" in shown["by hand"]
    assert shown["put files into"] == f"{tmp_path}/megaface or .facerec/downloads/megaface"
    assert shown["published counts"] == "1,027,060 photos, 690,572 identities"
    assert shown["people in reports"] == "not shown; pictures: true would allow it"
    assert json.loads(run("synth_lfw", "--json").stdout)["people in reports"] == "shown"
    assert "people in reports" not in json.loads(run("retinaface_mnet025", "--json").stdout)


def test_the_command_prints_tables_for_people(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # where titles have room
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    for words in ((), ("cfp",)):
        result = run(*words)
        assert result.exit_code == 0
        assert result.stdout == ""
        assert "Celebrities in" in " ".join(result.stderr.split())
