"""Each part of a recipe does what it says: optimisers, decay, schedules, samplers, augmentations, precision."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facerec import training
from facerec.backbones import storage
from facerec.backbones.mobilefacenet import MobileFaceNet
from facerec.core import ParamsError
from facerec.heads import build_head
from facerec.params import Augment, HeadParams, SamplerParams, Schedule, Train
from facerec.store import shards
from facerec.store.model_metadata import Preprocessing
from facerec.training import augmentation, step, trainer
from facerec.training.data import BalancedSampler, TrainingFaces
from facerec.training.step import TrainingState, initial_state, learning_rate, update
from tests.models import TINY, recipe, write_set

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> shards.Shards:
    return write_set(tmp_path_factory.mktemp("sets") / "faces", range(4), photos=6)


def fit(faces: shards.Shards, **changes: object) -> training.Trained:
    return training.fit([faces], recipe(**changes), CPU)


def weights(trained: training.Trained) -> list[torch.Tensor]:
    return list(trained.backbone.network.state_dict().values())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_and_keeps_float32_weights(faces, precision: str) -> None:
    trained = fit(faces, precision=precision, epochs=10, batch=6, head=HeadParams(scale=16.0, margin=0.1))
    # In float16 the first steps only find the scale of the gradients; so few faces make later losses jump.
    assert min(epoch.loss for epoch in trained.history) < trained.history[0].loss / 2
    assert {value.dtype for value in weights(trained)} <= {torch.float32, torch.int64}


def test_adamw_learns(faces) -> None:
    trained = fit(faces, optimiser="adamw", lr=0.005, weight_decay=0.01, epochs=5, batch=6)
    assert trained.history[-1].loss < trained.history[0].loss / 2


class Linear(torch.nn.Module):
    """A network without batch statistics, for which the parts of a batch are as good as the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(12, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def updated(wanted: Train, scale: float = 1.0) -> TrainingState:
    """A small network and its head after one update by a batch of 8."""
    torch.manual_seed(1)
    state = initial_state(Linear(), build_head("arcface", 16, 4, scale=8.0), wanted, CPU)
    update(state, scale * torch.randn(8, 3, 2, 2), torch.arange(8) % 4, wanted.lr, wanted)
    return state


def test_parts_of_a_batch_add_up_to_the_batch() -> None:
    whole, parts = (updated(recipe(accumulate=each)).network.layer.weight for each in (1, 4))
    assert not torch.equal(whole, updated(recipe(lr=0.001)).network.layer.weight)
    assert torch.allclose(whole, parts, atol=1e-7)


def test_gradients_are_clipped_by_norm_or_by_value() -> None:
    def learned(**changes: float) -> torch.Tensor:
        plain = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "lr": 1.0}
        state = updated(recipe(**(plain | changes)))
        parts = [*state.network.parameters(), *state.head.parameters()]
        return torch.cat([part.detach().reshape(-1) for part in parts])

    start = learned(lr=1e-30)
    gradient = start - learned()
    assert torch.allclose(start - learned(clip_norm=0.01), gradient * 0.01 / gradient.norm(), atol=1e-6)
    assert torch.allclose(start - learned(clip_value=0.001), gradient.clamp(-0.001, 0.001), atol=1e-6)


