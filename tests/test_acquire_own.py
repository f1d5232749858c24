"""A person's own photos: pairs drawn among them, an entry of the catalog and a profile."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec.catalog import entries, pair_sampling, user_dataset
from facerec.catalog.sets import acquire
from facerec.core import FormatError, ParamsError
from facerec.imaging.images import encode_jpeg
from facerec.interop import pair_lists
from facerec.params import profiles
from facerec.store import shards
from tests.conftest import ROOT


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=60), most=st.integers(1, 400), seed=st.integers(0, 5))
def test_drawn_pairs_are_true_new_and_fold_by_fold(counts: list[int], most: int, seed: int) -> None:
    photos = {f"p{k}": [f"p{k}/{n}.jpg" for n in range(count)] for k, count in enumerate(counts)}
    several = sum(count > 1 for count in counts)
    try:
        drawn = pair_sampling.sample_pairs(photos, most, seed)
    except FormatError:
        genuine = sum(math.comb(count, 2) for count in counts)
        assert several < 6 or genuine < 10  # too few people, or not a genuine pair for every fold
        return
    assert drawn == pair_sampling.sample_pairs(photos, most, seed)
    assert len(drawn.pairs) <= max(most, 20)
    assert len({frozenset(pair[:2]) for pair in drawn.pairs}) == len(drawn.pairs)
    assert all((a.split("/")[0] == b.split("/")[0]) == same for a, b, same in drawn.pairs)
    size = len(drawn.pairs) // 10
    folds = [drawn.pairs[start : start + size] for start in range(0, len(drawn.pairs), size)]
    assert len(folds) == 10
    assert all([same for *_, same in fold] == [True] * (size // 2) + [False] * (size // 2) for fold in folds)
    assert drawn.apart == (several >= 20)
    if drawn.apart:
        people = [{path.split("/")[0] for a, b, _ in fold for path in (a, b)} for fold in folds]
        assert sum(map(len, people)) == len(set().union(*people))


def test_too_few_people_are_told() -> None:
    with pytest.raises(FormatError, match="0 people with two or more photos are too few for 10 folds"):
        pair_sampling.sample_pairs({"a": ["a/1.jpg"], "b": ["b/1.jpg"]}, 100)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos of people, a catalog and profiles, which is the current one."""
    for person in range(25):
        for number in range(1, 4):
            place = tmp_path / f"photos/p{person:02d}/{number}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(encode_jpeg(np.full((8, 8, 3), 3 * person + number, np.uint8)))
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copytree(ROOT / "data/catalog", tmp_path / "data/catalog")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_own_photos_become_a_set_with_pairs_and_a_profile(project: Path, kind: str) -> None:
    source = project / "photos"
    if kind == "archive":
        source = Path(shutil.make_archive(str(project / "mine"), "zip", project / "photos"))
    added = user_dataset.add_dataset(
        source, "mine", user_dataset.AddOptions(pairs=100, model="mobilefacenet_foamliu"), project / "profiles"
    )
    assert (added.photos, added.identities, added.pairs, added.apart) == (75, 25, 100, True)
    assert entries.load_entry("mine").shown
    acquire(entries.load_entry("mine"), project / "raw")
    photos = shards.read_shards(project / "raw", "photos")
    assert (len(photos), photos.classes) == (75, 25)
    listed = pair_lists.read_pairs(project / "raw/pairs.tsv", photos.sources)
    assert len(listed) == 100
    assert (listed.first >= 0).all()
    assert ((photos.labels[listed.first] == photos.labels[listed.second]) == listed.same).all()
    wanted = profiles.load_profile(project / "profiles", "mine")
    assert list(wanted.benchmarks) == ["mine"]
    assert wanted.model == "data/raw/mobilefacenet_foamliu"
    assert list(wanted.download) == ["mine", "mobilefacenet_foamliu"]
    assert str(project) not in "".join(path.read_text() for path in (added.entry, added.profile))


def test_photos_are_added_again_after_a_change(project: Path) -> None:
    wish = user_dataset.AddOptions(pairs=100)
    first = user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles")
    before = first.entry.read_text()
    with pytest.raises(ParamsError, match=r"mine\.yaml exists; add --replace"):
        user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles")
    user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles", replace=True)
    assert first.entry.read_text() == before
    (project / "photos/p00/1.jpg").write_bytes(encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles", replace=True)
    assert first.entry.read_text() != before, "DVC sees it, and downloads again"
    assert profiles.load_profile(project / "profiles", "mine").networks == ["backbone"]


def test_photos_to_train_on_need_no_pairs(project: Path) -> None:
    added = user_dataset.add_dataset(project / "photos", "mine", user_dataset.AddOptions("train"), project / "profiles")
    assert added.pairs == 0
    wanted = profiles.load_profile(project / "profiles", "mine")
    assert wanted.photos["mine"] == "train"
    assert "mine" not in wanted.benchmarks


def test_what_cannot_be_added_is_refused(project: Path) -> None:
    folder = project / "profiles"
    for name, wish, message in (
        ("my photos", user_dataset.AddOptions(), "no name for an entry"),
        ("lfw", user_dataset.AddOptions(), "not one of `facerec add`; take another name"),
        ("mine", user_dataset.AddOptions("both"), "test or train, not 'both'"),
        ("mine", user_dataset.AddOptions(model="lfw"), "lfw is no model of the catalog"),
    ):
        with pytest.raises(ParamsError, match=message):
            user_dataset.add_dataset(project / "photos", name, wish, folder, replace=True)
    with pytest.raises(FormatError, match="does not say who its photos show"):
        user_dataset.add_dataset(project / "photos/p00", "mine", user_dataset.AddOptions(), folder)
    (project / ".facerec/downloads/mine/mine").mkdir(parents=True)
    with pytest.raises(ParamsError, match="exists and is no link"):
        user_dataset.add_dataset(project / "photos", "mine", user_dataset.AddOptions(pairs=100), folder)
    assert not (project / "data/catalog/mine.yaml").exists()
