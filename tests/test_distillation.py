"""A student learns to give its teacher's embeddings, with or without a head, from a cache that no worker changes."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facerec import distributed, training
from facerec.backbones import storage
from facerec.core import FormatError, ParamsError
from facerec.embedding import Embedder, cached, load_embedder, torch_embedder
from facerec.embedding.cached import embed_cached
from facerec.params import Backbone, Train
from facerec.store import shards
from facerec.store.embeddings import normalise
from facerec.store.face_dataset import FaceDataset
from facerec.store.model_metadata import Preprocessing, TrainingSet
from facerec.training import distillation
from facerec.training.distillation import Teacher
from facerec.training.step import measure_imitation
from tests.models import SIZE, TEMPLATE, TINY, recipe, write_set
from tests.processes import Answer, together

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(4), photos=6)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, trained on people who exist."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("models") / "teacher.pt"
    made = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, Preprocessing(size=SIZE, template=TEMPLATE))
    storage.save_backbone(made.trained_further({"real_people": False}), path)
    return path


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def mirrored_alike(embedder: Embedder) -> Embedder:
    """With embeddings that a face and its mirror image have in common, as targets are."""
    return replace(embedder, preprocessing=replace(embedder.preprocessing, flip="sum-normalised"))


def fit(sets: list[shards.Shards], teacher: Path, **changes: object) -> training.Trained:
    return training.fit(sets, recipe(teacher=str(teacher), **changes), CPU)


def test_targets_are_the_same_for_a_face_and_its_mirror_image(faces, teacher) -> None:
    embedder = load_embedder(teacher)
    plain = replace(embedder, preprocessing=replace(embedder.preprocessing, flip="none"))
    pixels = FaceDataset([faces]).batch(np.arange(len(faces)))
    expected = normalise(plain.embed(pixels)) + normalise(plain.embed(pixels[:, :, ::-1]))
    taught = Teacher(str(teacher), [faces], CPU)
    found = taught.targets(np.array([5, 0, 23]))
    np.testing.assert_allclose(found, expected[[5, 0, 23]], atol=1e-5)


def test_a_student_comes_nearer_to_its_teacher_without_labels(faces, teacher, tmp_path) -> None:
    unlabelled = write_set(tmp_path / "strangers", range(4), photos=6, labels=[-1] * 4)
    trained = fit([unlabelled], teacher, head_weight=0.0, epochs=12, lr=0.3)
    first, last = trained.history[0], trained.history[-1]
    assert last.loss < first.loss / 3
    assert list(trained.head.parameters()) == []
    student = normalise(mirrored_alike(torch_embedder(trained.backbone)).embed(faces))
    wanted = normalise(mirrored_alike(load_embedder(teacher)).embed(faces))
    cosines = student @ wanted.T
    assert cosines.diagonal().mean() > 0.8
    assert (cosines.argmax(1) // 6 == np.arange(24) // 6).mean() > 0.9


def test_beside_a_head_both_losses_count(faces, teacher) -> None:
    alone = training.fit([faces], recipe(epochs=1, lr=1e-9), CPU).history[0].loss
    imitated = fit([faces], teacher, epochs=1, lr=1e-9, head_weight=0.0).history[0].loss
    both = fit([faces], teacher, epochs=1, lr=1e-9, head_weight=0.5, teacher_weight=3.0).history[0]
    assert both.loss == pytest.approx(0.5 * alone + 3 * imitated, rel=1e-3)
    assert both.accuracy < 1  # that of the head


def test_the_loss_is_one_minus_the_cosine_and_its_gradient_too() -> None:
    students = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    targets = 3 * torch.randn(5, 4, dtype=torch.float64)
    loss, accuracy = measure_imitation(students, targets)
    cosines = torch.nn.functional.cosine_similarity(students, targets)
    assert loss.item() == pytest.approx(1 - cosines.mean().item())
    assert torch.autograd.gradcheck(lambda rows: measure_imitation(rows, targets)[0], students)
    assert measure_imitation(targets, targets)[1] == 1
    assert 0 <= accuracy <= 1


def test_the_cache_is_filled_once_and_its_bytes_do_not_depend_on_workers(faces, teacher, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(cached, "_STEP", 5)
    embedder = load_embedder(teacher)
    found = []
    for workers in ("1", "3"):
        monkeypatch.setenv("FACEREC_WORKERS", workers)
        monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / workers))
        begin = 0.6 if workers == "3" else 0.0
        found.append(embed_cached(embedder, faces, begin=begin).whole())
    assert found[0].tobytes() == found[1].tobytes()
    np.testing.assert_allclose(found[0], embedder.embed(faces), atol=1e-6)
    (cut, *_) = sorted((tmp_path / "3").rglob("*.npy"))
    cut.write_bytes(cut.read_bytes()[:150])  # a power cut
    made, put = [], cached.tables.put_npy
    monkeypatch.setattr(cached.tables, "put_npy", lambda rows, path: made.append(len(rows)) or put(rows, path))
    assert embed_cached(embedder, faces).whole().tobytes() == found[0].tobytes()
    assert made == [5]


def test_it_resumes_and_another_teacher_starts_anew(faces, teacher, tmp_path, capsys) -> None:
    wanted = recipe(teacher=str(teacher), head_weight=0.0)
    whole = training.fit([faces], wanted, CPU)
    other = tmp_path / "other.pt"
    torch.manual_seed(2)
    made = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, Preprocessing(size=SIZE, template=TEMPLATE))
    storage.save_backbone(made, other)
    with contextlib.suppress(KeyboardInterrupt), training.keep_checkpoints([faces], wanted) as kept:
        training.fit([faces], wanted, CPU, kept)
        raise KeyboardInterrupt
    with training.keep_checkpoints([faces], wanted) as kept:
        assert kept.read() is not None
        again = training.fit([faces], wanted, CPU, kept)
    for key, value in whole.backbone.network.state_dict().items():
        assert torch.equal(value, again.backbone.network.state_dict()[key])
    with training.keep_checkpoints([faces], recipe(teacher=str(other), head_weight=0.0)) as kept:
        assert kept.read() is None


def test_who_taught_it_stays_known(faces, teacher, monkeypatch) -> None:
    trained = fit([faces], teacher, epochs=1)
    assert TrainingSet("real_people", False) in (trained.backbone.trained_on or ())
    monkeypatch.setattr(distillation, "load_embedder", lambda *given: replace(load_embedder(*given), trained_on=None))
    assert fit([faces], teacher, epochs=1).backbone.trained_on is None


def test_a_teacher_that_does_not_fit_is_refused(faces, teacher, tmp_path) -> None:
    with pytest.raises(
        ParamsError, match=r"have 16 numbers and those of train.backbone 24; set train.backbone.dim to 16"
    ):
        fit([faces], teacher, backbone=Backbone(name=TINY.name, dim=24, width=TINY.width))
    with pytest.raises(FormatError, match="does not exist"):
        fit([faces], tmp_path / "nothing.pt")
    other = write_set(tmp_path / "other", range(2), photos=9, template="arcface-128")
    with pytest.raises(FormatError, match="align them again"):
        fit([other], teacher)
    with pytest.raises(ValueError, match="teacher is null"):
        Train(head_weight=0.0)


def test_recipes_without_one_are_written_as_before() -> None:
    assert not {"teacher", "teacher_weight", "head_weight", "exclude"} & recipe().model_dump().keys()
    assert recipe(teacher="x.pt", head_weight=0.0).model_dump()["head_weight"] == 0.0


def imitated_together(students: torch.Tensor, targets: torch.Tensor) -> Answer:
    """The loss of a batch of which this process has a part, its accuracy, and the gradient of that part."""
    rows = distributed.local_rows(np.arange(len(students)))
    mine = students[rows].requires_grad_()
    loss, accuracy = measure_imitation(mine, targets[rows])
    loss.backward()
    return {"loss": loss.item(), "accuracy": accuracy.item(), "rows": rows.tolist(), "gradient": mine.grad}


@pytest.mark.slow
def test_two_processes_have_the_loss_and_the_gradient_of_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    students, targets = torch.randn(8, 4), torch.randn(8, 4)
    alone = imitated_together(students.clone(), targets)
    for answer in together(2, tmp_path, imitated_together, students, targets):
        assert answer["loss"] == pytest.approx(alone["loss"])
        assert answer["accuracy"] == alone["accuracy"]
        torch.testing.assert_close(answer["gradient"], alone["gradient"][answer["rows"]])
