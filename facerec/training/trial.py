"""A trial of a recipe: a few hundred steps, from which one sees how fast it is, what it takes and whether it learns.

    tried = try_recipe(sets, recipe, device)
    print(tried.images_per_second, tried.hours, tried.loss)

Weights are thrown away. The first step, which loads and compiles what later ones use, is not timed.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from itertools import islice

import torch

from facerec.core import track
from facerec.params import Train
from facerec.training.data import FaceSets, TrainingFaces
from facerec.training.prefetching import Pace, ahead
from facerec.training.step import initial_state, reproducible, update
from facerec.training.trainer import (
    TrainingError,
    create_sampler,
    initial_weights,
    load_batches,
    steps_between_readings,
)

STEPS = 200
_SHOWN = 10  # points of the loss's way


@dataclass(frozen=True)
class TrialReport:
    """What a trial found.

    Attributes:
        images_per_second: images trained on a second, after the first steps.
        hours: of the whole training at this rate, without validation.
        waiting_for_data: share of that time that steps waited for faces to be read and decoded; more workers
            (FACEREC_WORKERS) help where it is large.
        memory: bytes: the most that torch held on a GPU, or else the most that this process held.
        steps: number of steps made.
        loss: mean loss of each tenth of the steps.
        accuracy: share of the faces of the last tenth that are nearest to the centre of their own class.
    """

    images_per_second: float
    hours: float
    waiting_for_data: float
    memory: int
    steps: int
    loss: tuple[float, ...]
    accuracy: float


def try_recipe(sets: FaceSets, recipe: Train, device: torch.device, steps: int = STEPS) -> TrialReport:
    """Train `steps` steps by `recipe`; nothing is saved. Processes that have joined share the work, as in `fit`.

    Raises ParamsError for sets that are too small for the recipe, and TrainingError where the loss is not finite.
    """
    faces = TrainingFaces(sets, recipe.min_images, recipe.merge)
    faces.check(recipe.batch)
    sampler = create_sampler(faces, recipe)
    steps = min(steps, recipe.epochs * len(sampler))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with reproducible(recipe, device):
        backbone, head = initial_weights(faces, recipe, device)
        state = initial_state(backbone.network, head, recipe, device)
        loaded = load_batches(faces, sampler, recipe, backbone.preprocessing, device, 0)
        pace, metrics = Pace(), []
        batches = islice(pace.watch(ahead(loaded, device)), steps)
        for pixels, labels, lr in track(batches, "trial", steps, unit="steps"):
            metrics.append(update(state, pixels, labels, lr, recipe))
            if len(metrics) % steps_between_readings(device) == 0:
                metrics[-1].cpu()  # as a training does, so that a GPU is not timed by what is only queued
    found = torch.stack(metrics).cpu()
    if not (finite := found.isfinite().all(1)).all():
        step = int(finite.int().argmin()) + 1
        raise TrainingError(f"The loss is not finite after {step} steps; lower train.lr or head.scale.")
    parts = found.tensor_split(min(_SHOWN, steps))
    loss = tuple(round(float(part[:, 0].mean()), 4) for part in parts)
    told = pace.describe(recipe.batch)
    rate = told["images_per_second"]
    hours = recipe.epochs * len(sampler) * recipe.batch / rate / 3600
    accuracy = float(parts[-1][:, 1].mean())
    return TrialReport(rate, hours, told["waiting_for_data"], _memory(device), steps, loss, accuracy)


def _memory(device: torch.device) -> int:
    """The most bytes held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux
