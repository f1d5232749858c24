"""The `facerec` command does on plain files what the stages do, and speaks JSON to programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.conftest import Project

pytestmark = pytest.mark.pipeline

VERBS = (
    "profile",
    "catalog",
    "check",
    "download",
    "detect",
    "align",
    "import",
    "unpack",
    "pack",
    "export",
    "inspect",
    "train",
    "onnx",
    "embed",
    "verify",
    "sheet",
    "figure",
    "compare",
    "enroll",
    "search",
    "compare-runs",
    "experiments",
)


def test_help_names_every_verb(project: Project) -> None:
    shown = project.run("facerec", "--help")
    assert all(f" {verb} " in shown for verb in (*VERBS, "megaface"))
    inner = project.run("facerec", "megaface", "--help")
    assert all(verb in inner for verb in ("features", "import", "export", "scores", "denoise", "identify", "published"))


def test_the_verbs_repeat_the_stages(project: Project, tmp_path: Path) -> None:
    raw, photos = project.root / "data/raw", tmp_path / "photos"
    project.run("facerec", "download", "synth_lfw", str(photos), "--option", "pairs=20")
    assert (photos / "part-00000.arrow").read_bytes() == (raw / "synth_lfw/part-00000.arrow").read_bytes()

    table = tmp_path / "faces.parquet"
    found = project.json("facerec", "detect", str(photos), "--table", str(table), "--min-face", "40", "--json")
    assert found["photos"] == 80
    assert table.read_bytes() == (project.root / "data/detections/synth_lfw.parquet").read_bytes()

    project.json("facerec", "align", str(photos), str(tmp_path / "faces"), "--detections", str(table), "--json")
    made = project.root / "data/faces/test/synth_lfw/part-00000.arrow"
    assert (tmp_path / "faces/part-00000.arrow").read_bytes() == made.read_bytes()

    counts = project.json("facerec", "unpack", str(raw / "synth_pack"), str(tmp_path / "pack"), "--json")
    assert counts.keys() == {"train", "agedb_30", "cfp_fp", "lfw"}
    for mine, stage in (("train", "train/synth_pack"), ("lfw", "test/synth_pack/lfw")):
        made = project.root / "data/faces" / stage / "part-00000.arrow"
        assert (tmp_path / "pack" / mine / "part-00000.arrow").read_bytes() == made.read_bytes()

    embedded = tmp_path / "lfw.npy"
    project.run("facerec", "embed", "models/backbone.pt", str(tmp_path / "faces"), str(embedded))
    assert embedded.read_bytes() == (project.root / "data/embeddings/synth_lfw.npy").read_bytes()

    scores = ("--far", "0.01", "--out", str(tmp_path / "scores"))
    judged = project.json("facerec", "verify", str(embedded), str(raw / "synth_lfw/pairs.txt"), *scores, "--json")
    assert len(judged.pop("fold_accuracy")) == 10
    recorded = json.loads((project.root / "data/scores/synth_lfw/result.json").read_text())
    assert judged.pop("people_in_several_folds") == recorded.pop("people_in_several_folds", 0)
    assert judged == recorded


def test_identification_without_dvc(project: Project, tmp_path: Path) -> None:
    folder, raw = project.root / "data/megaface/synth_megaface", project.root / "data/raw"
    lists = (raw / "synth_facescrub/facescrub_noises.txt", raw / "synth_megaface/megaface_noises.txt")
    out = str(tmp_path / "cleaned")
    project.json("facerec", "megaface", "denoise", str(folder / "features"), *map(str, lists), out, "--json")
    found = project.json("facerec", "megaface", "identify", out, "--devkit", str(tmp_path / "devkit"), "--json")
    stored = json.loads((project.root / "data/scores/synth_megaface/result.json").read_text())
    assert found["rank1"] == stored["cleaned"]["rank1"]
    assert {path.name for path in (tmp_path / "devkit").iterdir()} >= {"identify_cmc.json", "identify_matches.json"}


def test_a_wrong_name_is_one_sentence(project: Project) -> None:
    output = project.run("facerec", "download", "synth_lwf", "out", check=False)
    assert output.startswith("error: ")
    assert "synth_lfw" in output
    assert output.count("\n") == 1
