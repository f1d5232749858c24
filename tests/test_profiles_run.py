"""Profiles of data that can only be had by hand, from their files to figures, with drawn faces in the published forms.

The catalog of these tests is ours without digests and counts; a small network that has learnt nothing takes the place
of the published one, and MTCNN that of RetinaFace, whose weights are downloaded.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from facerec import params
from facerec.backbones import storage
from facerec.catalog import user_dataset
from facerec.imaging import images
from facerec.interop import photo_lists
from facerec.params import Params, profiles
from facerec.store import shards
from facerec.store.model_metadata import Preprocessing
from stages import (
    align,
    detect,
    download,
    embed,
    megaface_denoise,
    megaface_features,
    megaface_identify,
    plots,
    report,
    unpack,
    verify,
)
from tests import cartoon, packs
from tests.conftest import ROOT

CHEAP = {
    "download": {"retinaface_mnet025": None},
    "detect": {"detector": "mtcnn", "weights": None, "min_face": 40, "thresholds": [0.6, 0.7, 0.7], "factor": 0.709},
    "verify": {"bootstrap": 10},
    "identify": {"bootstrap": 0, "sweeps": 0},
}


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with our catalog, bare of digests, and the folder for what is got by hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    monkeypatch.setenv("FACEREC_WORKERS", "1")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "catalog").mkdir()
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "catalog"))
    for path in (ROOT / "data/catalog").glob("*.yaml"):
        entry = yaml.safe_load(path.read_text())
        bare = [{**file, "versions": [], "urls": []} for file in entry.get("files", [])]
        manual = entry.get("manual", "None.")
        changed = {**entry, "counts": {}, "manual": manual} | ({"files": bare} if bare else {})
        (tmp_path / "catalog" / path.name).write_text(yaml.safe_dump(changed))
    folder = tmp_path / ".facerec/downloads"
    (folder / "mobilefacenet_foamliu_pt").mkdir(parents=True)
    network = storage.create_backbone("mobilefacenet", 16, {"width": 0.25}, Preprocessing())
    torch.manual_seed(1)
    # Ours, though under the published name: what loads it looks at the content.
    storage.save_backbone(network, folder / "mobilefacenet_foamliu_pt/mobilefacenet_foamliu.pt")
    return folder


def run(name: str, tmp_path: Path, folder: Path = ROOT / "profiles", **changes: Any) -> Params:
    """The stages of profile `name` in `folder`, with changes, in the order of the graph."""
    tree = profiles.merge_patch(yaml.safe_load(profiles.compose_params(folder, name)), CHEAP)
    tree = profiles.merge_patch(tree, changes)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    parsed = params.load_params("params.yaml")
    for entry in parsed.download:
        download.download(parsed, entry)
    for photos, split in parsed.photos.items():
        detect.detect(parsed, photos)
        align.align(parsed, photos, split)
    for pack in parsed.packs:
        unpack.unpack(parsed, pack)
    for benchmark in parsed.benchmarks:
        embed.embed(parsed, benchmark)
        verify.verify(parsed, benchmark)
    for task in parsed.identification:
        for stage in (megaface_features.features, megaface_denoise.denoise, megaface_identify.identify):
            stage(parsed, task)
    return parsed


def tight(number: int) -> bytes:
    """A photo that a drawn face fills, of another colour for every number."""
    skin = (214 - number * 17 % 90, 160 - number * 13 % 60, 130 - number * 7 % 60)
    drawn, _ = cartoon.photo({"width": 150.0, "centre": (90.0, 95.0)}, height=200, width=180, skin=skin)
    return images.encode_jpeg(drawn)


def failures(benchmark: str) -> Any:
    """Pairs with a missing face in the result record of a benchmark."""
    return json.loads(Path(f"data/scores/{benchmark}/result.json").read_text())["failures"]


def cfp_archive(path: Path, people: int = 10) -> None:
    """cfp-dataset.zip in small: two frontal photos and a profile each, ten folds of one same and one different pair."""
    names = {kind: [f"{n:03d}/{kind}" for n in range(1, people + 1)] for kind in ("frontal", "profile")}
    frontal = [f"{name}/{i:02d}.jpg" for name in names["frontal"] for i in (1, 2)]
    profile = [f"{name}/01.jpg" for name in names["profile"]]
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate([*frontal, *profile]):
            archive.writestr(f"cfp-dataset/Data/Images/{name}", tight(number))
        for letter, listed in (("F", frontal), ("P", profile)):
            lines = [f"{number} ../Data/Images/{name}" for number, name in enumerate(listed, 1)]
            archive.writestr(f"cfp-dataset/Protocol/Pair_list_{letter}.txt", "\n".join(lines))
        for n in range(1, people + 1):
            other = n % people + 1
            pairs = {"FF": ((2 * n - 1, 2 * n), (2 * n - 1, 2 * other)), "FP": ((2 * n, n), (2 * n, other))}
            for protocol, (same, diff) in pairs.items():
                for name, (i, j) in (("same", same), ("diff", diff)):
                    archive.writestr(f"cfp-dataset/Protocol/Split/{protocol}/{n:02d}/{name}.txt", f"{i},{j}\n")


WITHOUT_LFW: dict[str, Any] = {
    **{key: {"lfw": None} for key in ("photos", "benchmarks")},
    "download": {"lfw": None, "lfw_protocols": None},
    "openset": {"lfw_blufr": None, "lfw_closed": None, "lfw_open": None},
}


@pytest.mark.parametrize(
    ("name", "changes"), [("cfp", {}), pytest.param("lfw_cfp", WITHOUT_LFW, marks=pytest.mark.slow)]
)
def test_cfp_from_its_archive_to_both_protocols(
    downloads: Path, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    (downloads / "cfp").mkdir()
    cfp_archive(downloads / "cfp/cfp-dataset.zip")
    parsed = run(name, tmp_path, **changes)
    assert list(parsed.benchmarks) == ["cfp_ff", "cfp_fp"]
    assert [failures(name) for name in parsed.benchmarks] == [0, 0]
    faces = shards.read_shards("data/faces/test/cfp")
    assert (len(faces), faces.classes) == (30, 10)
    fallbacks = [faces.row(row)["rung"] for row in range(30)]
    assert fallbacks.count("retry") > 20, "a face found in the padded photo is preferred"
    details = json.loads(Path("data/scores/cfp_fp/details.json").read_text())
    assert details["fold_sizes"] == [2] * 10
    embedded = [Path(f"data/embeddings/{each}.npy").read_bytes() for each in ("cfp_ff", "cfp_fp")]
    assert embedded[0] == embedded[1]


def test_verification_packs_need_nothing_but_a_network(downloads: Path, tmp_path: Path) -> None:
    parsed = profiles.load_profile(ROOT / "profiles", "packs")
    for name in parsed.packs:
        (downloads / name).mkdir()
        packs.verification(downloads / name / f"{name}.bin", [True, False] * 10)
    run("packs", tmp_path)
    assert list(parsed.benchmarks) == ["agedb_30", "calfw", "cplfw", "cfp_ff", "cfp_fp", "vgg2_fp"]
    assert [failures(name) for name in parsed.benchmarks] == [0] * 6


@pytest.mark.slow
def test_megaface_takes_the_listed_probes_among_all_distractors(downloads: Path, tmp_path: Path) -> None:
    probes = [f"Person_{person}/Person_{person}_{number}" for person in "BA" for number in (7, 3)]
    for number, name in enumerate([*probes, "Person_A/Person_A_9", "Other_One/Other_One_1"]):
        path = downloads / f"facescrub_probes/facescrub_images/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tight(number))
    official = photo_lists.FeatureList(tuple(f"{name}.png" for name in probes))
    photo_lists.write_feature_list(official, downloads / "facescrub_probes/facescrub_features_list.json")
    for number in range(12):
        path = downloads / f"megaface/megaface_images/00{number % 3}/9{number}@N00/{number}_0.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(tight(100 + number) if number else images.encode_jpeg(cartoon.photo()[0] // 9 + 90))
    (downloads / "megaface_noises").mkdir()
    photo_lists.write_noises(["Person_A_3.png"], downloads / "megaface_noises/facescrub_noises.txt", "cite")
    photo_lists.write_noises(["001/91@N00/1_0.jpg"], downloads / "megaface_noises/megaface_noises.txt", "cite")
    parsed = run("megaface", tmp_path)
    plots.plots(parsed)
    report.report(parsed)
    raw = shards.read_shards("data/raw/facescrub_probes")
    assert raw.sources == [f"{name}.jpg" for name in probes], "the order of the official list"
    assert raw.identities == ["Person_B", "Person_B", "Person_A", "Person_A"]
    assert len(shards.read_shards("data/faces/test/megaface")) == 12, "every distractor counts"
    noise = json.loads(Path("reports/metrics/denoise/megaface.json").read_text())["megaface"]["noise"]
    assert noise["probes_matched"] == noise["distractors_matched"] == 1
    assert 0 <= json.loads(Path("reports/summary.json").read_text())["megaface"]["rank1"] <= 1
    assert "data:image/jpeg" not in Path("reports/index.html").read_text(), "these people exist"
    assert Path("reports/sheets/photos/megaface.jpg").is_file()


@pytest.mark.slow
def test_people_who_were_added_are_looked_for_among_added_strangers(downloads: Path, tmp_path: Path) -> None:
    """`facerec add`, then `facerec add --to distractors`: one run verifies and identifies."""
    for number in range(26):
        name = f"people/p{number // 2:02d}/{number}.jpg" if number < 20 else f"crowd/{number}.jpg"
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(tight(number))
    folder = tmp_path / "profiles"
    shutil.copytree(ROOT / "profiles", folder)
    options = user_dataset.AddOptions(pairs=20, model="mobilefacenet_foamliu_pt")
    user_dataset.add_dataset(tmp_path / "people", "mine", options, folder)
    strangers = user_dataset.AddOptions("distractors", probes="mine")
    user_dataset.add_dataset(tmp_path / "crowd", "crowd", strangers, folder)
    run("crowd", tmp_path, folder, identify={"fprs": [0.5]})
    found = json.loads(Path("data/scores/crowd/result.json").read_text())
    assert json.loads(Path("data/scores/mine/result.json").read_text())["pairs"] == 20
    assert (found["raw"]["distractors"], found["raw"]["probes"]) == (6, 20)
    assert found["cleaned"]["rank1"] == found["raw"]["rank1"], "no noise is listed"
