"""The training loop, `fit`: face sets and a recipe in, a trained network and its history out. Its checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from facerec import backbones, distributed, heads
from facerec.backbones import storage
from facerec.backbones.storage import StoredBackbone
from facerec.core import FacerecError, ParamsError, bar, describe_device, reused_memory, work_folder
from facerec.embedding import load_network
from facerec.heads import Head
from facerec.params import Train
from facerec.store.model_metadata import Preprocessing, merged_training_sets
from facerec.training import augmentation
from facerec.training.checkpoints import Checkpoints, delay_interrupts
from facerec.training.data import BalancedSampler, FaceSets, Sampler, ShuffledSampler, TrainingFaces
from facerec.training.distillation import Teacher
from facerec.training.loggers import live_curves
from facerec.training.step import (
    METRICS,
    Epoch,
    NoHead,
    TrainingState,
    ValidationScores,
    hold,
    initial_state,
    learning_rate,
    reproducible,
    update,
)
from facerec.training.validation import Validator


class TrainingError(FacerecError):
    """Training cannot continue; the message says what to try."""


@dataclass(frozen=True)
class Trained:
    """The result of a training, on the device.

    Attributes:
        backbone: the network after the last step.
        best: the network at the best of the `validations`, on rank 0; without validations the last one.
        head: the loss, with its class centres, if it has any.
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


@contextmanager
def keep_checkpoints(sets: FaceSets, recipe: Train) -> Iterator[Checkpoints]:
    """The checkpoints of training `recipe` on `sets`; they are removed if the block ends without an error.

    Write the trained weights inside the block. Rank 0 chooses the folder, which all processes must see, and removes it.
    """
    if distributed.rank() > 0:
        yield Checkpoints(Path(distributed.broadcast_text("")))
        return
    inputs = {
        "faces": [shards.path for shards in sets],
        "init": recipe.init and Path(recipe.init),
        "exclude": recipe.exclude and Path(recipe.exclude),
        "teacher": recipe.teacher and Path(recipe.teacher),
        "validation": recipe.validation.faces and Path(recipe.validation.faces),
        "recipe": recipe.model_dump(mode="json", exclude={"init", "exclude", "teacher"}),
    }
    with work_folder("train", inputs) as folder:
        distributed.broadcast_text(str(folder))
        yield Checkpoints(folder)


