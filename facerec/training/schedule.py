"""Learning rate as a function of the position in training, counted in epochs of images."""

from __future__ import annotations

import math

from facerec.params import Schedule


def rate(schedule: Schedule, peak: float, epochs: int, position: float, steps: int = 1) -> float:
    """Learning rate at `position` (epochs passed, fractions count) of `epochs`, with `peak` its maximum.

    Linear warm-up from zero over `schedule.warmup`, multiplied into the multi-step, polynomial or cosine curve.
    `steps` is the number of batches of an epoch, for schedules that count in steps.
    """
    unit = steps if schedule.unit == "steps" else 1
    warm = min(1.0, unit * position / schedule.warmup) if schedule.warmup > 0 else 1.0
    if schedule.name == "cosine":
        return warm * peak * 0.5 * (1.0 + math.cos(math.pi * position / epochs))
    if schedule.name == "polynomial":
        return float(warm * peak * (1.0 - position / epochs) ** schedule.power)
    passed = sum(unit * position >= milestone for milestone in schedule.milestones)
    return float(warm * peak * schedule.factor**passed)
