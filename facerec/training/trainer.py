"""The training loop: faces and a recipe in, a network and its history out; read it top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from rich.progress import Progress
from torch import nn

from facerec.backbones.storage import StoredBackbone
from facerec.determinism import reproducible, reseed
from facerec.errors import FacerecError
from facerec.formats.shards import Shards
from facerec.params import Train
from facerec.preprocessing import Preprocessing
from facerec.progress import bar
from facerec.training import augmentation, sampling
from facerec.training.checkpoints import Checkpoints
from facerec.training.data import TrainingFaces
from facerec.training.interruption import put_off
from facerec.training.live import curves
from facerec.training.sampling import Sampler
from facerec.training.schedule import rate
from facerec.training.start import start
from facerec.training.state import FIGURES, Epoch, State, begin
from facerec.training.step import Batch, Synchronise, alone, update


class TrainingError(FacerecError):
    """Training cannot go on; the message says what to try."""


@dataclass(frozen=True)
class Trained:
    """A trained network and its class centres, on the device, and the history of its training."""

    backbone: StoredBackbone
    head: nn.Module
    history: tuple[Epoch, ...]
    images: int
    """Faces it was trained on."""
    identities: int


def fit(
    sets: Sequence[Shards],
    recipe: Train,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    synchronise: Synchronise = alone,
) -> Trained:
    """Train `recipe` on face sets; equal arguments give equal bits on one machine.

    With `checkpoints` it goes on where an earlier call stopped, to the same bits. Raises ParamsError when the
    sets are too small for the recipe, TrainingError when the loss stops being a number, FormatError and
    ImageError for faces that cannot be used, KeyboardInterrupt after Ctrl-C or SIGTERM, at the end of a step.
    """
    faces = TrainingFaces(sets, recipe.min_images)
    faces.check(recipe.batch)
    sampler = sampling.build(faces, recipe)
    with reproducible(recipe.seed), put_off() as asked_to_stop, bar() as progress:
        backbone, head = start(faces, recipe, device)
        state = begin(backbone, head, recipe, device)
        _resume(state, checkpoints, len(sampler), progress)
        network = torch.compile(backbone.network) if recipe.compile else backbone.network
        show = _Shown(progress, recipe, state, len(sampler))
        with curves(recipe.batch, state.step) as drawn:
            for batch in batches(faces, sampler, recipe, backbone.preprocessing, device, state.step):
                reseed(recipe.seed, state.step)
                figures = update(state, batch, recipe, network, synchronise)
                stop, ends = asked_to_stop(), (state.step + 1) % len(sampler) == 0
                keep = checkpoints is not None and (stop or ends or checkpoints.due)
                if not figures.isfinite().all() or (keep and not state.finite):
                    raise _diverged(state, batch.lr, len(sampler), checkpoints)
                state.count(figures, batch.lr, len(sampler))
                show.step(state, float(figures[0]))
                drawn.step(state.step, {**dict(zip(FIGURES, figures.tolist(), strict=True)), "lr": batch.lr})
                if checkpoints is not None and keep:
                    checkpoints.write(state.content())
                if stop:
                    _say(progress, _stopped(state, checkpoints, len(sampler)))
                    raise KeyboardInterrupt
    if state.average is not None:
        backbone = replace(backbone, network=state.average.module)
    backbone.network.eval()
    return Trained(backbone, head, tuple(state.history), len(faces.usable), faces.classes)


def _resume(state: State, checkpoints: Checkpoints | None, epoch_steps: int, progress: Progress) -> None:
    """Go back to the last checkpoint, if there is one, and say so."""
    content = checkpoints.read() if checkpoints else None
    if content is not None:
        state.restore(content)
        _say(progress, f"training resumes at {_place(state.step, epoch_steps)}")
    elif checkpoints and checkpoints.others:
        _say(progress, "training starts anew: its checkpoints are of other data, parameters or code")


def batches(
    faces: TrainingFaces,
    sampler: Sampler,
    recipe: Train,
    preprocessing: Preprocessing,
    device: torch.device,
    first: int,
) -> Iterator[Batch]:
    """The batches from step `first` on, decoded ahead by threads, augmented on the device."""
    for epoch in range(first // len(sampler) + 1, recipe.epochs + 1):
        begun = first % len(sampler) if epoch == first // len(sampler) + 1 else 0
        order = list(sampler.batches(epoch, begun))
        draws = augmentation.draw(len(faces), recipe, epoch)
        decoded = zip(order, faces.batches(order), strict=True)
        for number, (indices, pixels) in enumerate(decoded, begun):
            images = torch.from_numpy(pixels).to(device)
            images = augmentation.apply(images, draws, indices, recipe.augment)
            position = epoch - 1 + (number + 0.5) / len(sampler)  # the middle of the batch
            yield Batch(
                preprocessing.apply(images),
                torch.from_numpy(faces.labels[indices]).to(device),
                rate(recipe.schedule, recipe.lr, recipe.epochs, position, len(sampler)),
            )


class _Shown:
    """The progress bar of a training."""

    def __init__(self, progress: Progress, recipe: Train, state: State, epoch_steps: int) -> None:
        self._progress, self._batch, self._epoch_steps = progress, recipe.batch, epoch_steps
        total = recipe.epochs * epoch_steps * recipe.batch
        self._task = progress.add_task("training", total=total, unit="images")
        done = state.step * recipe.batch
        progress.update(self._task, advance=done, kept=done)

    def step(self, state: State, loss: float) -> None:
        """A step was made."""
        epoch = -(-state.step // self._epoch_steps)
        text = f"epoch {epoch}, loss {loss:.3f}"
        self._progress.update(self._task, advance=self._batch, description=text)


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
