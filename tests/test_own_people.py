"""Real people: a part of the 299 of CelebA, added, trained on and measured on those held out, through the stages."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml

from facerec import params
from facerec.catalog import user_dataset, user_photos
from facerec.params import profiles
from facerec.store import shards
from stages import align, detect, download, embed, train, verify
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PEOPLE, PHOTOS = 40, 6


@pytest.fixture
def celeba(mirror: Path) -> Path:
    """The archive of 299 people; skips where it is not."""
    archive = mirror / "celeba-299.tar"
    if not archive.is_file():
        pytest.skip("needs celeba-299.tar in the mirror")
    return archive


def test_all_of_them_are_found(celeba: Path) -> None:
    found = user_photos.scan_photos(celeba)
    assert (found.count, len(found.people), found.unreadable, found.notes()) == (6300, 299, {}, [])
    training, held = user_photos.hold_out(found.people, 0.1)
    assert len(held) == 27
    assert training.keys().isdisjoint(held)


def test_from_the_archive_to_an_accuracy_on_people_held_out(
    celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("profiles", "data/catalog"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    with tarfile.open(celeba) as archive:
        names = sorted(member.name for member in archive if member.isfile())
    people = sorted({name.split("/")[0] for name in names})[:PEOPLE]
    chosen = [name for person in people for name in [n for n in names if n.startswith(f"{person}/")][:PHOTOS]]
    (tmp_path / "who.tsv").write_text("".join(f"{name}\t{name.split('/')[0]}\n" for name in chosen))
    options = user_dataset.AddOptions("train", pairs=100, held_out=0.5, listed=tmp_path / "who.tsv")
    added = user_dataset.add_dataset(celeba, "mine", options, tmp_path / "profiles")
    tree = yaml.safe_load(profiles.compose_params(tmp_path / "profiles", "mine"))
    tree["train"] |= {"epochs": 4}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    parsed = params.load_params("params.yaml")
    for name, split in parsed.photos.items():
        download.download(parsed, name)
        detect.detect(parsed, name)
        align.align(parsed, name, split)
    train.train(parsed, "backbone")
    embed.embed(parsed, "mine_own")
    verify.verify(parsed, "mine_own")
    trained, held = (shards.read_shards(f"data/faces/{place}") for place in ("train/mine", "test/mine_own"))
    assert set(trained.identities).isdisjoint(held.identities)
    assert trained.classes + held.classes == PEOPLE
    assert len(trained) + len(held) > 0.98 * len(chosen)
    losses = [each["loss"] for each in json.loads(Path("reports/curves/backbone_loss.json").read_text())["loss"]]
    assert losses[-1] < losses[0]
    found = json.loads(Path("data/scores/mine_own/result.json").read_text())
    assert found["pairs"] == added.pairs == 100
    assert found["failures"] <= 2
    assert found["accuracy"] > 0.5
