"""The training loop, `fit`: face sets and a recipe in, a trained network and its history out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from facerec import backbones, distributed, heads
from facerec.backbones import storage
from facerec.backbones.storage import StoredBackbone
from facerec.core import FacerecError, ParamsError, bar, describe_device
from facerec.distributed import GradientSum
from facerec.heads import Head
from facerec.params import Train
from facerec.store.model_metadata import Preprocessing
from facerec.store.shards import Shards
from facerec.training import augmentation, data, validation
from facerec.training.checkpoints import Checkpoints, delay_interrupts
from facerec.training.data import Sampler, TrainingFaces, add_training_sets
from facerec.training.loggers import live_curves
from facerec.training.step import (
    METRICS,
    Batch,
    Epoch,
    TrainingState,
    ValidationScores,
    initial_state,
    learning_rate,
    reproducible,
    update,
)


class TrainingError(FacerecError):
    """Training cannot continue; the message says what to try."""


@dataclass(frozen=True)
class Trained:
    """The result of a training, on the device.

    Attributes:
        backbone: the network after the last step.
        best: the network at the best of the `validations`, on rank 0; without validations the last one.
        head: the loss, with its class centres.
        history: metrics of each epoch.
        validations: accuracies on the validation benchmarks.
        images: number of training faces.
        identities: number of classes.
    """

    backbone: StoredBackbone
    best: StoredBackbone
    head: nn.Module
    history: tuple[Epoch, ...]
    validations: tuple[ValidationScores, ...]
    images: int
    identities: int


def fit(sets: Sequence[Shards], recipe: Train, device: torch.device, checkpoints: Checkpoints | None = None) -> Trained:
    """Train a network by `recipe` on face sets.

    Equal arguments give equal bits on one machine with the same number of processes. If processes have joined
    (`facerec.distributed`), all must call this, and each takes a part of every batch.

    Args:
        sets: face shards; the identities of each set are its own.
        recipe: the parameters `train`.
        device: where to train.
        checkpoints: where to save progress; an earlier call that stopped is continued, to the same bits.

    Raises:
        ParamsError: the sets are too small for the recipe.
        TrainingError: the loss is no longer finite.
        FormatError, ImageError: faces that cannot be used.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, at the end of a step.
    """
    faces = TrainingFaces(sets, recipe.min_images)
    faces.check(recipe.batch)
    distributed.local_batch(recipe.batch, recipe.accumulate)
    sampler = data.create_sampler(faces, recipe)
    with reproducible(recipe.seed), delay_interrupts() as asked_to_stop, bar() as progress:
        fresh, head = initial_weights(faces, recipe, device)
        backbone = add_training_sets(fresh, sets)
        validator = validation.create_validator(recipe, backbone, recipe.epochs * len(sampler))
        state = initial_state(backbone, head, recipe, device)
        _say(progress, f"training on {_describe(faces, device)}")
        _resume(state, checkpoints, len(sampler), progress)
        network = torch.compile(backbone.network) if recipe.compile else backbone.network
        summed = GradientSum(backbone.network.parameters())
        shown = _StepProgress(progress, recipe, state, len(sampler))
        with live_curves(recipe.batch, state.step) as logger:
            for batch in load_batches(faces, sampler, recipe, backbone.preprocessing, device, state.step):
                metrics = update(state, batch, recipe, network, summed)
                ends = (state.step + 1) % len(sampler) == 0
                stop, keep = distributed.any_of(asked_to_stop(), checkpoints is not None and (ends or checkpoints.due))
                keep = keep or (stop and checkpoints is not None)
                if distributed.any_of(not metrics.isfinite().all() or (keep and not state.finite))[0]:
                    raise _divergence(state, batch.lr, len(sampler), checkpoints)
                state.add_step(metrics, batch.lr, len(sampler))
                shown.advance(state, float(metrics[0]))
                logger.log_step(state.step, {**dict(zip(METRICS, metrics.tolist(), strict=True)), "lr": batch.lr})
                if validator.due(state.step):
                    state.add_validation(validator(backbone, state.result, device))
                    logger.log_validation(state.step, state.validations[-1].accuracy)
                if checkpoints is not None and keep:
                    checkpoints.write(state.content())
                if stop:
                    _say(progress, _describe_stop(state, checkpoints, len(sampler)))
                    raise KeyboardInterrupt
    return _finish(state, head, faces)


def initial_weights(faces: TrainingFaces, recipe: Train, device: torch.device) -> tuple[StoredBackbone, Head]:
    """Network and head for these faces, on the device: the network of `train.init`, or random weights.

    Random weights come from torch's global random state.
    """
    backbone = _new_backbone(faces, recipe) if recipe.init is None else _pretrained_backbone(faces, recipe, recipe.init)
    head = _new_head(faces.classes, recipe)
    # Faces arrive with channels last; kernels stored the same way are faster on CPU and GPU.
    backbone.network.to(device).to(memory_format=torch.channels_last).train()
    distributed.broadcast_module(backbone.network)
    return backbone, head.to(device)


def _new_head(classes: int, recipe: Train) -> Head:
    """The recipe's head, spread over the processes."""
    wanted, kind = recipe.head, heads.HEADS[recipe.head.name]
    if (wanted.rate < 1 or wanted.lean) and not heads.is_margin_head(kind):
        key = "rate below 1" if wanted.rate < 1 else "lean"
        raise ParamsError(f"train.head.{key} is for heads with a margin on the own class, not {wanted.name}.")
    options = wanted.model_dump(include=set(heads.head_options(wanted.name)), exclude_none=True)
    head = kind(recipe.backbone.dim, heads.classes_held(kind, classes), **options)
    return heads.spread_head(head, classes, wanted.rate, wanted.lean, recipe.seed)


