"""A person's own photos: pairs drawn among them, an entry of the catalog and a profile."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec import params
from facerec.catalog import entries, pair_sampling, user_dataset, user_photos
from facerec.catalog.sets import acquire
from facerec.core import FormatError, ParamsError
from facerec.imaging.images import encode_jpeg
from facerec.interop import pair_lists, photo_lists, unpacking
from facerec.params import profiles, recipes
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
    assert (added.photos, added.identities, added.pairs, added.notes) == (75, 25, 100, ())
    assert (added.held_out, added.held_out_photos) == (0, 0)
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
    assert str(project) not in "".join(path.read_text() for path in added.written)


def test_photos_are_added_again_after_a_change(project: Path) -> None:
    wish = user_dataset.AddOptions(pairs=100)
    first = user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles")
    before = first.written[0].read_text()
    with pytest.raises(ParamsError, match=r"mine\.yaml exists; add --replace"):
        user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles")
    user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles", replace=True)
    assert first.written[0].read_text() == before
    (project / "photos/p00/1.jpg").write_bytes(encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles", replace=True)
    assert first.written[0].read_text() != before, "DVC sees it, and downloads again"
    assert profiles.load_profile(project / "profiles", "mine").networks == ["backbone"]


def added_to_train(project: Path, **options: object) -> tuple[user_dataset.AddedDataset, params.Params]:
    wish = user_dataset.AddOptions("train", **options)
    added = user_dataset.add_dataset(project / "photos", "mine", wish, project / "profiles")
    return added, profiles.load_profile(project / "profiles", "mine")


def acquired(name: str, project: Path) -> shards.Shards:
    """The set of an entry as the download stage makes it."""
    acquire(entries.load_entry(name), project / "raw" / name)
    return shards.read_shards(project / "raw" / name, "photos")


def test_training_on_own_photos_is_on_them_alone_and_measured_on_others(project: Path) -> None:
    added, wanted = added_to_train(project, tests=("lfw", "agedb_30"))
    assert (added.pairs, added.held_out) == (0, 0)
    assert wanted.training_sets == ["mine", "agedb_30"], "a pack without train.rec is none to train on"
    assert wanted.photos == {"mine": "train", "lfw": "test"}
    assert {name: each.pairs for name, each in wanted.benchmarks.items()} == {
        "lfw": "data/raw/lfw/pairs.txt",
        "agedb_30": "data/faces/test/agedb_30/agedb_30/pairs.parquet",
    }
    assert (wanted.networks, wanted.model, wanted.render) == (["backbone"], "models/backbone.pt", {})


def test_people_held_out_are_in_no_training_set_and_stay_held_out(project: Path) -> None:
    added, wanted = added_to_train(project, tests=("own",), held_out=0.5, pairs=40)
    training, held = acquired("mine", project), acquired("mine_own", project)
    assert set(training.identities).isdisjoint(held.identities)
    assert len(training) + len(held) == 75
    assert added.held_out == held.classes > 5
    assert wanted.photos == {"mine": "train", "mine_own": "test"}
    listed = pair_lists.read_pairs(project / "raw/mine_own/pairs.tsv", held.sources)
    assert len(listed) == added.pairs == 40
    assert ((held.labels[listed.first] == held.labels[listed.second]) == listed.same).all()
    people = {f"p{number:02d}": [] for number in range(25)}
    assert set(user_photos.hold_out(people, 0.5)[1]) == set(held.identities)
    more = people | {f"q{number}": [] for number in range(400)}
    again = set(user_photos.hold_out(more, 0.5)[1])
    assert again & people.keys() == set(held.identities)
    assert 150 < len(again) < 275


def test_photos_held_out_are_of_the_people_trained_on(project: Path) -> None:
    added, wanted = added_to_train(project, tests=("own_photos",), held_out=0.6, pairs=20)
    training, held = acquired("mine", project), acquired("mine_own_photos", project)
    assert sorted([*training.sources, *held.sources]) == [f"p{who:02d}/{n}.jpg" for who in range(25) for n in (1, 2, 3)]
    assert len({*training.identities} & {*held.identities}) > 5
    strangers = {*held.identities} - {*training.identities}
    assert (added.held_out, added.held_out_photos, added.pairs) == (len(strangers), len(held), 20)
    assert wanted.photos == {"mine": "train", "mine_own_photos": "test"}
    assert list(wanted.benchmarks) == ["mine_own_photos"]
    assert "add PHOTOS mine`" in entries.load_entry("mine_own_photos").manual


def test_what_cannot_be_added_writes_nothing(project: Path) -> None:
    with pytest.raises(FormatError, match=r"people are held out, too few to make pairs of; raise --held-out"):
        added_to_train(project, tests=("own_photos",), held_out=0.1)
    assert not [*project.rglob("mine*")]


def test_the_recipe_is_in_the_profile_with_reasons_and_can_be_replaced(project: Path) -> None:
    added, wanted = added_to_train(project, tests=("none",))
    assert added.recipe is not None
    profile = project / "profiles/mine.yaml"
    for key, reason in added.recipe.reasons.items():
        assert f"#   {key}: {reason}" in profile.read_text()
    assert wanted.train.head.scale == added.recipe.train["head"]["scale"]
    other = recipes.propose_recipe(5_000_000, 90_000, recipes.Machine(gpu=8 * 10**9))
    profile.write_text(recipes.replace_recipe(profile, other))
    again = profiles.load_profile(project / "profiles", "mine").train
    assert (again.backbone.name, again.head.scale) == ("iresnet100", 64)
    assert again.accumulate > 1, "8 GB do not hold a batch of 512"
    with pytest.raises(ParamsError, match="has a section train of its own"):
        recipes.replace_recipe(project / "profiles/default.yaml", other)


def test_deeper_trees_and_lists_say_who_is_in_the_photos(project: Path) -> None:
    for place in sorted((project / "photos").glob("*/*.jpg")):
        deeper = project / "deep" / place.parent.name / f"day{place.stem}" / place.name
        deeper.parent.mkdir(parents=True)
        place.rename(deeper)
    shallow = user_photos.scan_photos(project / "deep")
    assert set(shallow.people) == {"day1", "day2", "day3"}
    found = user_photos.scan_photos(project / "deep", depth=2)
    assert len(found.people["p03"]) == 3
    (project / "who.tsv").write_text("p00/day1/1.jpg\tAnn\np01/day1/1.jpg\tBob\np01/day2/2.jpg\tAnn\n")
    listed = user_photos.scan_photos(project / "deep", listed=project / "who.tsv")
    assert {name: len(each) for name, each in listed.people.items()} == {"Ann": 2, "Bob": 1}
    (project / "who.txt").write_text("p00/day1/1.jpg 7\np01/day1/1.jpg -1\n")
    numbered = user_photos.scan_photos(project / "deep", listed=project / "who.txt")
    assert {name: len(each) for name, each in numbered.people.items()} == {"7": 1, "": 1}
    options = user_dataset.AddOptions("train", tests=("none",), depth=2)
    user_dataset.add_dataset(project / "deep", "deep", options, project / "profiles")
    photos = acquired("deep", project)
    assert (len(photos), photos.classes, photos.identities[0], photos.sources[0]) == (75, 25, "p00", "p00/day1/1.jpg")


def test_own_pairs_are_taken_as_they_are(project: Path) -> None:
    (project / "pairs.csv").write_text("p00/1.jpg,p00/2.jpg,1\np00/1.jpg,p01/2.jpg,0\np00/9.jpg,p01/2.jpg,0\n")
    options = user_dataset.AddOptions(pairs=project / "pairs.csv")
    added = user_dataset.add_dataset(project / "photos", "mine", options, project / "profiles")
    assert added.pairs == 3
    assert added.notes == ("1 photos of the pairs are not there, and count as errors",)
    wanted = profiles.load_profile(project / "profiles", "mine")
    acquired("mine", project)
    assert wanted.benchmarks["mine"].pairs == "data/raw/mine/pairs.csv"
    assert (project / "raw/mine/pairs.csv").read_text() == (project / "pairs.csv").read_text()


def test_strangers_become_distractors_of_an_added_set(project: Path) -> None:
    user_dataset.add_dataset(project / "photos", "mine", user_dataset.AddOptions(pairs=100), project / "profiles")
    (project / "crowd").mkdir()
    for number in range(4):
        (project / f"crowd/{number}.png").write_bytes((project / f"photos/p0{number}/1.jpg").read_bytes())
    options = user_dataset.AddOptions("distractors", probes="mine")
    added = user_dataset.add_dataset(project / "crowd", "crowd", options, project / "profiles")
    assert (added.photos, added.identities, added.pairs) == (4, 0, 0)
    other = user_dataset.AddOptions("distractors", probes="yours")
    with pytest.raises(ParamsError, match="yours is no test set that was added; `facerec add PHOTOS yours` makes one"):
        user_dataset.add_dataset(project / "crowd", "others", other, project / "profiles")
    photos = acquired("crowd", project)
    assert set(photos.labels.tolist()) == {-1}
    task = profiles.load_profile(project / "profiles", "crowd").identification["crowd"]
    assert (task.probes, task.distractors) == ("mine", "crowd")
    assert photo_lists.read_noises(project / "raw/crowd" / Path(task.probe_noises).name) == []


def test_aligned_faces_are_unpacked_without_detection(project: Path) -> None:
    with pytest.raises(FormatError, match="aligned faces have 112x112 pixels, but there is one of 8x8"):
        added_to_train(project, aligned=True, tests=("none",))
    for place in (project / "photos").glob("*/*.jpg"):
        place.write_bytes(encode_jpeg(np.full((112, 112, 3), int(place.stem), np.uint8)))
    assert "add --aligned" in " ".join(user_photos.scan_photos(project / "photos").notes())
    _, wanted = added_to_train(project, aligned=True, tests=("own",), held_out=0.5, pairs=40)
    assert (wanted.photos, wanted.packs) == ({}, ["mine", "mine_own"])
    assert wanted.benchmarks["mine_own"].faces == "mine_own/mine_own"
    photos = acquired("mine", project)
    acquired("mine_own", project)
    for name in wanted.packs:
        unpacking.unpack_pack(project / "raw" / name, project / f"train/{name}", project / f"test/{name}")
    faces = shards.read_shards(project / "train/mine", "faces")
    assert (faces.meta.template, faces.sources, faces.identities) == ("arcface-112", photos.sources, photos.identities)
    assert bytes(faces.image(0)) == bytes(photos.image(0))
    assert shards.read_shards(project / "test/mine_own/mine_own", "faces").classes > 5
    assert not any((project / "train/mine_own").iterdir())


def test_celeba_lies_in_one_folder_and_a_list_says_who_is_in_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entries.load_entry("celeba")
    files = tuple(file.model_copy(update={"versions": []}) for file in entry.files)
    small = entry.model_copy(update={"files": files, "counts": entries.SetCounts(photos=4, identities=2)})
    (project / "mirror/img_celeba").mkdir(parents=True)
    monkeypatch.setenv("FACEREC_MIRROR", str(project / "mirror"))
    (project / "mirror/celeba").mkdir()
    (project / "mirror/img_celeba").rename(project / "mirror/celeba/img_celeba")
    lines = []
    for number, person in enumerate((2880, 2937, 2880, 2937), 1):
        name = f"{number:06d}.jpg"
        (project / "mirror/celeba/img_celeba" / name).write_bytes(encode_jpeg(np.full((8, 8, 3), number, np.uint8)))
        lines.append(f"{name} {person}\n")
    (project / "mirror/celeba/identity_CelebA.txt").write_text("".join(lines))
    acquire(small, project / "raw/celeba")
    photos = shards.read_shards(project / "raw/celeba", "photos")
    assert photos.identities == ["2880", "2937", "2880", "2937"]
    assert photos.sources[0] == "000001.jpg"


def test_what_looks_wrong_in_the_photos_is_told(project: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    for number in range(45):
        (project / f"photos/p00/x{number}.jpg").write_bytes(encode_jpeg(np.full((8, 8, 3), number, np.uint8)))
    (project / "photos/p01/4.HEIC").write_bytes(heic)
    found = user_photos.scan_photos(project / "photos")
    assert (found.count, len(found.people)) == (120, 25)
    told = found.notes()
    assert told[0].startswith("1 left out: The file is a HEIC photo")
    assert told[1].startswith("'p00' has 48 of the 120 photos, the others 3 each in the middle")
    shutil.rmtree(project / "photos")
    for name, data in (("Ann/1.jpg", encode_jpeg(np.zeros((8, 8, 3), np.uint8))), ("Bob/1.heic", heic)):
        (project / "few" / name).parent.mkdir(parents=True)
        (project / "few" / name).write_bytes(data)
    with pytest.raises(FormatError, match=r"only 1 person with readable photos \(Ann\).* 1 photos: The file is a HEIC"):
        user_dataset.add_dataset(project / "few", "mine", user_dataset.AddOptions(), project / "profiles")
    (project / "few/Ann/1.jpg").unlink()
    with pytest.raises(FormatError, match=r"none of the 1 photos of .* can be read: The file is a HEIC"):
        user_photos.scan_photos(project / "few")


def test_what_cannot_be_added_is_refused(project: Path) -> None:
    folder = project / "profiles"
    for name, wish, message in (
        ("my photos", user_dataset.AddOptions(), "no name for an entry"),
        ("lfw", user_dataset.AddOptions(), "not one of `facerec add`; take another name"),
        ("mine", user_dataset.AddOptions("both"), "test, train or distractors, not 'both'"),
        ("mine", user_dataset.AddOptions("train", model="lfw"), "--model is measured, so it goes with --to test"),
        ("mine", user_dataset.AddOptions("train", pairs=Path("x")), "a file of --pairs goes with --to test"),
        ("mine", user_dataset.AddOptions("distractors"), "--to distractors needs --probe-set"),
        ("mine", user_dataset.AddOptions(depth=2, listed=Path("x")), "--list says who is in the photos"),
        ("mine", user_dataset.AddOptions("train", held_out=1), "--held-out is a share of the people"),
        ("mine", user_dataset.AddOptions("train", tests=("vggface2",)), "has no list of pairs to test on"),
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
