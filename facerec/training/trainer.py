"""The training loop: faces and a recipe in, a network and its history out; read it top to bottom."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from facerec import distributed
from facerec.backbones.storage import StoredBackbone
from facerec.core import FacerecError, bar, settings
from facerec.distributed import GradientSum
from facerec.params import Train
from facerec.store.preprocessing import Preprocessing
from facerec.store.shards import Shards
from facerec.training import augmentation, sampling, validation
from facerec.training.checkpoints import Checkpoints
from facerec.training.data import TrainingFaces, credited
from facerec.training.determinism import reproducible
from facerec.training.interruption import put_off
from facerec.training.loggers import curves
from facerec.training.optimiser import rate
from facerec.training.sampling import Sampler
from facerec.training.start import starting_weights
from facerec.training.state import FIGURES, Epoch, State, Validated, begin
from facerec.training.step import Batch, update


class TrainingError(FacerecError):
    """Training cannot go on; the message says what to try."""


@dataclass(frozen=True)
class Trained:
    """A trained network and its class centres, on the device, and the history of its training.

    `best` is the network as it was at the best of the `validations`, on rank 0; where there are none, the last.
    """

    backbone: StoredBackbone
    best: StoredBackbone
    head: nn.Module
    history: tuple[Epoch, ...]
    validations: tuple[Validated, ...]
    images: int
    """Faces it was trained on."""
    identities: int


def fit(
    sets: Sequence[Shards], recipe: Train, device: torch.device, checkpoints: Checkpoints | None = None
) -> Trained:
    """Train `recipe` on face sets; equal arguments give equal bits on one machine with as many processes.

    With `checkpoints` it goes on where an earlier call stopped, to the same bits. Where processes have joined
    (`facerec.distributed`) each takes a part of every batch, and all must call this. Raises ParamsError when the
    sets are too small for the recipe, TrainingError when the loss stops being a number, FormatError and
    ImageError for faces that cannot be used, KeyboardInterrupt after Ctrl-C or SIGTERM, at the end of a step.
    """
    faces = TrainingFaces(sets, recipe.min_images)
    faces.check(recipe.batch)
    distributed.local_batch(recipe.batch, recipe.accumulate)
    sampler = sampling.build_sampler(faces, recipe)
    with reproducible(recipe.seed), put_off() as asked_to_stop, bar() as progress:
        fresh, head = starting_weights(faces, recipe, device)
        backbone = credited(fresh, sets)
        validator = validation.build_validation(recipe, backbone, recipe.epochs * len(sampler))
        state = begin(backbone, head, recipe, device)
        _say(progress, f"training on {_described(faces, device)}")
        _resume(state, checkpoints, len(sampler), progress)
        network = torch.compile(backbone.network) if recipe.compile else backbone.network
        summed = GradientSum(backbone.network.parameters())
        show = _Shown(progress, recipe, state, len(sampler))
        with curves(recipe.batch, state.step) as drawn:
            for batch in batches(faces, sampler, recipe, backbone.preprocessing, device, state.step):
                figures = update(state, batch, recipe, network, summed)
                ends = (state.step + 1) % len(sampler) == 0
                stop, keep = distributed.any_of(
                    asked_to_stop(), checkpoints is not None and (ends or checkpoints.due)
                )
                keep = keep or (stop and checkpoints is not None)
                if distributed.any_of(not figures.isfinite().all() or (keep and not state.finite))[0]:
                    raise _diverged(state, batch.lr, len(sampler), checkpoints)
                state.count(figures, batch.lr, len(sampler))
                show.step(state, float(figures[0]))
                drawn.step(state.step, {**dict(zip(FIGURES, figures.tolist(), strict=True)), "lr": batch.lr})
                if validator.due(state.step):
                    state.judged(validator(backbone, state.result, device))
                    drawn.judged(state.step, state.validations[-1].accuracy)
                if checkpoints is not None and keep:
                    checkpoints.write(state.content())
                if stop:
                    _say(progress, _stopped(state, checkpoints, len(sampler)))
                    raise KeyboardInterrupt
    return _trained(state, head, faces)


def _trained(state: State, head: nn.Module, faces: TrainingFaces) -> Trained:
    """The networks that are left, ready to embed."""
    state.result.eval()
    last = replace(state.backbone, network=state.result)
    best = last
    if state.best is not None:
        best = replace(last, network=copy.deepcopy(state.result))
        best.network.load_state_dict(state.best)
    validations = tuple(state.validations)
    return Trained(last, best, head, tuple(state.history), validations, len(faces.usable), faces.classes)


def _resume(state: State, checkpoints: Checkpoints | None, epoch_steps: int, progress: Progress) -> None:
    """Go back to the last checkpoint, if there is one, and say so."""
    content = checkpoints.read() if checkpoints else None
    if content is not None:
        state.restore(content)
        _say(progress, f"training resumes at {_place(state.step, epoch_steps)}")
    elif checkpoints and checkpoints.others:
        _say(progress, "training starts anew: its checkpoints are of other data, parameters or code")
    if distributed.share(str(state.step)) != str(state.step):
        raise distributed.DistributedError(
            "This process does not find the checkpoint of the first one; put FACEREC_SCRATCH where all machines see it."
        )


def batches(
    faces: TrainingFaces,
    sampler: Sampler,
    recipe: Train,
    preprocessing: Preprocessing,
    device: torch.device,
    first: int,
) -> Iterator[Batch]:
    """This process's parts of the batches from step `first` on, decoded ahead by threads, augmented on the device."""
    for epoch in range(first // len(sampler) + 1, recipe.epochs + 1):
        begun = first % len(sampler) if epoch == first // len(sampler) + 1 else 0
        order = [distributed.local_rows(each, recipe.accumulate) for each in sampler.batches(epoch, begun)]
        draws = augmentation.draw_augmentation(len(faces), recipe, epoch)
        decoded = zip(order, faces.batches(order), strict=True)
        for number, (indices, pixels) in enumerate(decoded, begun):
            images = _sent(pixels, device)
            images = augmentation.augment(images, draws, indices, recipe.augment)
            position = epoch - 1 + (number + 0.5) / len(sampler)  # the middle of the batch
            yield Batch(
                preprocessing.apply(images),
                _sent(faces.labels[indices], device),
                rate(recipe.schedule, recipe.lr, recipe.epochs, position, len(sampler)),
            )


def _sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; a GPU fetches it while the host goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class _Shown:
    """The progress bar of a training."""

    def __init__(self, progress: Progress, recipe: Train, state: State, epoch_steps: int) -> None:
        self._progress, self._batch, self._epoch_steps = progress, recipe.batch, epoch_steps
        total = recipe.epochs * epoch_steps * recipe.batch
        done = state.step * recipe.batch
        self._task = progress.add_task("training", total=total, completed=done, unit="images")

    def step(self, state: State, loss: float) -> None:
        """A step was made."""
        epoch = -(-state.step // self._epoch_steps)
        text = f"epoch {epoch}, loss {loss:.3f}"
        self._progress.update(self._task, advance=self._batch, description=text)


def _described(faces: TrainingFaces, device: torch.device) -> str:
    where = (
        settings.describe_device(device) if distributed.world() == 1 else f"{distributed.world()} processes"
    )
    return f"{len(faces.usable):,} faces of {faces.classes:,} identities, {where}"


def _place(step: int, epoch_steps: int) -> str:
    return f"epoch {step // epoch_steps + 1}, batch {step % epoch_steps + 1} of {epoch_steps}"


def _say(progress: Progress, sentence: str) -> None:
    progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _stopped(state: State, checkpoints: Checkpoints | None, epoch_steps: int) -> str:
    place = _place(state.step, epoch_steps)
    if checkpoints is None:
        return f"training stopped before {place}; it keeps no checkpoints"
    return f"training stopped before {place}; a checkpoint was written, the same command goes on there"


def _diverged(state: State, lr: float, epoch_steps: int, checkpoints: Checkpoints | None) -> TrainingError:
    kept = f" The last good state is kept in {checkpoints.folder}." if checkpoints else ""
    return TrainingError(
        f"The loss is no longer a finite number in {_place(state.step, epoch_steps)} (learning rate {lr:.4g}); "
        f"lower train.lr, lengthen train.schedule.warmup or lower train.head.scale.{kept}"
    )