def _new_backbone(faces: TrainingFaces, recipe: Train) -> StoredBackbone:
    preprocessing = Preprocessing(size=faces.size, template=faces.template, mean=recipe.mean, std=recipe.std)
    known = set(backbones.backbone_options(recipe.backbone.name))
    options = recipe.backbone.model_dump(include=known, exclude_none=True, exclude={"name", "dim"})
    return storage.create_backbone(recipe.backbone.name, recipe.backbone.dim, options, preprocessing)


def _pretrained_backbone(faces: TrainingFaces, recipe: Train, path: str) -> StoredBackbone:
    """The network of `train.init`, with its own preprocessing; ParamsError if the recipe describes another network."""
    stored = storage.load_backbone(path)
    if (stored.name, stored.dim) != (recipe.backbone.name, recipe.backbone.dim):
        raise ParamsError(
            f"train.init {path} is {stored.name} with {stored.dim} outputs, but train.backbone says "
            f"{recipe.backbone.name} with {recipe.backbone.dim}; make them agree."
        )
    for shards in faces.sets:
        stored.preprocessing.check(shards.meta)
    return stored


def _finish(state: TrainingState, head: nn.Module, faces: TrainingFaces) -> Trained:
    """The last and the best network, ready to embed."""
    state.result.eval()
    last = replace(state.backbone, network=state.result)
    best = last
    if state.best is not None:
        best = replace(last, network=copy.deepcopy(state.result))
        best.network.load_state_dict(state.best)
    validations = tuple(state.validations)
    return Trained(last, best, head, tuple(state.history), validations, len(faces.usable), faces.classes)


def _resume(state: TrainingState, checkpoints: Checkpoints | None, epoch_steps: int, progress: Progress) -> None:
    """Restore the last checkpoint, if there is one, and say so."""
    content = checkpoints.read() if checkpoints else None
    if content is not None:
        state.restore(content)
        _say(progress, f"training resumes at {_position(state.step, epoch_steps)}")
    elif checkpoints and checkpoints.others:
        _say(progress, "training starts anew: its checkpoints are of other data, parameters or code")
    if distributed.broadcast_text(str(state.step)) != str(state.step):
        raise distributed.DistributedError(
            "This process does not find the checkpoint of the first one; put FACEREC_SCRATCH where all machines see it."
        )


def load_batches(
    faces: TrainingFaces,
    sampler: Sampler,
    recipe: Train,
    preprocessing: Preprocessing,
    device: torch.device,
    first: int,
) -> Iterator[Batch]:
    """This process's part of each batch from step `first` on, decoded ahead by threads, augmented on the device."""
    for epoch in range(first // len(sampler) + 1, recipe.epochs + 1):
        offset = first % len(sampler) if epoch == first // len(sampler) + 1 else 0
        order = [distributed.local_rows(each, recipe.accumulate) for each in sampler.batches(epoch, offset)]
        draws = augmentation.draw_augmentation(len(faces), recipe, epoch)
        decoded = zip(order, faces.batches(order), strict=True)
        for number, (indices, pixels) in enumerate(decoded, offset):
            images = _to_device(pixels, device)
            images = augmentation.augment_faces(images, draws, indices, recipe.augment)
            position = epoch - 1 + (number + 0.5) / len(sampler)  # the middle of the batch
            yield Batch(
                preprocessing.apply(images),
                _to_device(faces.labels[indices], device),
                learning_rate(recipe.schedule, recipe.lr, recipe.epochs, position, len(sampler)),
            )


def _to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; a GPU copies it while the host continues."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class _StepProgress:
    """The progress bar of a training."""

    def __init__(self, progress: Progress, recipe: Train, state: TrainingState, epoch_steps: int) -> None:
        self._progress, self._batch, self._epoch_steps = progress, recipe.batch, epoch_steps
        total = recipe.epochs * epoch_steps * recipe.batch
        done = state.step * recipe.batch
        self._task = progress.add_task("training", total=total, completed=done, unit="images")

    def advance(self, state: TrainingState, loss: float) -> None:
        """Show that a step was made."""
        epoch = -(-state.step // self._epoch_steps)
        text = f"epoch {epoch}, loss {loss:.3f}"
        self._progress.update(self._task, advance=self._batch, description=text)


def _describe(faces: TrainingFaces, device: torch.device) -> str:
    where = describe_device(device) if distributed.world() == 1 else f"{distributed.world()} processes"
    return f"{len(faces.usable):,} faces of {faces.classes:,} identities, {where}"


def _position(step: int, epoch_steps: int) -> str:
    return f"epoch {step // epoch_steps + 1}, batch {step % epoch_steps + 1} of {epoch_steps}"


def _say(progress: Progress, sentence: str) -> None:
    progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _describe_stop(state: TrainingState, checkpoints: Checkpoints | None, epoch_steps: int) -> str:
    place = _position(state.step, epoch_steps)
    if checkpoints is None:
        return f"training stopped before {place}; it keeps no checkpoints"
    return f"training stopped before {place}; a checkpoint was written, the same command goes on there"


def _divergence(state: TrainingState, lr: float, epoch_steps: int, checkpoints: Checkpoints | None) -> TrainingError:
    kept = f" The last good state is kept in {checkpoints.folder}." if checkpoints else ""
    return TrainingError(
        f"The loss is no longer a finite number in {_position(state.step, epoch_steps)} (learning rate {lr:.4g}); "
        f"lower train.lr, lengthen train.schedule.warmup or lower train.head.scale.{kept}"
    )
