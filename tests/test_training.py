"""Training is a pure function of faces and recipe, learns, and stops with advice when it cannot go on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facerec import training
from facerec.backbones import storage
from facerec.core import FormatError, ImageError, ParamsError
from facerec.params import HeadParams, Schedule
from facerec.store import shard_writing, shards
from facerec.training import augmentation, step
from facerec.training.data import ShuffledSampler, TrainingFaces
from facerec.training.step import learning_rate
from tests.models import SIZE, TEMPLATE, faces_of, recipe, write_set

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_network")


def fit(sets: list[shards.Shards], **changes: object) -> training.Trained:
    return training.fit(sets, recipe(**changes), CPU)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(4), photos=6)


def weights(trained: training.Trained) -> dict[str, torch.Tensor]:
    return {**trained.backbone.network.state_dict(), "centres": trained.head.weight}  # type: ignore[dict-item]


def equal(a: training.Trained, b: training.Trained) -> bool:
    return all(torch.equal(value, weights(b)[key]) for key, value in weights(a).items())


def test_two_runs_give_the_same_bits_whatever_the_number_of_threads_that_decode(faces, monkeypatch, tmp_path) -> None:
    paths = []
    runs = []
    for workers in ("1", "3"):
        monkeypatch.setenv("FACEREC_WORKERS", workers)
        torch.rand(int(workers))  # the caller's random state does not matter
        runs.append(fit([faces]))
        paths.append(tmp_path / f"{workers}.pt")
        storage.save_backbone(runs[-1].backbone, paths[-1])
    assert equal(*runs)
    assert runs[0].history == runs[1].history
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_training_leaves_the_caller_s_random_state_and_settings_alone(faces) -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    fit([faces], epochs=1)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("change", [{"seed": 4}, {"flip": False}, {"weight_decay": 0.1}, {"nesterov": False}])
def test_the_recipe_matters(faces, change: dict[str, object]) -> None:
    assert not equal(fit([faces], epochs=1), fit([faces], epochs=1, **change))


@pytest.mark.parametrize("head", ["arcface", "cosface", "multiface", "normface", "softmax", "uniface"])
def test_it_learns_to_tell_identities_apart(faces, head: str) -> None:
    trained = fit([faces], epochs=8, batch=6, head=HeadParams(name=head, scale=16.0, margin=0.1), flip=False)
    first, last = trained.history[0], trained.history[-1]
    assert last.loss < first.loss / 2
    assert last.accuracy > 0.9
    assert [epoch.epoch for epoch in trained.history] == list(range(1, 9))


def test_biases_norms_and_slopes_are_not_decayed(faces) -> None:
    trained = fit([faces], epochs=1)
    groups = step.create_optimiser(trained.backbone.network, trained.head, recipe()).param_groups
    assert [group["weight_decay"] for group in groups] == [recipe().weight_decay, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])
    total = sum(len(list(module.parameters())) for module in (trained.backbone.network, trained.head))
    assert total == sum(len(group["params"]) for group in groups)


def test_a_loss_that_explodes_stops_with_advice(faces) -> None:
    with pytest.raises(training.TrainingError, match=r"epoch \d+, batch \d+.*lower train.lr"):
        fit([faces], epochs=30, lr=10.0, head=HeadParams(name="softmax"), momentum=0.99)


def test_sets_that_cannot_be_trained_on_are_refused(faces, tmp_path) -> None:
    alone = write_set(tmp_path / "alone", range(1), photos=9)
    with pytest.raises(ParamsError, match=r"at least 2 identities.*alone hold 1 in 9 faces"):
        fit([alone])
    empty = write_set(tmp_path / "empty", range(0), photos=1)
    with pytest.raises(ParamsError, match=r"at least 2 identities.*hold 0 in 0 faces"):
        fit([empty])
    with pytest.raises(ParamsError, match=r"train.batch is 25.*hold 24 faces"):
        fit([faces], batch=25)
    unknown = write_set(tmp_path / "unknown", range(2), photos=9, labels=[0, -1])
    with pytest.raises(FormatError, match="unknown identity"):
        fit([unknown])
    other = write_set(tmp_path / "other", range(2), photos=9, template="arcface-128")
    with pytest.raises(FormatError, match="align all sets to one template"):
        fit([faces, other])
    with pytest.raises(FormatError, match="No face sets"):
        fit([])


def test_a_face_that_cannot_be_decoded_is_named(tmp_path) -> None:
    rows = [{"image": b"\xff\xd8 broken", "label": k, "identity": str(k), "source": f"{k}/1.jpg"} for k in range(8)]
    meta = shards.Meta("faces", "broken", size=SIZE, template=TEMPLATE)
    shard_writing.write_shards(rows, tmp_path / "broken", meta)
    with pytest.raises(ImageError, match=r"Face \d of .*broken \(\d/1.jpg\)"):
        fit([shards.read_shards(tmp_path / "broken")])


def test_sets_merge_with_labels_of_their_own(faces, tmp_path) -> None:
    gaps = write_set(tmp_path / "gaps", range(10, 13), photos=2, labels=[7, 2, 9])
    merged = TrainingFaces([faces, gaps])
    assert merged.classes == 7
    assert merged.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6 + [5] * 2 + [4] * 2 + [6] * 2
    expected = faces_of(11, 2)[1].astype(int)
    assert np.abs(merged.image(len(faces) + 3) - expected).mean() < 20  # a JPEG of it


def test_equal_names_in_two_sets_can_be_one_person(faces, tmp_path) -> None:
    other = write_set(tmp_path / "other", range(2, 6), photos=3)
    assert set(faces.identities) & set(other.identities)
    apart, merged = (TrainingFaces([faces, other], merge=merge) for merge in ("sets", "names"))
    assert (apart.classes, merged.classes) == (8, 6)
    names = [*faces.identities, *other.identities]
    assert len(set(zip(names, merged.labels.tolist(), strict=True))) == 6
    assert TrainingFaces([faces, other], min_images=7, merge="names").classes == 2, "6 and 3 images of both together"


@given(count=st.integers(1, 60), batch=st.integers(1, 20), seed=st.integers(0, 2**32 - 1), epoch=st.integers(1, 1000))
def test_an_epoch_shows_every_face_at_most_once_in_full_batches(count: int, batch: int, seed: int, epoch: int) -> None:
    sampler = ShuffledSampler(np.arange(count), batch, seed)
    order = list(sampler.batches(epoch))
    shown = np.concatenate(order) if order else np.array([])
    assert len(order) == count // batch
    assert all(len(indices) == batch for indices in order)
    assert len(np.unique(shown)) == len(shown)
    start = len(order) // 2
    rest = list(sampler.batches(epoch, start))
    assert all((a == b).all() for a, b in zip(order[start:], rest, strict=True))


def test_orders_and_flips_differ_between_epochs_and_seeds() -> None:
    sampler = {seed: ShuffledSampler(np.arange(50), 50, seed) for seed in (1, 2)}
    orders = {tuple(next(sampler[seed].batches(epoch))) for seed in (1, 2) for epoch in (1, 2)}
    flips = {augmentation.draw_flips(50, seed, epoch).tobytes() for seed in (1, 2) for epoch in (1, 2)}
    assert len(orders) == len(flips) == 4
    assert 0.45 < augmentation.draw_flips(10_000, 1, 1).mean() < 0.55


def test_mirroring_touches_only_the_chosen() -> None:
    images = torch.arange(2 * 2 * 3 * 3).reshape(2, 2, 3, 3)
    mirrored = augmentation.mirror_faces(images, torch.tensor([False, True]))
    assert torch.equal(mirrored[0], images[0])
    assert torch.equal(mirrored[1], images[1][:, [2, 1, 0]])


def test_multistep_drops_at_its_milestones_after_a_linear_warm_up() -> None:
    schedule = Schedule(name="multistep", milestones=(2, 3.5), factor=0.1, warmup=1.0)
    values = [learning_rate(schedule, 0.4, 5, position) for position in (0.25, 0.5, 1.0, 1.99, 2.0, 3.49, 3.5, 4.9)]
    assert values == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_cosine_falls_from_its_peak_to_zero() -> None:
    schedule = Schedule(name="cosine", warmup=0.0)
    assert learning_rate(schedule, 0.4, 10, 0.0) == pytest.approx(0.4)
    assert learning_rate(schedule, 0.4, 10, 5.0) == pytest.approx(0.2)
    assert learning_rate(schedule, 0.4, 10, 10.0) == pytest.approx(0.0)
    assert learning_rate(schedule, 0.4, 10, 2.5) == pytest.approx(0.2 * (1 + math.cos(math.pi / 4)))


def test_the_schedule_does_not_depend_on_the_batch(faces) -> None:
    schedule = Schedule(name="multistep", milestones=(1, 2), factor=0.5, warmup=0.0)
    small, large = (fit([faces], epochs=3, batch=batch, schedule=schedule).history for batch in (4, 12))
    assert [e.lr for e in small] == [e.lr for e in large] == [0.05, 0.025, 0.0125]
