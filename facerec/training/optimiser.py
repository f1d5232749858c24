"""SGD or AdamW, with weight decay where the recipe wants it.

As a rule it is on matrices and kernels, not on biases, norms and PReLU slopes. Some recipes decay the layer that
makes the embedding and the class centres more than the rest.
"""

from __future__ import annotations

import math
from collections import defaultdict

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from facerec.params import Schedule, Train

_BETA2 = 0.999


def build_optimiser(network: nn.Module, head: nn.Module, recipe: Train) -> Optimizer:
    """The recipe's optimiser over all parameters that learn, grouped by their decay."""
    groups: dict[float, list[nn.Parameter]] = defaultdict(list)
    inner = [parameter for parameter in network.parameters() if parameter.requires_grad]
    last = [parameter for parameter in inner if parameter.ndim > 1][-1]
    for parameter in inner:
        factor = recipe.output_decay if parameter is last else 1.0
        groups[_decay(parameter, factor, recipe)].append(parameter)
    for parameter in head.parameters():
        groups[_decay(parameter, recipe.head_decay, recipe)].append(parameter)
    described = [{"params": members, "weight_decay": decay} for decay, members in groups.items()]
    if recipe.optimiser == "adamw":
        return AdamW(described, lr=recipe.lr, betas=(recipe.momentum, _BETA2))
    return SGD(described, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def _decay(parameter: nn.Parameter, factor: float, recipe: Train) -> float:
    return recipe.weight_decay * factor if parameter.ndim > 1 or recipe.decay_all else 0.0


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
