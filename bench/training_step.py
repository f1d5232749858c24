"""A step of the default training with what makes it quick on a CPU against the same step without: CPU time, in pairs.

Without: torch's own backward pass of PReLU, and a C library that returns freed memory to the system. Network, head,
batch, number of threads and portable arithmetic are those of params.yaml. That both give equal weights, bit for bit, is
checked first. Each round runs both sides, a few steps each; ratios are those of a round.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from facerec import use_portable_arithmetic

use_portable_arithmetic()

import torch
from torch import nn

from facerec import backbones, heads
from facerec.backbones.layers import PReLU
from facerec.core import reused_memory
from facerec.params import Train, load_params
from facerec.training.step import TrainingState, initial_state, reproducible, update

ROUNDS, STEPS, CLASSES = 5, 3, 150


@contextmanager
def torch_prelu() -> Iterator[None]:
    """Networks use torch's PReLU inside the block."""
    ours = PReLU.forward
    PReLU.forward = nn.PReLU.forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        PReLU.forward = ours  # type: ignore[method-assign]


SIDES = {
    "before": lambda: (torch_prelu(), nullcontext()),
    "PReLU": lambda: (nullcontext(), nullcontext()),
    "PReLU and memory": lambda: (nullcontext(), reused_memory()),
}


def start(recipe: Train) -> TrainingState:
    """The state of a training of the default network; equal in every call."""
    torch.manual_seed(1)
    network = backbones.build_backbone("mobilefacenet", 128, width=0.25).to(memory_format=torch.channels_last).train()
    head = heads.build_head("arcface", 128, CLASSES, scale=24, margin=0.2)
    return initial_state(network, head, recipe, torch.device("cpu"))


def run(side: str, state: TrainingState, recipe: Train, steps: int) -> float:
    """CPU seconds a step of so many steps."""
    images = torch.rand(recipe.batch, 3, 112, 112).to(memory_format=torch.channels_last)
    labels = torch.arange(recipe.batch) % CLASSES
    first, second = SIDES[side]()
    with first, second:
        update(state, images, labels, 0.01, recipe)  # fills the memory that is reused
        begin = time.process_time()
        for _ in range(steps):
            update(state, images, labels, 0.01, recipe)
        return (time.process_time() - begin) / steps


def weights(side: str, recipe: Train) -> list[torch.Tensor]:
    """All weights and buffers after some steps from the same start."""
    state = start(recipe)
    torch.manual_seed(2)
    run(side, state, recipe, 1)
    return [*state.network.state_dict().values(), *state.head.state_dict().values()]


def main() -> None:
    recipe = load_params(Path(__file__).parents[1] / "params.yaml").train
    with reproducible(recipe, torch.device("cpu")):
        plain = weights("before", recipe)
        for side in SIDES:
            assert all(map(torch.equal, plain, weights(side, recipe))), f"{side} gives other weights"
        state = start(recipe)
        rounds = [{side: run(side, state, recipe, STEPS) for side in SIDES} for _ in range(ROUNDS)]
    print(f"MobileFaceNet x 0.25, batch {recipe.batch}, {recipe.threads} threads; equal weights, {ROUNDS} rounds")
    for side in SIDES:
        ratios = sorted(each["before"] / each[side] for each in rounds)
        seconds = median(each[side] for each in rounds)
        print(
            f"{side:18} {seconds:6.3f} CPU-s a step   x {median(ratios):5.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
