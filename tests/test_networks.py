"""Networks and detectors of the catalog by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from facerec.catalog import entries, networks
from facerec.cli import app
from facerec.core import ParamsError, console, parse_json
from facerec.recognition import thresholds
from facerec.recognition.recogniser import Recogniser
from tests.conftest import ROOT
from tests.recognition import photo, save_model, write_scores


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of the model `tiny` of a catalog, which lies in the mirror."""
    for name in ("catalog", "mirror", "work"):
        (tmp_path / name).mkdir()
    entry = {"name": "tiny", "title": "Tiny", "kind": "model", "files": [{"name": "tiny.pt"}], "licence": "CC0"}
    entry |= {"manual": "None.", "detector": "mtcnn", "preprocessing": {"size": [112, 112]}}
    (tmp_path / "catalog/tiny.yaml").write_text(yaml.safe_dump(entry))
    for name, place in {"CATALOG": "catalog", "MIRROR": "mirror", "CACHE": "cache"}.items():
        monkeypatch.setenv(f"FACEREC_{name}", str(tmp_path / place))
    monkeypatch.chdir(tmp_path / "work")
    return save_model(tmp_path / "mirror/tiny.pt")


def test_a_network_is_fetched_once_and_kept(tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert networks.network_place("tiny") == tmp_path / "cache/tiny"
    monkeypatch.setenv("FACEREC_MIRROR", "")
    assert Recogniser("tiny").embedder.digest == digest
    assert list((tmp_path / "work").iterdir()) == []


def test_the_copy_of_the_experiment_comes_first_and_a_file_is_a_file(tmp_path: Path, digest: str) -> None:
    Path("data/raw/tiny").mkdir(parents=True)
    assert networks.network_place("tiny") == Path("data/raw/tiny")
    assert networks.network_place("models/other.pt") == Path("models/other.pt")
    Path("tiny").touch()
    assert networks.network_place("tiny") == Path("tiny")


def test_an_unknown_name_is_told_with_those_there_are(digest: str) -> None:
    with pytest.raises(ParamsError, match="tinny is neither a file nor a model of the catalog, which has tiny"):
        networks.network_place("tinny")


def test_it_decides_by_the_scores_that_come_with_it(
    tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scores(tmp_path / "shipped/tiny", digest, np.linspace(0.5, 2, 100), "far_away")
    monkeypatch.setattr(networks, "shipped_scores", lambda: tmp_path / "shipped")
    recogniser = Recogniser("tiny")
    assert (recogniser.name, recogniser.detector.name) == ("tiny", "mtcnn")
    threshold = recogniser.threshold(5e-2)
    assert threshold is not None
    assert threshold.measured.benchmark == "far_away"
    assert recogniser.compare(photo("ann"), photo("ann"), threshold).same
    write_scores(Path("data/scores/near"), digest, np.linspace(0.5, 2, 50), "near")
    assert recogniser.measured().benchmark == "near"  # measured here


def test_detectors_are_found_by_either_name() -> None:
    assert networks.detector_of("retinaface_mnet025") == ("retinaface-mnet0.25", "retinaface_mnet025")
    assert networks.detector_of("mtcnn") == ("mtcnn", None)
    assert networks.detector_files("mtcnn", None) == ("mtcnn", {})
    assert networks.measured_detector(networks.DEFAULT) == ("retinaface-mnet0.25", "retinaface_mnet025")
    with pytest.raises(ParamsError, match=r"mtcnn has weights of its own and takes none; leave x\.pth out"):
        networks.detector_files("mtcnn", "x.pth")


def test_weights_of_ones_own_are_taken_as_they_are() -> None:
    found = networks.detector_files("retinaface-mnet0.25", str(ROOT / "LICENSE"))
    assert found == ("retinaface-mnet0.25", {"weights": str(ROOT / "LICENSE")})


def test_every_detector_that_an_entry_names_is_there() -> None:
    from facerec.detection import detector_names

    every = [entries.load_entry(name) for name in entries.entry_names()]
    for entry in every:
        if entry.kind == "model" and entry.detector is not None:
            assert networks.measured_detector(entry.name)[0] in detector_names()
        if entry.kind == "weights":
            assert entry.detector in detector_names()
    assert entries.load_entry(networks.DEFAULT).files[0].urls


def test_the_scores_that_come_with_the_catalog_are_those_of_the_readme() -> None:
    for place in (ROOT / networks.SCORES).iterdir():
        assert entries.load_entry(place.name).kind == "model"
        measured = thresholds.read_measurement(place, None)
        assert (measured.benchmark, len(measured.distances), measured.different) == ("lfw", 6000, 3000)
        result = parse_json((place / "result.json").read_bytes(), "result.json")
        accuracy, spread = 100 * result["accuracy"], 100 * result["accuracy_std"]
        low, high = 100 * result["accuracy_low"], 100 * result["accuracy_high"]
        row = f"| {accuracy:.2f} ± {spread:.2f} % | {low:.2f} to {high:.2f} % | {100 * result['tar']:.1f} %"
        assert row in (ROOT / "README.md").read_text()
        rates = thresholds.describe_rates(measured)
        assert [rate for rate, *_ in rates] == ["1e-1", "1e-2", "1e-3"]
        for _, cosine, _ in rates:
            assert f"{cosine.removeprefix('0')} at" in (ROOT / "docs/using.md").read_text()


def test_the_catalog_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run_command(lambda: app(["catalog", networks.DEFAULT, "--json"], standalone_mode=False)) == 0
    shown = json.loads(capsys.readouterr().out)["thresholds on lfw"]
    assert "1e-3 at 0.317 (0.034 % to 0.29 %)" in shown
