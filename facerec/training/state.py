"""All that changes while a network is trained, and so all that a checkpoint holds.

Random numbers are no part of it: order and augmentation are pure functions of (seed, epoch, index), and torch's
random state is set anew from (seed, step) in each step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facerec import distributed
from facerec.backbones.storage import StoredBackbone
from facerec.heads import Head, Sharded
from facerec.params import Train
from facerec.training import optimiser

FIGURES = ("loss", "accuracy", "norm")
"""What a step measures."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to, over its training batches."""

    epoch: int
    """1-based."""
    loss: float
    """Mean of the head's loss."""
    accuracy: float
    """Share of faces nearest to the centre of their own class, without margin."""
    lr: float
    """Learning rate of the last batch."""
    norm: float
    """Mean length of the embeddings."""


@dataclass(frozen=True)
class Validated:
    """What a look at the benchmarks found."""

    step: int
    """Updates made before it."""
    accuracy: dict[str, float]
    """By benchmark."""

    @property
    def mean(self) -> float:
        """Mean accuracy over the benchmarks, by which networks are compared."""
        return fmean(self.accuracy.values())


@dataclass
class State:
    """A network in training.

    Attributes:
        step: updates made.
        totals: sums over the steps of the epoch so far, (3,) float64, by FIGURES, on the CPU.
        history: epochs that are over.
        validations: looks at the benchmarks, if any.
        best: weights of the best look so far, the first of equals, on the CPU of rank 0.
        average: moving average of the network, None where the recipe has none.
    """

    backbone: StoredBackbone
    head: Head
    optimiser: Optimizer
    scaler: GradScaler
    average: AveragedModel | None
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(len(FIGURES), dtype=torch.float64))
    history: list[Epoch] = field(default_factory=list)
    validations: list[Validated] = field(default_factory=list)
    best: dict[str, Tensor] | None = None

    @property
    def network(self) -> nn.Module:
        """The network that learns."""
        return self.backbone.network

    def count(self, figures: Tensor, lr: float, epoch_steps: int) -> None:
        """Take note of a step that was made; the last one of an epoch closes it."""
        self.step += 1
        self.totals += figures
        if self.step % epoch_steps == 0:
            loss, accuracy, norm = (self.totals / epoch_steps).tolist()
            self.history.append(Epoch(self.step // epoch_steps, loss, accuracy, lr, norm))
            self.totals = torch.zeros_like(self.totals)

    @property
    def result(self) -> nn.Module:
        """The network that training is for: the one that learns, or its average."""
        return self.network if self.average is None else self.average.module

    def judged(self, accuracy: dict[str, float]) -> None:
        """Take note of a look at the benchmarks, and of the weights if it is the best so far."""
        now = Validated(self.step, accuracy)
        if all(now.mean > before.mean for before in self.validations) and distributed.rank() == 0:
            self.best = {key: value.cpu().clone() for key, value in self.result.state_dict().items()}
        self.validations.append(now)

    @property
    def finite(self) -> bool:
        """Whether all weights are finite numbers; a step can ruin them while its own loss still was one."""
        parts = (self.network, self.head)
        return all(bool(value.isfinite().all()) for part in parts for value in part.state_dict().values())

    def content(self) -> dict[str, Any]:
        """Everything, as plain values and tensors; complete on rank 0, and all processes must call it."""
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "head": self.head.whole_state(),
            "optimiser": self.head.whole_optimiser_state(self.optimiser),
            "step": self.step,
            "totals": self.totals,
            "history": [asdict(epoch) for epoch in self.history],
            "validations": [asdict(each) for each in self.validations],
            "best": self.best,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Become what `content` describes, whatever the number of processes that made it."""
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.head.load_whole_state(content["head"])
        self.head.load_whole_optimiser_state(self.optimiser, content["optimiser"])
        self.step, self.totals = content["step"], content["totals"]
        self.history = [Epoch(**epoch) for epoch in content["history"]]
        self.validations = [Validated(**each) for each in content["validations"]]
        self.best = content["best"] if distributed.rank() == 0 else None

    def _parts(self) -> dict[str, Any]:
        """What is the same on all processes."""
        parts = {"network": self.network, "scaler": self.scaler}
        return parts if self.average is None else {**parts, "average": self.average}


def begin(backbone: StoredBackbone, head: Head, recipe: Train, device: torch.device) -> State:
    """The state before the first step."""
    average = None
    if recipe.average:
        rule = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
        average = AveragedModel(backbone.network, multi_avg_fn=rule)
    steps = optimiser.build_optimiser(backbone.network, head, recipe)
    if isinstance(head, Sharded):
        head.follow(steps)
    return State(backbone, head, steps, _scaler(head, recipe, device), average)


def _scaler(head: Head, recipe: Train, device: torch.device) -> GradScaler:
    """A scaler that skips a step on all processes where one finds an overflow in its part of the head."""
    kind = ShardedGradScaler if head.partial() and distributed.world() > 1 else GradScaler
    scaler: GradScaler = kind(device.type, enabled=recipe.precision == "float16")
    return scaler
