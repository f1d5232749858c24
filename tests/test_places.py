"""Names that become paths stay names, and an output that cannot be put where it should go is refused before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facerec.catalog import entries, user_dataset
from facerec.cli import app
from facerec.core import FacerecError, FormatError, ParamsError
from facerec.interop import devkit
from facerec.params import parse_params, profiles
from stages import common
from tests.conftest import ROOT

NAMES = ["../x", "/etc/x", "..", "a/b", "a/../b", "", "a\n", "a b", "C:x", "a\\b", "ä"]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_takes_names_only(name: str) -> None:
    with pytest.raises(ParamsError, match="is no name for a stage; use one of params"):
        common.check_names(["synth_lfw", name])


def test_a_stage_says_so_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages.detect", "../../outside"]
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: '../../outside' is no name for a stage; ")
    assert (done.returncode, done.stderr.count("\n"), list(tmp_path.iterdir())) == (1, 1, [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "key", ["networks", "render", "download", "photos", "packs", "benchmarks", "identification", "openset"]
)
def test_names_in_params_are_no_paths(name: str, key: str) -> None:
    plain = profiles.load_profile(ROOT / "profiles", "default").model_dump(mode="json")
    value = next(iter(plain[key].values()), {}) if isinstance(plain[key], dict) else None
    plain[key] = [*plain[key], name] if value is None else {**plain[key], name: value}
    with pytest.raises(ParamsError, match=rf"{key}\.") as caught:
        parse_params(plain)
    assert "match pattern" in str(caught.value)


@pytest.mark.parametrize("faces", ["../train/x", "/x", "a/b/c", "a/..", "", "synth_pack/../x"])
def test_the_faces_of_a_benchmark_are_no_path(faces: str) -> None:
    plain = profiles.load_profile(ROOT / "profiles", "default").model_dump(mode="json")
    plain["benchmarks"]["synth_lfw"]["faces"] = faces
    with pytest.raises(ParamsError, match=r"benchmarks\.synth_lfw\.faces .*match pattern"):
        parse_params(plain)


@pytest.mark.parametrize("name", NAMES)
def test_entries_of_the_catalog_are_no_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(FacerecError, match="the catalog has no entry"):
        entries.load_entry(name)
    with pytest.raises(ParamsError, match="is no name for an entry"):
        user_dataset.add_dataset(tmp_path, name, user_dataset.AddOptions(), tmp_path)


@pytest.mark.parametrize("photo", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "", "a\0.jpg"])
def test_photos_of_a_feature_list_stay_below_their_folder(photo: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="has no safe path below"):
        devkit._feature_path(tmp_path, photo, "facerec")


COMMANDS = {
    "download": ("download", "synth_people", "OUT"),
    "features": ("megaface", "features", "m.onnx", "probes", "distractors", "OUT"),
    "denoise": ("megaface", "denoise", "features", "one.txt", "other.txt", "OUT"),
    "verify": ("verify", "e.npy", "pairs.txt", "--out", "OUT"),
}


@pytest.mark.attack("Names", "an output that is a link to a folder", "refused before the work")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_a_link_is_refused_before_anything_is_read(command: str, tmp_path: Path) -> None:
    """No other file named here exists, which would be the next error."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    words = [str(tmp_path / "out") if word == "OUT" else word for word in COMMANDS[command]]
    found = CliRunner().invoke(app, words).exception
    assert isinstance(found, FacerecError)
    assert str(found).startswith(f"{tmp_path / 'out'} is a link, and a folder is to be written there; ")


@pytest.mark.attack("Names", "an output of the wrong kind", "refused before the work")
@pytest.mark.parametrize(
    ("stage", "place", "folder"),
    [
        ("train", "models/lfw_best.pt", False),
        ("export", "models/lfw.onnx", False),
        ("detect", "data/detections/lfw.parquet", False),
        ("embed", "data/embeddings/lfw.npy", False),
        ("megaface_features", "data/megaface/lfw/features", True),
    ],
)
def test_a_stage_refuses_the_place_of_its_output_before_anything_is_read(
    stage: str, place: str, folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = profiles.load_profile(ROOT / "profiles", "default")
    benchmark, identification = run.benchmarks["synth_lfw"], run.identification["synth_megaface"]
    named = run.model_copy(update={"benchmarks": {"lfw": benchmark}, "identification": {"lfw": identification}})
    Path(place).parent.mkdir(parents=True)
    Path(place).write_text("") if folder else Path(place).mkdir()
    there = f"{place} is a {'file, and a folder' if folder else 'folder, and a file'} is to be written there"
    with pytest.raises(FacerecError, match=f"^{there}; name another"):
        getattr(import_module(f"stages.{stage}"), stage.removeprefix("megaface_"))(named, "lfw")


@pytest.mark.parametrize(
    "command", [("train", "faces", "--out", "OUT"), ("onnx", "b.pt", "OUT"), ("embed", "m.onnx", "faces", "OUT")]
)
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_read(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    found = CliRunner().invoke(app, [str(tmp_path) if word == "OUT" else word for word in command]).exception
    assert isinstance(found, FacerecError)
    assert str(found) == f"{tmp_path} is a folder, and a file is to be written there; name another."