def test_the_kept_network_is_the_moving_average(faces) -> None:
    plain, averaged = fit(faces), fit(faces, average=0.5)
    assert plain.history == averaged.history, "the average changes nothing of the training"
    pairs = list(zip(weights(plain), weights(averaged), strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs)


def decays(wanted: Train) -> dict[tuple[int, ...], set[float]]:
    """Weight decay by the shape of the parameter."""
    network = MobileFaceNet(24, (32, 32), width=0.125)
    found: dict[tuple[int, ...], set[float]] = {}
    for group in step.create_optimiser(network, build_head("arcface", 24, 4), wanted).param_groups:
        for parameter in group["params"]:
            found.setdefault(tuple(parameter.shape), set()).add(group["weight_decay"])
    return found


def test_decay_is_where_the_recipe_wants_it() -> None:
    found = decays(recipe(weight_decay=4e-5, output_decay=10, head_decay=20))
    assert [*found[(4, 24)]] == pytest.approx([8e-4]), "the head"
    assert [*found[(24, 64, 1, 1)]] == pytest.approx([4e-4]), "the layer that makes the embedding"
    assert {0.0} == set.union(*(found[shape] for shape in found if len(shape) == 1))
    rest = [found[shape] for shape in found if len(shape) > 1 and shape not in ((4, 24), (24, 64, 1, 1))]
    assert set.union(*rest) == {4e-5}
    assert set.union(*decays(recipe(weight_decay=5e-4, decay_all=True)).values()) == {5e-4}


def test_polynomial_and_steps() -> None:
    falling = Schedule(name="polynomial", power=2, warmup=0)
    assert [learning_rate(falling, 1.0, 10, position) for position in (0, 5, 10)] == [1.0, 0.25, 0.0]
    by_steps = Schedule(unit="steps", milestones=(30,), warmup=10)
    by_epochs = Schedule(unit="epochs", milestones=(3,), warmup=1)
    for position in (0.05, 0.95, 1.5, 2.95, 3.0, 4.0):
        assert learning_rate(by_steps, 0.1, 5, position, 10) == pytest.approx(
            learning_rate(by_epochs, 0.1, 5, position)
        )


def test_identities_with_few_faces_are_left_out(tmp_path) -> None:
    many = write_set(tmp_path / "many", range(2), photos=5)
    few = write_set(tmp_path / "few", range(2, 4), photos=2)
    merged = TrainingFaces([few, many], min_images=3)
    assert merged.classes == 2
    assert merged.usable.tolist() == list(range(4, 14))
    assert merged.labels.tolist() == [-1] * 4 + [0] * 5 + [1] * 5
    trained = training.fit([few, many], recipe(min_images=3, batch=5), CPU)
    assert trained.head.weight.shape == (2, 16)
    with pytest.raises(ParamsError, match=r"hold 0 in 0 faces after train.min_images left out 14"):
        training.fit([few, many], recipe(min_images=6, batch=5), CPU)


@given(seed=st.integers(0, 2**32 - 1), epoch=st.integers(1, 100), people=st.integers(2, 4))
def test_balanced_batches_hold_as_many_faces_of_each_identity(faces, seed: int, epoch: int, people: int) -> None:
    gathered = TrainingFaces([faces])
    sampler = BalancedSampler(gathered, batch=3 * people, images=3, seed=seed)
    batches = list(sampler.batches(epoch))
    assert len(batches) == len(sampler) == len(faces) // (3 * people)
    for batch in batches:
        labels, counts = np.unique(gathered.labels[batch], return_counts=True)
        assert len(labels) == people
        assert (counts == 3).all()
        assert len(np.unique(batch)) == len(batch)
    for start in range(len(batches)):
        assert all((a == b).all() for a, b in zip(sampler.batches(epoch, start), batches[start:], strict=True))


def test_balanced_batches_repeat_faces_only_where_there_are_too_few(faces) -> None:
    batch = next(BalancedSampler(TrainingFaces([faces]), batch=16, images=8, seed=1).batches(1))
    assert len(np.unique(batch)) < 16
    with pytest.raises(ParamsError, match="2 faces of each of 8 identities, but there are 4"):
        BalancedSampler(TrainingFaces([faces]), batch=16, images=2, seed=1)


class Endless:
    """As many batches as a set of millions has, of which it counts those that were drawn."""

    drawn = 0

    def __len__(self) -> int:
        return 1 << 40

    def batches(self, epoch: int, start: int = 0) -> Iterator[np.ndarray]:
        while True:
            self.drawn += 1
            yield np.arange(4)


def test_batches_are_drawn_as_they_are_used(faces, monkeypatch) -> None:
    monkeypatch.setenv("FACEREC_WORKERS", "2")
    sampler, how = Endless(), Preprocessing()
    loaded = trainer.load_batches(TrainingFaces([faces]), sampler, recipe(batch=4), how, CPU, 0)
    for _ in range(3):
        assert next(loaded)[1].tolist() == [0, 0, 0, 0]
    assert sampler.drawn <= 3 + 2 + 2  # threads and batches ahead
    loaded.close()


def test_triplets_fine_tune_a_trained_network(faces, tmp_path) -> None:
    storage.save_backbone(fit(faces).backbone, tmp_path / "softmax.pt")
    tuned = {
        "init": str(tmp_path / "softmax.pt"),
        "sampler": SamplerParams(name="balanced", images=3),
        "head": HeadParams(name="triplet", margin=0.3),
        "batch": 12,
        "lr": 0.01,
    }
    trained = fit(faces, **tuned)
    before = weights(fit(faces))
    assert max(float((a - b).abs().max()) for a, b in zip(weights(trained), before, strict=True)) > 0
    untouched = fit(faces, **tuned | {"lr": 1e-12, "epochs": 1, "weight_decay": 0.0})
    kernels = [(a, b) for a, b in zip(weights(untouched), before, strict=True) if a.ndim == 4]
    assert all(torch.equal(a, b) for a, b in kernels), "it begins with the weights of the file"
    other = TINY.model_copy(update={"dim": 8})
    with pytest.raises(ParamsError, match=r"mobilefacenet with 16 outputs, but train.backbone says"):
        fit(faces, **tuned | {"backbone": other})


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match="batch 8 must be a multiple of 10"):
        recipe(batch=8, accumulate=2, sampler=SamplerParams(name="balanced", images=5))
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        recipe(momentum=0.0)


