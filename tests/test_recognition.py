"""From photos to answers: the same crops and embeddings as the pipeline's, the right face, clear refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from facerec import aligning, embedding
from facerec.aligning import crops
from facerec.core import FacerecError, FormatError, ImageError, ParamsError
from facerec.detection import table
from facerec.imaging import images
from facerec.params import Align
from facerec.recognition.recogniser import EnrolledPhoto, NamedPhoto, NoFaceError, Recogniser, RefusedPhoto
from facerec.store import gallery as galleries
from facerec.store import shard_writing, shards
from facerec.store.embeddings import normalise
from tests import cartoon
from tests.conftest import ROOT
from tests.recognition import SEEN, blank, group, photo, save_model, write_scores


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """backbone.pt, ann.jpg, bob.jpg, eve.jpg, group.jpg, blank.jpg."""
    folder = tmp_path_factory.mktemp("files")
    save_model(folder / "backbone.pt")
    for name in ("ann", "bob", "eve"):
        (folder / f"{name}.jpg").write_bytes(photo(name))
    (folder / "group.jpg").write_bytes(group())
    (folder / "blank.jpg").write_bytes(blank())
    return folder


@pytest.fixture(scope="module")
def recogniser(files: Path) -> Recogniser:
    return Recogniser(files / "backbone.pt")


def named(files: Path, *names: str) -> list[NamedPhoto]:
    return [NamedPhoto(name, f"{name}.jpg", (files / f"{name}.jpg").read_bytes()) for name in names]


@pytest.fixture
def team(files: Path, recogniser: Recogniser) -> galleries.Gallery:
    made = [each.entry for each in recogniser.enroll(named(files, "ann", "bob")) if isinstance(each, EnrolledPhoto)]
    return recogniser.gallery().with_entries(made)


def test_a_photo_gives_the_crop_and_the_embedding_of_the_pipeline(files, recogniser, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("FACEREC_WORKERS", "1")
    people = ("ann", "bob", "eve", "group")
    rows = [
        {"image": (files / f"{name}.jpg").read_bytes(), "label": 0, "identity": name, "source": name} for name in people
    ]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "drawn"))
    table.detect_set(tmp_path / "photos", tmp_path / "found.parquet", "mtcnn")
    aligning.align_set(tmp_path / "photos", tmp_path / "found.parquet", tmp_path / "faces")
    stored = shards.read_shards(tmp_path / "faces")
    embedded = normalise(embedding.load_embedder(files / "backbone.pt").embed(stored))
    assert stored.sources == list(people)
    for row, name in enumerate(people):
        face = recogniser.portrait(files / f"{name}.jpg").face
        assert face.crop == bytes(stored.image(row))
        np.testing.assert_allclose(face.embedding, embedded[row], atol=1e-6)
        assert face.box.tolist() == stored.row(row)["box"].tolist()
        assert (face.score, face.fallback) == (stored.row(row)["score"], "detector")


def test_paths_bytes_and_pixels_are_one_photo(files, recogniser):
    path = files / "ann.jpg"
    forms = (path, str(path), path.read_bytes(), images.decode(path.read_bytes()))
    found = [recogniser.portrait(each) for each in forms]
    assert all((each.face.embedding == found[0].face.embedding).all() for each in found)
    assert [each.name for each in found] == [str(path), str(path), "the photo", "the photo"]
    assert recogniser.compare(*forms[2:]).similarity == pytest.approx(1, abs=1e-6)


def test_everybody_in_a_photo_or_the_one_the_rule_chooses(files, recogniser):
    faces = recogniser.faces(files / "group.jpg")
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    assert all(np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-6) for face in faces)
    for rule in ("center", "largest"):
        portrait = Recogniser(files / "backbone.pt", rule=rule).portrait(files / "group.jpg")
        assert len(portrait.found) == 2
        assert portrait.face.box[0] > 150, "the right one is larger and nearer to the centre"
        same = min(faces, key=lambda face: abs(face.box - portrait.face.box).sum())
        assert (same.embedding == portrait.face.embedding).all(), "whoever stands beside it"


def test_a_photo_of_nobody_says_what_was_tried(files, recogniser):
    with pytest.raises(NoFaceError) as refused:
        recogniser.compare(files / "ann.jpg", files / "blank.jpg")
    assert str(refused.value) == (
        f"{files / 'blank.jpg'}: There is no face (fallbacks tried: detector, retry); lower min_face, or try another "
        "detector; for a photo of nothing but a face add the fallback crop."
    )
    with pytest.raises(NoFaceError):
        recogniser.faces(files / "blank.jpg")
    last = Recogniser(files / "backbone.pt", fallbacks=("detector", "crop"))
    (face,) = last.faces(files / "blank.jpg")
    assert (face.fallback, face.box, face.score) == ("crop", None, None)
    assert images.decode(face.crop).shape == (112, 112, 3)


def test_faces_that_score_too_little_do_not_count(files, recogniser):
    scores = [face.score for face in recogniser.faces(files / "group.jpg")]
    between = (scores[0] + scores[1]) / 2
    strict = Recogniser(files / "backbone.pt", min_score=between)
    assert [face.score for face in strict.faces(files / "group.jpg")] == scores[:1]


@pytest.mark.parametrize(
    ("given", "kind", "reason"),
    [
        ("missing.jpg", FormatError, "does not exist"),
        (".", FormatError, "is a folder"),
        (b"", ImageError, "the photo: The file is empty"),
        (b"no photo", ImageError, "the photo: The file is not an image"),
        (np.zeros((4, 4), np.uint8), ImageError, "a detector takes RGB uint8"),
    ],
)
def test_what_is_no_photo_is_refused(recogniser, tmp_path, monkeypatch, given, kind, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=reason):
        recogniser.portrait(given)
    with pytest.raises(kind, match=reason):
        recogniser.faces(given)


def test_impossible_settings_are_refused_before_any_work(files):
    for settings, reason in (
        ({"rule": "annotated"}, "No rule 'annotated'"),
        ({"fallbacks": ("guess",)}, r"fallbacks\.0 should be .*, not 'guess'"),
        ({"fallbacks": ()}, "at least one fallback"),
        ({"detector": "nobody"}, "No detector 'nobody'"),
        ({"options": {"size": 3}}, "does not take the options"),
    ):
        with pytest.raises(ParamsError, match=reason):
            Recogniser(files / "backbone.pt", **settings)
    with pytest.raises(FormatError, match="does not exist"):
        Recogniser(files / "missing.onnx")


def test_networks_of_every_geometry_get_their_crops():
    for size, template in (((112, 112), "arcface-112"), ((112, 96), "arcface-112x96"), ((128, 128), "arcface-128")):
        options = crops.options_for_network(size, template)
        assert (crops.crop_template(options), options.crop) == (template, "template")
    boxed = Align(crop="box", margin=0.25)
    assert crops.options_for_network((112, 112), crops.crop_template(boxed)).margin == 0.25
    for template in ("mine", "arcface-128", "box-1..2-112", "box--112", ""):
        with pytest.raises(FormatError, match="cannot be cut from photos here"):
            crops.options_for_network((112, 112), template)


def test_a_threshold_decides_and_without_one_nothing_is_decided(files, recogniser, tmp_path):
    first, second = files / "ann.jpg", files / "eve.jpg"
    open_one = recogniser.compare(first, second)
    assert (open_one.same, open_one.threshold) == (None, None)
    assert "no threshold is known" in str(open_one).lower()
    for factor, same, word in ((2.0, True, "Same person"), (0.5, False, "Different people")):
        made = np.full(100, open_one.distance * factor) + np.arange(100) * 1e-9
        path = write_scores(tmp_path / word, recogniser.embedder.digest, made)
        answer = recogniser.compare(first, second, recogniser.threshold(0.05, path))
        assert answer.same is same
        assert answer.similarity == open_one.similarity
        assert str(answer).startswith(f"{word}, at a false accept rate of 5e-2 measured on made_up (100 different")
        assert str(answer).endswith("trained on synthetic faces only (synth_people).")


def test_an_experiment_says_how_faces_are_found(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    shutil.copy(files / "backbone.pt", "models/backbone.pt")
    text = (ROOT / "profiles/default.yaml").read_text()
    changed = text.replace("min_face: 40", "min_face: 31").replace("retry: 0.5", "retry: 0.25")
    (tmp_path / "params.yaml").write_text(changed.replace("rule: center", "rule: largest"))
    made = Recogniser.of_experiment()
    assert (made.name, made.detector.min_face, made.retry) == ("models/backbone.pt", 31, 0.25)
    assert (made.options.rule, made.options.fallbacks) == ("largest", ("detector", "retry"))
    other = Recogniser.of_experiment(
        model=files / "backbone.pt", options={"min_face": 50}, rule="center", fallbacks=["detector"]
    )
    assert (other.detector.min_face, other.options.fallbacks) == (50, ("detector",))
    assert other.embedder.digest == made.embedder.digest
    with pytest.raises(ParamsError, match=r"missing\.yaml is missing"):
        Recogniser.of_experiment("missing.yaml")


def test_thresholds_of_another_model_are_refused_and_not_found(files, recogniser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recogniser.threshold() is None
    other = save_model(tmp_path / "other.pt", seed=2)
    write_scores(tmp_path / "data/scores/x", other, np.linspace(1, 2, 200))
    assert recogniser.threshold() is None
    with pytest.raises(FormatError, match="measured with another model"):
        recogniser.threshold(0.1, "data/scores/x")
    write_scores(tmp_path / "data/scores/y", recogniser.embedder.digest, np.linspace(1, 2, 200))
    assert recogniser.threshold().distance == pytest.approx(1, abs=0.1)


def test_enrolling_keeps_what_a_gallery_needs(files, recogniser):
    photos = named(files, "ann", "blank", "group")
    photos.append(NamedPhoto("bob", "cut.jpg", photos[0].data[:500]))
    enrolled = list(recogniser.enroll(photos))
    ann, nobody, several, cut = enrolled
    assert isinstance(ann, EnrolledPhoto)
    assert (ann.faces, several.faces) == (1, 2)
    assert (ann.entry.name, ann.entry.source, ann.entry.rung) == ("ann", "ann.jpg", "detector")
    assert ann.entry.face == recogniser.portrait(files / "ann.jpg").face.crop
    assert nobody == RefusedPhoto("blank.jpg", nobody.reason)
    assert nobody.reason.startswith("There is no face")
    assert cut.reason.startswith("The JPEG is cut short")
    (bare,) = recogniser.enroll(photos[:1], keep_faces=False)
    assert bare.entry.face is None
    assert recogniser.model == galleries.GalleryModel(
        recogniser.embedder.digest, 16, recogniser.embedder.preprocessing.to_dict(), SEEN
    )


def test_the_same_photo_is_found_again_and_strangers_are_unknown(files, recogniser, team, tmp_path):
    near = np.full(100, 1e-6) + np.arange(100) * 1e-9
    threshold = recogniser.threshold(0.05, write_scores(tmp_path / "x", recogniser.embedder.digest, near))
    found = recogniser.search(team, files / "ann.jpg", threshold)
    (person,) = found.people
    assert person.name == "ann"
    assert [each.entry.name for each in person.candidates] == ["ann", "bob"]
    assert person.candidates[0].similarity == pytest.approx(1, abs=1e-7)
    assert found.comparisons == 2
    assert found.fpir == pytest.approx(1 - 0.95**2)
    assert "among 2 photos a stranger is taken for somebody in about 9.8 % of searches" in str(found)
    stranger = recogniser.search(team, files / "eve.jpg", threshold)
    assert stranger.people[0].name is None
    undecided = recogniser.search(team, files / "ann.jpg", top=1)
    assert (undecided.people[0].name, undecided.fpir) == (None, None)
    assert len(undecided.people[0].candidates) == 1


def test_a_search_takes_every_face_or_one_every_person_or_every_photo(files, recogniser, team):
    turned = NamedPhoto("ann", "turned.jpg", photo("ann", roll=0.2))
    (more,) = recogniser.enroll([turned])
    larger = team.with_entries([more.entry])
    found = recogniser.search(larger, files / "group.jpg")
    assert len(found.people) == 2
    assert all(len(person.candidates) == 2 for person in found.people)
    one = recogniser.search(larger, files / "group.jpg", all_faces=False, every_photo=True)
    assert len(one.people) == 1
    assert sorted(each.entry.source for each in one.people[0].candidates) == ["ann.jpg", "bob.jpg", "turned.jpg"]
    likeness = [each.similarity for each in one.people[0].candidates]
    assert likeness == sorted(likeness, reverse=True)


def test_galleries_of_another_model_and_empty_ones_are_refused(files, recogniser, team, tmp_path):
    save_model(tmp_path / "other.pt", seed=2)
    other = Recogniser(tmp_path / "other.pt")
    galleries.write_gallery(team, tmp_path / "team.gallery")
    assert recogniser.gallery(tmp_path / "team.gallery").people == {"ann": 1, "bob": 1}
    with pytest.raises(FormatError, match=r"team\.gallery was made with another model"):
        other.gallery(tmp_path / "team.gallery")
    with pytest.raises(FormatError, match="was made with another model"):
        other.search(team, files / "ann.jpg")
    with pytest.raises(FormatError, match="gallery is empty"):
        recogniser.search(recogniser.gallery(), files / "ann.jpg")
    with pytest.raises(FormatError, match="there is no gallery"):
        recogniser.gallery(tmp_path / "nowhere")


def test_a_detector_of_ones_own_will_do(files):
    class Nobody:
        name = "nobody"

        def detect(self, photos):
            from facerec.detection.finding import NO_FACES

            return [NO_FACES for _ in photos]

    with pytest.raises(FacerecError, match="There is no face"):
        Recogniser(files / "backbone.pt", Nobody()).portrait(cartoon.photo({})[0])
