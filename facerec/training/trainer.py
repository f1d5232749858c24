"""The training loop: faces and a recipe in, a network and its history out; read it top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from facerec import backbones, heads
from facerec.backbones.storage import StoredBackbone, create
from facerec.determinism import reproducible
from facerec.errors import FacerecError
from facerec.formats.shards import Shards
from facerec.heads import Head
from facerec.params import Train
from facerec.preprocessing import Preprocessing
from facerec.progress import bar
from facerec.training import augmentation, optimiser
from facerec.training.data import TrainingFaces, batches
from facerec.training.schedule import rate


class TrainingError(FacerecError):
    """Training cannot go on; the message says what to try."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to, over its training batches."""

    epoch: int
    """1-based."""
    loss: float
    """Mean of the head's loss."""
    accuracy: float
    """Share of faces nearest to the centre of their own class, without margin."""
    lr: float
    """Learning rate of the last batch."""


@dataclass(frozen=True)
class Trained:
    """A trained network and its class centres, on the device, and the history of its training."""

    backbone: StoredBackbone
    head: nn.Module
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class Batch:
    """Faces ready for the network: images (b, 3, h, w), labels (b,), and the learning rate due."""

    images: Tensor
    labels: Tensor
    lr: float


def fit(sets: Sequence[Shards], recipe: Train, device: torch.device) -> Trained:
    """Train `recipe` on face sets; equal arguments give equal bits on one machine.

    Raises ParamsError when the sets are too small for the recipe, TrainingError when the loss stops
    being a number, FormatError and ImageError for faces that cannot be used.
    """
    faces = TrainingFaces(sets)
    faces.check(recipe.batch)
    total = recipe.epochs * (len(faces) // recipe.batch) * recipe.batch
    with reproducible(recipe.seed), bar() as progress:
        backbone, head = _start(faces, recipe, device)
        sgd = optimiser.build([backbone.network, head], recipe)
        report = partial(progress.update, progress.add_task("training", total=total, unit="images"))
        history = []
        for epoch in range(1, recipe.epochs + 1):
            data = _batches(faces, recipe, backbone.preprocessing, device, epoch)
            history.append(_train_epoch(backbone.network, head, sgd, data, epoch, report))
    backbone.network.eval()
    return Trained(backbone, head, tuple(history))


def _train_epoch(
    network: nn.Module,
    head: Head,
    sgd: torch.optim.Optimizer,
    data: Iterable[Batch],
    epoch: int,
    report: Callable[..., None],
) -> Epoch:
    """One pass over `data`; `report` moves the progress bar."""
    totals = torch.zeros(2, dtype=torch.float64)
    for number, batch in enumerate(data, 1):
        for group in sgd.param_groups:
            group["lr"] = batch.lr
        totals += step(network, head, sgd, batch)
        if not math.isfinite(totals[0]):
            raise _diverged(epoch, number, batch.lr)
        report(advance=len(batch.labels), description=f"epoch {epoch}, loss {totals[0] / number:.3f}")
    loss, accuracy = (totals / number).tolist()
    return Epoch(epoch, loss, accuracy, batch.lr)


def _start(faces: TrainingFaces, recipe: Train, device: torch.device) -> tuple[StoredBackbone, Head]:
    """A fresh network and head for these faces."""
    preprocessing = Preprocessing(size=faces.size, template=faces.template)
    takes = set(backbones.options_of(recipe.backbone.name))
    options = recipe.backbone.model_dump(include=takes, exclude_none=True, exclude={"name", "dim"})
    backbone = create(recipe.backbone.name, recipe.backbone.dim, options, preprocessing)
    known = set(heads.options_of(recipe.head.name))
    wanted = recipe.head.model_dump(include=known, exclude_none=True)
    head = heads.build(recipe.head.name, recipe.backbone.dim, faces.classes, **wanted)
    # Faces arrive with channels last; kernels stored the same way are faster on CPU and GPU.
    backbone.network.to(device).to(memory_format=torch.channels_last).train()
    return backbone, head.to(device)


def _batches(
    faces: TrainingFaces, recipe: Train, preprocessing: Preprocessing, device: torch.device, epoch: int
) -> Iterator[Batch]:
    """The batches of one epoch (1-based), decoded ahead by threads, augmented on the device."""
    order = list(batches(len(faces), recipe.batch, recipe.seed, epoch))
    flipped = augmentation.flips(len(faces), recipe.seed, epoch)
    for number, (indices, pixels) in enumerate(zip(order, faces.batches(order), strict=True)):
        images = torch.from_numpy(pixels).to(device)
        if recipe.flip:
            images = augmentation.mirror(images, torch.from_numpy(flipped[indices]).to(device))
        position = epoch - 1 + (number + 0.5) / len(order)  # the middle of the batch
        yield Batch(
            preprocessing.apply(images),
            torch.from_numpy(faces.labels[indices]).to(device),
            rate(recipe.schedule, recipe.lr, recipe.epochs, position),
        )


def step(network: nn.Module, head: Head, sgd: torch.optim.Optimizer, batch: Batch) -> Tensor:
    """One update; returns (2,) float64 on the CPU: the loss and the share of faces classified right."""
    embeddings = network(batch.images)
    loss = head(embeddings, batch.labels)
    sgd.zero_grad(set_to_none=True)
    loss.backward()
    sgd.step()
    right = head.accuracy(embeddings.detach(), batch.labels)
    return torch.stack([loss.detach().double(), right]).cpu()


def _diverged(epoch: int, batch: int, lr: float) -> TrainingError:
    return TrainingError(
        f"The loss is no longer a finite number in epoch {epoch}, batch {batch} (learning rate {lr:.4g}); "
        "lower train.lr, lengthen train.schedule.warmup or lower train.head.scale."
    )
