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
from facerec.training.data import FaceSets
from facerec.training.prefetching import Pace, ahead
from facerec.training.step import initial_state, reproducible, update
from facerec.training.trainer import (
    TrainingError,
    create_sampler,
    find_faces,
    find_teacher,
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
        gpu_busy: share of that time that a GPU worked on a step; the rest it waited for the host. None on a CPU.
        memory: bytes: the most that torch held on a GPU, or else the most that this process held.
        steps: number of steps made.
        loss: mean loss of each tenth of the steps.
        accuracy: share of the faces of the last tenth that are nearest to the centre of their own class.
    """

    images_per_second: float
    hours: float
    waiting_for_data: float
    gpu_busy: float | None
    memory: int
    steps: int
    loss: tuple[float, ...]
    accuracy: float


def try_recipe(sets: FaceSets, recipe: Train, device: torch.device, steps: int = STEPS) -> TrialReport:
    """Train `steps` steps by `recipe`; nothing is saved. Processes that have joined share the work, as in `fit`.

    Raises ParamsError for sets that are too small for the recipe, and TrainingError where the loss is not finite.
    """
    faces = find_faces(sets, recipe)
    teacher = find_teacher(faces, recipe, device)
    sampler = create_sampler(faces, recipe)
    steps = min(steps, recipe.epochs * len(sampler))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with reproducible(recipe, device):
        backbone, head = initial_weights(faces, recipe, device, teacher)
        state = initial_state(backbone.network, head, recipe, device)
        loaded = load_batches(faces, sampler, recipe, backbone.preprocessing, device, 0, teacher)
        pace, metrics = Pace(marks=[] if device.type == "cuda" else None), []
        batches = islice(pace.watch(ahead(loaded, device)), steps)
        for pixels, labels, lr, targets in track(batches, "trial", steps, unit="steps"):
            metrics.append(update(state, pixels, labels, lr, recipe, targets))
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
    waiting, busy = told["waiting_for_data"], told.get("gpu_busy")
    return TrialReport(rate, hours, waiting, busy, _memory(device), steps, loss, accuracy)


def _memory(device: torch.device) -> int:
    """The most bytes held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux
