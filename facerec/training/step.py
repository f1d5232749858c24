"""One update of the weights by one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from facerec import distributed
from facerec.distributed import GradientSum
from facerec.params import Train
from facerec.training.determinism import reseed
from facerec.training.state import State

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Images (b, 3, h, w) -> embeddings (b, dim)."""


@dataclass(frozen=True)
class Batch:
    """Faces ready for the network: images (b, 3, h, w), labels (b,), and the learning rate due."""

    images: Tensor
    labels: Tensor
    lr: float


def update(
    state: State,
    batch: Batch,
    recipe: Train,
    network: Network | None = None,
    summed: GradientSum | None = None,
) -> Tensor:
    """Change weights and optimiser; returns (3,) float64 on the CPU: loss, share classified right, mean norm.

    `batch` is this process's part of the global batch, the figures are those of all. `network` stands for the
    state's own where that is wrapped or compiled, `summed` adds its gradients over the processes.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = batch.lr
    state.optimiser.zero_grad(set_to_none=True)
    parts = list(
        zip(batch.images.chunk(recipe.accumulate), batch.labels.chunk(recipe.accumulate), strict=True)
    )
    figures = []
    for number, (images, labels) in enumerate(parts, 1):
        if summed is not None and number == len(parts):
            summed.begin()
        figures.append(_backward(network or state.network, state, images, labels, recipe, number))
    if summed is not None:
        summed.finish()
    state.scaler.unscale_(state.optimiser)
    _clip(state, recipe)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    distributed.average_buffers(state.network)
    if state.average is not None:
        state.average.update_parameters(state.network)
    return torch.stack(figures).mean(0).cpu()


def _backward(
    network: Network, state: State, images: Tensor, labels: Tensor, recipe: Train, part: int
) -> Tensor:
    """Add the gradients of a part of a batch; its figures (3,) on the device."""
    precision = getattr(torch, recipe.precision)
    reseed(recipe.seed, state.step, part, 1 + distributed.rank())  # what networks draw differs by process
    with torch.autocast(images.device.type, precision, enabled=precision is not torch.float32):
        embeddings = network(images)
    reseed(recipe.seed, state.step, part, 0)  # what heads draw must not
    loss, right = state.head.measure(embeddings, labels)
    state.scaler.scale(loss / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
    norm = distributed.total(embeddings.detach().float().norm(dim=1).mean()) / distributed.world()
    return torch.stack([loss.detach().double(), right.double(), norm.double()])


def _clip(state: State, recipe: Train) -> None:
    learning = [each for group in state.optimiser.param_groups for each in group["params"]]
    if recipe.clip_value:
        nn.utils.clip_grad_value_(learning, recipe.clip_value)
    if recipe.clip_norm:
        nn.utils.clip_grads_with_norm_(learning, recipe.clip_norm, _norm(state.head.partial(), learning))


def _norm(partial: list[nn.Parameter], learning: list[nn.Parameter]) -> Tensor:
    """Norm of the whole gradient, of which other processes hold parts where parameters are `partial`."""
    apart = {id(parameter) for parameter in partial}
    here, elsewhere = (
        nn.utils.get_total_norm(
            [p.grad for p in learning if p.grad is not None and (id(p) in apart) == chosen]
        )
        for chosen in (False, True)
    )
    return (here.square() + distributed.total(elsewhere.square())).sqrt() if partial else here
