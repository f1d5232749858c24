"""SGD with weight decay where it belongs: on matrices and kernels, not on biases, norms and PReLU slopes."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD

from facerec.params import Train


def build(modules: Iterable[nn.Module], recipe: Train) -> SGD:
    """SGD over all parameters of `modules`; those with one dimension are not decayed."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return SGD(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )
