"""The catalog: every entry in the repository is sound, and malformed ones are explained."""

from pathlib import Path

import pytest
import yaml

from facerec import catalog
from facerec.errors import AcquireError

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


@pytest.mark.parametrize("path", sorted(OURS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_entry_is_sound(path, monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    entry = catalog.load(path.stem)
    assert entry.title
    assert entry.licence
    assert entry.homepage.startswith("http")
    for file in entry.files:
        assert file.versions, "what is fetched must be checked"
        assert file.urls or entry.manual


def test_models_declare_what_the_library_understands(monkeypatch):
    from facerec.preprocessing import Preprocessing

    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    models = [entry for entry in map(catalog.load, catalog.names()) if entry.preprocessing]
    assert models
    for entry in models:
        declared = entry.preprocessing.model_dump(mode="json")
        assert Preprocessing.from_dict(declared, entry.name).to_dict() == declared


def test_the_default_experiment_is_there(monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    parts = {catalog.load(name).part for name in catalog.names() if name.startswith("synth_")}
    assert parts == {"people", "pack", "lfw", "facescrub", "megaface"}


def test_the_catalog_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.delenv("FACEREC_CATALOG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "lfw" in catalog.names()
    (tmp_path / "data/catalog").mkdir(parents=True)
    assert catalog.names() == []


def test_a_catalog_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "none"))
    with pytest.raises(AcquireError, match="no catalog in"):
        catalog.names()


def test_an_unknown_entry_lists_close_names(monkeypatch):
    monkeypatch.setenv("FACEREC_CATALOG", str(OURS))
    with pytest.raises(AcquireError, match="no entry 'synth_lwf'; did you mean synth_lfw"):
        catalog.load("synth_lwf")
    with pytest.raises(AcquireError, match=r"no entry '\.\./lfw'"):
        catalog.load("../lfw")


def test_a_minimal_entry(folder):
    put(folder, {})
    entry = catalog.load("mine")
    assert (entry.layout, entry.counts.photos, entry.files[0].urls) == ("identity", None, [])


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
    ],
)
def test_malformed_entries_are_explained(folder, changes, message):
    put(folder, changes)
    with pytest.raises(AcquireError, match=message):
        catalog.load("mine")


def test_broken_yaml_is_named(folder):
    (folder / "mine.yaml").write_text("name: [")
    with pytest.raises(AcquireError, match=r"cannot read .*mine\.yaml"):
        catalog.load("mine")
