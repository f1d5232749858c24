"""All that changes while a network is trained, and so all that a checkpoint holds.

Random numbers are no part of it: order and augmentation are pure functions of (seed, epoch, index), and torch's
random state is set anew from (seed, step) before each step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facerec.backbones.storage import StoredBackbone
from facerec.heads import Head
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


@dataclass
class State:
    """A network in training.

    Attributes:
        step: updates made.
        totals: sums over the steps of the epoch so far, (3,) float64, by FIGURES, on the CPU.
        history: epochs that are over.
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
    def finite(self) -> bool:
        """Whether all weights are finite numbers; a step can ruin them while its own loss still was one."""
        parts = (self.network, self.head)
        return all(bool(value.isfinite().all()) for part in parts for value in part.state_dict().values())

    def content(self) -> dict[str, Any]:
        """Everything, as plain values and tensors."""
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "step": self.step,
            "totals": self.totals,
            "history": [asdict(epoch) for epoch in self.history],
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Become what `content` describes."""
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.totals = content["step"], content["totals"]
        self.history = [Epoch(**epoch) for epoch in content["history"]]

    def _parts(self) -> dict[str, Any]:
        parts = {
            "network": self.network,
            "head": self.head,
            "optimiser": self.optimiser,
            "scaler": self.scaler,
        }
        return parts if self.average is None else {**parts, "average": self.average}


def begin(backbone: StoredBackbone, head: Head, recipe: Train, device: torch.device) -> State:
    """The state before the first step."""
    average = None
    if recipe.average:
        rule = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
        average = AveragedModel(backbone.network, multi_avg_fn=rule)
    scaler = GradScaler(device.type, enabled=recipe.precision == "float16")
    return State(backbone, head, optimiser.build(backbone.network, head, recipe), scaler, average)
