"""A step of the default training with what makes it quick on a CPU against the same step without: CPU time, in pairs.

Without: torch's own batch normalisation and PReLU, and a C library that returns freed memory to the system. Network,
head, batch, number of threads and portable arithmetic are those of params.yaml. That the first step of all sides gives
equal weights, up to rounding, is checked first. Each round runs all sides, a few steps each; ratios are those of a round.
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
from facerec.backbones.layers import FusedSequential, PReLU
from facerec.core import reused_memory
from facerec.params import Train, load_params
from facerec.training.step import TrainingState, initial_state, reproducible, update

ROUNDS, STEPS, CLASSES = 5, 3, 150


@contextmanager
def torch_layers() -> Iterator[None]:
    """Networks use torch's normalisation and PReLU inside the block."""
    ours = FusedSequential.forward, PReLU.forward
    FusedSequential.forward, PReLU.forward = nn.Sequential.forward, nn.PReLU.forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        FusedSequential.forward, PReLU.forward = ours  # type: ignore[method-assign]


SIDES = {
    "before": lambda: (torch_layers(), nullcontext()),
    "layers": lambda: (nullcontext(), nullcontext()),
    "layers and memory": lambda: (nullcontext(), reused_memory()),
}
ROUNDING = 1e-3  # of the whole change of the weights


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
        return (time.process_time() - begin) / max(steps, 1)


def change(side: str, recipe: Train) -> torch.Tensor:
    """What the first step changes of all weights and running statistics, as one vector."""
    state = start(recipe)
    before = flat(state)
    torch.manual_seed(2)
    run(side, state, recipe, 0)
    return flat(state) - before


def flat(state: TrainingState) -> torch.Tensor:
    """All weights and running statistics of the network as one vector."""
    return torch.cat([value.flatten().double() for value in state.network.state_dict().values()])


def main() -> None:
    recipe = load_params(Path(__file__).parents[1] / "params.yaml").train
    with reproducible(recipe, torch.device("cpu")):
        plain = change("before", recipe)
        for side in SIDES:
            apart = float((change(side, recipe) - plain).norm() / plain.norm())
            assert apart < ROUNDING, f"{side} changes the weights otherwise, by {apart:.1e}"
        state = start(recipe)
        rounds = [{side: run(side, state, recipe, STEPS) for side in SIDES} for _ in range(ROUNDS)]
    print(
        f"MobileFaceNet x 0.25, batch {recipe.batch}, {recipe.threads} threads; weights equal up to rounding, {ROUNDS} rounds"
    )
    for side in SIDES:
        ratios = sorted(each["before"] / each[side] for each in rounds)
        seconds = median(each[side] for each in rounds)
        print(
            f"{side:18} {seconds:6.3f} CPU-s a step   x {median(ratios):5.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
