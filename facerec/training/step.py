"""One update of the weights by one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from facerec.params import Train
from facerec.training.state import State

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Images (b, 3, h, w) -> embeddings (b, dim)."""

Synchronise: TypeAlias = Callable[[Iterable[nn.Parameter]], None]
"""Called once an update, between the last backward pass and the use of the gradients; may change them in place.

Data-parallel training averages them over its processes here.
"""


@dataclass(frozen=True)
class Batch:
    """Faces ready for the network: images (b, 3, h, w), labels (b,), and the learning rate due."""

    images: Tensor
    labels: Tensor
    lr: float


def alone(parameters: Iterable[nn.Parameter]) -> None:
    """`Synchronise` of a single process: nothing."""


def update(
    state: State,
    batch: Batch,
    recipe: Train,
    network: Network | None = None,
    synchronise: Synchronise = alone,
) -> Tensor:
    """Change weights and optimiser; returns (3,) float64 on the CPU: loss, share classified right, mean norm.

    `network` stands for the state's own where that is wrapped or compiled.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = batch.lr
    state.optimiser.zero_grad(set_to_none=True)
    figures = [
        _backward(network or state.network, state, images, labels, recipe)
        for images, labels in zip(
            batch.images.chunk(recipe.accumulate), batch.labels.chunk(recipe.accumulate), strict=True
        )
    ]
    learning = [each for group in state.optimiser.param_groups for each in group["params"]]
    synchronise(learning)
    state.scaler.unscale_(state.optimiser)
    _clip(learning, recipe)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return torch.stack(figures).mean(0).cpu()


def _backward(network: Network, state: State, images: Tensor, labels: Tensor, recipe: Train) -> Tensor:
    """Add the gradients of one part of a batch; its figures (3,) on the device."""
    precision = getattr(torch, recipe.precision)
    with torch.autocast(images.device.type, precision, enabled=precision is not torch.float32):
        embeddings = network(images)
    loss = state.head(embeddings, labels)
    state.scaler.scale(loss / recipe.accumulate).backward()
    found = embeddings.detach().float()
    right = state.head.accuracy(found, labels)
    return torch.stack([loss.detach().double(), right.double(), found.norm(dim=1).mean().double()])


def _clip(parameters: list[nn.Parameter], recipe: Train) -> None:
    if recipe.clip_value:
        nn.utils.clip_grad_value_(parameters, recipe.clip_value)
    if recipe.clip_norm:
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