def grey_face(value: int = 100) -> torch.Tensor:
    return torch.full((2, 8, 8, 3), value, dtype=torch.uint8)


def test_jitter_follows_its_factors() -> None:
    images = torch.randint(0, 255, (2, 8, 8, 3), dtype=torch.uint8)
    assert torch.allclose(augmentation.jitter_colour(images, torch.ones(2, 3)), images.float(), atol=1e-4)
    brighter = augmentation.jitter_colour(grey_face(), torch.tensor([[1.5, 1.0, 1.0], [4.0, 1.0, 1.0]]))
    assert brighter[0].mean().item() == pytest.approx(150, abs=0.1)
    assert brighter[1].max().item() <= 255
    flat = augmentation.jitter_colour(images, torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]))
    assert flat[0].std().item() == pytest.approx(0, abs=1e-3)
    assert torch.allclose(flat[1, ..., 0], flat[1, ..., 2], atol=1e-4), "no saturation is grey"


def test_crops_and_low_resolution_touch_only_their_share() -> None:
    images = torch.randint(1, 255, (64, 16, 16, 3), dtype=torch.uint8)
    rng = np.random.default_rng(1)
    draws = rng.random((64, 5), np.float32)
    cropped = augmentation.crop_faces(images, draws, 0.5)
    changed = (cropped != images).flatten(1).any(1).numpy()
    assert (changed <= (draws[:, 0] < 0.5)).all()
    assert changed.sum() > 20
    shown = (cropped[changed] > 0).float().mean((1, 2, 3))
    assert 0.1 < shown.min() < 0.5
    assert ((cropped == images) | (cropped == 0)).all()
    reduced = augmentation.lower_resolution(images, draws[:, :2], 0.5)
    worse = (reduced - images).abs().flatten(1).amax(1).numpy() > 1
    assert (worse <= (draws[:, 0] < 0.5)).all()
    assert worse.sum() > 20
    assert reduced.mean().item() == pytest.approx(images.float().mean().item(), abs=3)


def test_faces_are_turned_resized_and_moved_as_opencv_does() -> None:
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 255, (6, 40, 30, 3), np.uint8))
    draws = np.array([[0.1, 1, 0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.9, 0.3, 0.8, 0.1]] * 3, np.float32)
    draws[2:4, 0] = 0.9  # beyond the share of faces that are mapped
    mapped = augmentation.map_faces(images, draws, 0.5).numpy()
    for image, draw, found in zip(images.numpy(), draws, mapped, strict=True):
        wanted = image.astype(np.float32)
        if draw[0] < 0.8:
            half, size, stretch, right, down = 0.5 * (2 * draw[1:] - 1) * [0.176, 0.2, 0.1, 0.12, 0.12]
            angle, size, stretch = 2 * np.arctan(half), 1 + size, 1 + stretch
            turn = [[np.cos(angle) * stretch, -np.sin(angle)], [np.sin(angle), np.cos(angle) / stretch]]
            sides = np.array([30, 40]) / 2
            inner = sides[:, None] * size * np.array(turn) / sides  # from shares of half a side to pixels
            middle = sides - 0.5
            matrix = np.column_stack([inner, middle - inner @ middle + sides * [right, down]])
            wanted = cv2.warpAffine(wanted, matrix, (30, 40), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        np.testing.assert_allclose(found, wanted, atol=8.0)  # OpenCV has 32 steps between pixels
    tilted = augmentation.map_faces(images[:1], draws[:1], 1.0)
    assert tilted[0, 0, -1].sum() == 0, "a corner is black"


def test_draws_are_of_the_seed_and_the_epoch_alone() -> None:
    every = Augment(colour=0.1, low_resolution=0.2, crop=0.3, affine=0.4)
    seen = [
        augmentation.draw_augmentation(50, recipe(seed=seed, augment=every), epoch)
        for seed in (1, 2)
        for epoch in (1, 2)
    ]
    for name in ("flip", "colour", "low_resolution", "crop", "affine"):
        values = [each[name] for each in seen]
        assert len({value.tobytes() for value in values}) == 4
        again = augmentation.draw_augmentation(50, recipe(seed=1, augment=every), 1)[name]
        assert again.tobytes() == values[0].tobytes()
    off = augmentation.draw_augmentation(50, recipe(flip=False), 1)
    assert off == {}