def fit(sets: FaceSets, recipe: Train, device: torch.device, checkpoints: Checkpoints | None = None) -> Trained:
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
    faces = TrainingFaces(sets, recipe.min_images, recipe.exclude, labelled=recipe.head_weight > 0)
    faces.check(recipe.batch)
    distributed.local_batch(recipe.batch, recipe.accumulate)
    teacher = _find_teacher(faces, recipe, device)
    sampler = create_sampler(faces, recipe)
    images, epoch_steps, wanted = recipe.batch, len(sampler), recipe.validation
    steps = recipe.epochs * epoch_steps
    fixed = reproducible(recipe.seed, recipe.threads)
    with fixed, reused_memory(), delay_interrupts() as asked_to_stop, bar() as progress:
        backbone, head = initial_weights(faces, recipe, device, teacher)
        validator = Validator(backbone, device, steps, wanted.faces, wanted.sets, wanted.every)
        state = initial_state(backbone.network, head, recipe, device)
        where = describe_device(device) if distributed.world() == 1 else f"{distributed.world()} processes"
        _say(progress, f"training on {len(faces.usable):,} faces of {faces.classes:,} identities, {where}")
        _resume(state, checkpoints, epoch_steps, progress)
        shown = progress.add_task("training", total=steps * images, completed=state.step * images, unit="images")
        with live_curves(images, state.step) as logger:
            batches = load_batches(faces, sampler, recipe, backbone.preprocessing, device, state.step)
            for indices, pixels, labels, lr in batches:
                hold(state, recipe.freeze, state.step // epoch_steps)
                targets = _to_device(teacher.targets(indices), device) if teacher else None
                metrics = update(state, pixels, labels, lr, recipe, targets)
                ends = (state.step + 1) % epoch_steps == 0
                stop, keep = distributed.any_of(asked_to_stop(), checkpoints is not None and (ends or checkpoints.due))
                keep = keep or (stop and checkpoints is not None)
                if distributed.any_of(not metrics.isfinite().all() or (keep and not state.finite))[0]:
                    raise _divergence(state, lr, epoch_steps, checkpoints)
                state.add_step(metrics, lr, epoch_steps)
                text = f"epoch {-(-state.step // epoch_steps)}, loss {float(metrics[0]):.3f}"
                progress.update(shown, advance=images, description=text)
                logger.log_step(state.step, {**dict(zip(METRICS, metrics.tolist(), strict=True)), "lr": lr})
                if validator.due(state.step):
                    state.add_validation(validator(state.result))
                    logger.log_validation(state.step, state.validations[-1].accuracy)
                if checkpoints is not None and keep:
                    checkpoints.write(state.content())
                if stop:
                    kept = "a checkpoint was written, the same command goes on there"
                    kept = kept if checkpoints else "it keeps no checkpoints"
                    _say(progress, f"training stopped before {_position(state.step, epoch_steps)}; {kept}")
                    raise KeyboardInterrupt
    return _finish(state, backbone, faces)


def create_sampler(faces: TrainingFaces, recipe: Train) -> Sampler:
    """The sampler of the recipe; ParamsError if these faces cannot fill a batch."""
    if recipe.sampler.name == "balanced":
        return BalancedSampler(faces, recipe.batch, recipe.sampler.images, recipe.seed)
    return ShuffledSampler(faces.usable, recipe.batch, recipe.seed)


def _find_teacher(faces: TrainingFaces, recipe: Train, device: torch.device) -> Teacher | None:
    """The teacher of the recipe with its targets; ParamsError if the network would give others."""
    if recipe.teacher is None:
        return None
    teacher, dim = Teacher(recipe.teacher, faces.sets, device), recipe.backbone.dim
    if teacher.dim != dim:
        raise ParamsError(
            f"The embeddings of train.teacher {recipe.teacher} have {teacher.dim} numbers and those of train.backbone "
            f"{dim}; set train.backbone.dim to {teacher.dim}."
        )
    return teacher


def initial_weights(
    faces: TrainingFaces, recipe: Train, device: torch.device, teacher: Teacher | None = None
) -> tuple[StoredBackbone, Head]:
    """Network and head for these faces, on the device: the network of `train.init`, or random weights.

    Random weights come from torch's global random state.
    """
    backbone = _new_backbone(faces, recipe) if recipe.init is None else _pretrained_backbone(faces, recipe, recipe.init)
    head = _new_head(faces.classes, recipe)
    # Faces arrive with channels last; kernels stored the same way are faster on CPU and GPU.
    backbone.network.to(device).to(memory_format=torch.channels_last).train()
    distributed.broadcast_module(backbone.network)
    seen = backbone.trained_further(faces.rendered)
    if teacher is not None:  # it passes on what it has learnt from its own sets
        before = None if teacher.trained_on is None else seen.trained_on
        seen = replace(seen, trained_on=merged_training_sets(before, teacher.trained_on or ()))
    return seen, head.to(device)


def _new_head(classes: int, recipe: Train) -> Head:
    """The recipe's head, spread over the processes; where its loss has no weight, none."""
    if recipe.head_weight == 0:
        return NoHead()
    wanted, kind = recipe.head, heads.HEADS[recipe.head.name]
    if (wanted.rate < 1 or wanted.chunked) and not heads.is_margin_head(kind):
        key = "rate below 1" if wanted.rate < 1 else "chunked"
        raise ParamsError(f"train.head.{key} is for heads with a margin on the own class, not {wanted.name}.")
    options = wanted.model_dump(include=set(heads.head_options(wanted.name)), exclude_none=True)
    head = kind(recipe.backbone.dim, heads.classes_held(kind, classes), **options)
    return heads.spread_head(head, classes, wanted.rate, wanted.chunked, recipe.seed)


def _new_backbone(faces: TrainingFaces, recipe: Train) -> StoredBackbone:
    preprocessing = Preprocessing(size=faces.size, template=faces.template, mean=recipe.mean, std=recipe.std)
    known = set(backbones.backbone_options(recipe.backbone.name))
    options = recipe.backbone.model_dump(include=known, exclude_none=True, exclude={"name", "dim"})
    return storage.create_backbone(recipe.backbone.name, recipe.backbone.dim, options, preprocessing)


def _pretrained_backbone(faces: TrainingFaces, recipe: Train, path: str) -> StoredBackbone:
    """The network of `train.init`, with its own preprocessing; ParamsError if the recipe describes another network."""
    stored = load_network(path)
    if (stored.name, stored.dim) != (recipe.backbone.name, recipe.backbone.dim):
        raise ParamsError(
            f"train.init {path} is {stored.name} with {stored.dim} outputs, but train.backbone says "
            f"{recipe.backbone.name} with {recipe.backbone.dim}; make them agree."
        )
    for shards in faces.sets:
        stored.preprocessing.check(shards.meta)
    return stored


def _finish(state: TrainingState, backbone: StoredBackbone, faces: TrainingFaces) -> Trained:
    """The last and the best network, ready to embed."""
    last = best = replace(backbone, network=state.result.eval())
    if state.best is not None:
        best = replace(last, network=copy.deepcopy(state.result))
        best.network.load_state_dict(state.best)
    validations = tuple(state.validations)
    return Trained(last, best, state.head, tuple(state.history), validations, len(faces.usable), faces.classes)


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
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, float]]:
    """This process's part of each batch from step `first` on: indices of the faces, input of the network, labels, and
    the learning rate.

    Faces are decoded ahead by threads and augmented on the device.
    """
    for epoch in range(first // len(sampler) + 1, recipe.epochs + 1):
        offset = first % len(sampler) if epoch == first // len(sampler) + 1 else 0
        order = [distributed.local_rows(each, recipe.accumulate) for each in sampler.batches(epoch, offset)]
        draws = augmentation.draw_augmentation(len(faces), recipe, epoch)
        decoded = zip(order, faces.batches(order), strict=True)
        for number, (indices, pixels) in enumerate(decoded, offset):
            images = _to_device(pixels, device)
            images = augmentation.augment_faces(images, draws, indices, recipe.augment)
            position = epoch - 1 + (number + 0.5) / len(sampler)  # the middle of the batch
            lr = learning_rate(recipe.schedule, recipe.lr, recipe.epochs, position, len(sampler))
            yield indices, preprocessing.apply(images), _to_device(faces.labels[indices], device), lr


def _to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; a GPU copies it while the host continues."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _position(step: int, epoch_steps: int) -> str:
    return f"epoch {step // epoch_steps + 1}, batch {step % epoch_steps + 1} of {epoch_steps}"


def _say(progress: Progress, sentence: str) -> None:
    progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _divergence(state: TrainingState, lr: float, epoch_steps: int, checkpoints: Checkpoints | None) -> TrainingError:
    kept = f" The last good state is kept in {checkpoints.folder}." if checkpoints else ""
    return TrainingError(
        f"The loss is no longer a finite number in {_position(state.step, epoch_steps)} (learning rate {lr:.4g}); "
        f"lower train.lr, lengthen train.schedule.warmup or lower train.head.scale.{kept}"
    )
