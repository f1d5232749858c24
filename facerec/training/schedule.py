"""Learning rate as a function of the position in training, counted in epochs."""

from __future__ import annotations

import math

from facerec.params import Schedule


def rate(schedule: Schedule, peak: float, epochs: int, position: float) -> float:
    """Learning rate at `position` (epochs passed, fractions count) of `epochs`, with `peak` its maximum.

    Linear warm-up from zero over `schedule.warmup` epochs, multiplied into the multi-step or cosine
    curve.
    """
    warm = min(1.0, position / schedule.warmup) if schedule.warmup > 0 else 1.0
    if schedule.name == "cosine":
        return warm * peak * 0.5 * (1.0 + math.cos(math.pi * position / epochs))
    passed = sum(position >= milestone for milestone in schedule.milestones)
    return float(warm * peak * schedule.factor**passed)
