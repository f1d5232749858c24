"""The training loop, `fit`: face sets and a recipe in, a trained network and its history out. Its checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import Any, NoReturn

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
from facerec.training.loggers import EVERY, live_curves
from facerec.training.prefetching import Batch, ahead
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

Unread = list[tuple[Tensor, float]]
"""Metrics (3,) of steps that were not read yet, on the device, and their learning rates."""


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
        "validation": [path and Path(path) for path in (recipe.validation.faces, recipe.validation.pairs)],
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
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when metrics are read next (`steps_between_readings`).
    """
    faces = find_faces(sets, recipe)
    distributed.local_batch(recipe.batch, recipe.accumulate)
    teacher = find_teacher(faces, recipe, device)
    sampler = create_sampler(faces, recipe)
    images, epoch_steps, wanted = recipe.batch, len(sampler), recipe.validation
    steps, every = recipe.epochs * epoch_steps, steps_between_readings(device)
    with reproducible(recipe, device), reused_memory(), delay_interrupts() as asked_to_stop, bar() as progress:
        backbone, head = initial_weights(faces, recipe, device, teacher)
        validator = Validator(backbone, device, steps, wanted.faces, wanted.sets, wanted.every, wanted.pairs)
        state = initial_state(backbone.network, head, recipe, device)
        _say_begun(progress, faces, device)
        _resume(state, checkpoints, epoch_steps, progress)
        shown = progress.add_task("training", total=steps * images, completed=state.step * images, unit="images")
        with live_curves(images, state.step) as logger:
            made: Unread = []
            loaded = load_batches(faces, sampler, recipe, backbone.preprocessing, device, state.step, teacher)
            for pixels, labels, lr, targets in ahead(loaded, device):
                hold(state, recipe.freeze, state.step // epoch_steps)
                made.append((update(state, pixels, labels, lr, recipe, targets), lr))
                ends = state.step % epoch_steps == 0
                if not (ends or state.step % every == 0 or validator.due(state.step)):
                    continue
                state.average_buffers()
                stop, keep = distributed.any_of(asked_to_stop(), checkpoints is not None and (ends or checkpoints.due))
                keep = keep or (stop and checkpoints is not None)
                metrics = _read_metrics(state, made, epoch_steps, checkpoints, keep)
                progress.update(
                    shown, completed=state.step * images, description=_title(state.step, epoch_steps, metrics)
                )
                logger.log_step(state.step, {**dict(zip(METRICS, metrics, strict=True)), "lr": lr})
                if validator.due(state.step):
                    state.add_validation(validator(state.result))
                    logger.log_validation(state.step, state.validations[-1].accuracy)
                if checkpoints is not None and keep:
                    checkpoints.write(state.content())
                if stop:
                    _stop(progress, _position(state.step, epoch_steps), checkpoints)
        if checkpoints is not None:
            checkpoints.finish()
    return _finish(state, backbone, faces)


def steps_between_readings(device: torch.device) -> int:
    """Steps after which metrics are read: at once on a CPU; a GPU would have to wait for the host each time.

    Checkpoints, Ctrl-C and a loss that is not finite are looked at then too.
    """
    return 1 if device.type == "cpu" else EVERY


def find_faces(sets: FaceSets, recipe: Train) -> TrainingFaces:
    """The faces that the recipe trains on; ParamsError if they are too few."""
    faces = TrainingFaces(sets, recipe.min_images, recipe.exclude, recipe.head_weight > 0, recipe.merge)
    faces.check(recipe.batch)
    return faces


def create_sampler(faces: TrainingFaces, recipe: Train) -> Sampler:
    """The sampler of the recipe; ParamsError if these faces cannot fill a batch."""
    if recipe.sampler.name == "balanced":
        return BalancedSampler(faces, recipe.batch, recipe.sampler.images, recipe.seed)
    return ShuffledSampler(faces.usable, recipe.batch, recipe.seed)


def find_teacher(faces: TrainingFaces, recipe: Train, device: torch.device) -> Teacher | None:
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
    """The network of `train.init`, with its own preprocessing; ParamsError if the recipe describes another network.

    Of a network with all of its blocks, as many are taken as `train.backbone.depth` says.
    """
    stored = load_network(path)
    if (stored.name, stored.dim) != (recipe.backbone.name, recipe.backbone.dim):
        raise ParamsError(
            f"train.init {path} is {stored.name} with {stored.dim} outputs, but train.backbone says "
            f"{recipe.backbone.name} with {recipe.backbone.dim}; make them agree."
        )
    for shards in faces.sets:
        stored.preprocessing.check(shards.meta)
    wanted, given = recipe.backbone.depth, stored.options.get("depth", 1.0)
    if wanted in (None, given):
        return stored
    network: Any = stored.network
    if given != 1 or "depth" not in backbones.backbone_options(stored.name):
        kind = f"has {given:g} of its blocks" if given != 1 else f"is {stored.name}, whose blocks are all needed"
        raise ParamsError(f"train.init {path} {kind}; leave out train.backbone.depth.")
    network.shorten(wanted)
    return replace(stored, options={**stored.options, "depth": wanted})


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
    teacher: Teacher | None = None,
) -> Iterator[Batch]:
    """This process's part of each batch from step `first` on.

    Faces are decoded ahead by threads and augmented on the device.
    """
    for epoch in range(first // len(sampler) + 1, recipe.epochs + 1):
        offset = first % len(sampler) if epoch == first // len(sampler) + 1 else 0
        rows = (distributed.local_rows(each, recipe.accumulate) for each in sampler.batches(epoch, offset))
        order, ahead = tee(rows)  # drawn as they are decoded: a whole epoch of millions would take a minute
        draws = augmentation.draw_augmentation(len(faces), recipe, epoch)
        decoded = zip(order, faces.batches(ahead), strict=True)
        for number, (indices, pixels) in enumerate(decoded, offset):
            images = _to_device(pixels, device)
            images = augmentation.augment_faces(images, draws, indices, recipe.augment)
            labels = _to_device(faces.labels[indices], device)
            position = epoch - 1 + (number + 0.5) / len(sampler)  # the middle of the batch
            lr = learning_rate(recipe.schedule, recipe.lr, recipe.epochs, position, len(sampler))
            targets = _to_device(teacher.targets(indices), device) if teacher else None
            yield preprocessing.apply(images), labels, lr, targets


def _to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; a GPU copies it while the host continues."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _position(step: int, epoch_steps: int) -> str:
    return f"epoch {step // epoch_steps + 1}, batch {step % epoch_steps + 1} of {epoch_steps}"


def _title(step: int, epoch_steps: int, metrics: Sequence[float]) -> str:
    return f"epoch {-(-step // epoch_steps)}, loss {metrics[0]:.3f}"


def _say_begun(progress: Progress, faces: TrainingFaces, device: torch.device) -> None:
    where = describe_device(device) if distributed.world() == 1 else f"{distributed.world()} processes"
    _say(progress, f"training on {len(faces.usable):,} faces of {faces.classes:,} identities, {where}")
    if faces.reduced:
        height, width = faces.size
        _say(progress, f"{', '.join(faces.reduced)}: reduced to {height}x{width}, the size of the smallest set")


def _stop(progress: Progress, place: str, checkpoints: Checkpoints | None) -> NoReturn:
    """Say where training stopped, and end it as Ctrl-C does."""
    how = "it keeps no checkpoints"
    if checkpoints is not None:
        checkpoints.finish()
        how = "a checkpoint was written, the same command goes on there"
    _say(progress, f"training stopped before {place}; {how}")
    raise KeyboardInterrupt


def _say(progress: Progress, sentence: str) -> None:
    progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _read_metrics(
    state: TrainingState, made: Unread, epoch_steps: int, checkpoints: Checkpoints | None, keep: bool
) -> list[float]:
    """Record the metrics of the steps `made` and forget them; those of the last one.

    Raises TrainingError for the first that is not finite, or if weights that are to be kept are not.
    """
    metrics = torch.stack([each for each, _ in made]).cpu()
    finite = metrics.isfinite().all(1).tolist()
    if distributed.any_of(not all(finite) or (keep and not state.finite))[0]:
        place = finite.index(False) if False in finite else len(made) - 1
        raise _divergence(state.step - len(made) + place, made[place][1], epoch_steps, checkpoints)
    state.add_metrics(metrics, made[-1][1], epoch_steps)
    made.clear()
    last: list[float] = metrics[-1].tolist()
    return last


def _divergence(step: int, lr: float, epoch_steps: int, checkpoints: Checkpoints | None) -> TrainingError:
    where = _position(step, epoch_steps)
    kept = f" The last good state is kept in {checkpoints.folder}." if checkpoints else ""
    return TrainingError(
        f"The loss is no longer a finite number in {where} (learning rate {lr:.4g}); "
        f"lower train.lr, lengthen train.schedule.warmup or lower train.head.scale.{kept}"
    )
