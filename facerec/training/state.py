"""The state of a training: everything that changes while a network is trained, and that a checkpoint holds.

Random state is not part of it: order and augmentation are pure functions of (seed, epoch, index), and torch's random
state is set from (seed, step) in each step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from facerec import distributed
from facerec.backbones.storage import StoredBackbone
from facerec.heads import Head

METRICS = ("loss", "accuracy", "norm")
"""Metrics of a step: mean loss, share classified correctly, mean length of the embeddings."""


@dataclass(frozen=True)
class Epoch:
    """Metrics of an epoch, over its training batches.

    Attributes:
        epoch: number of the epoch, from 1.
        loss: mean loss of the head.
        accuracy: share of faces nearest to the centre of their own class, without margin.
        lr: learning rate of the last batch.
        norm: mean length of the embeddings.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    norm: float


@dataclass(frozen=True)
class ValidationScores:
    """Accuracies on the validation benchmarks after `step` updates, by benchmark."""

    step: int
    accuracy: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean accuracy over the benchmarks, by which networks are compared."""
        return fmean(self.accuracy.values())


@dataclass
class TrainingState:
    """A network in training.

    Attributes:
        average: moving average of the network; None if the recipe has none.
        step: number of updates made.
        totals: sums of METRICS over the steps of the current epoch, (3,) float64, on the CPU.
        history: finished epochs.
        validations: validations so far.
        best: weights at the best validation so far, the first of equals, on the CPU of rank 0.
    """

    backbone: StoredBackbone
    head: Head
    optimiser: Optimizer
    scaler: GradScaler
    average: AveragedModel | None
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(len(METRICS), dtype=torch.float64))
    history: list[Epoch] = field(default_factory=list)
    validations: list[ValidationScores] = field(default_factory=list)
    best: dict[str, Tensor] | None = None

    @property
    def network(self) -> nn.Module:
        """The network that is updated."""
        return self.backbone.network

    def add_step(self, metrics: Tensor, lr: float, epoch_steps: int) -> None:
        """Record a step that was made; the last one of an epoch adds it to the history."""
        self.step += 1
        self.totals += metrics
        if self.step % epoch_steps == 0:
            loss, accuracy, norm = (self.totals / epoch_steps).tolist()
            self.history.append(Epoch(self.step // epoch_steps, loss, accuracy, lr, norm))
            self.totals = torch.zeros_like(self.totals)

    @property
    def result(self) -> nn.Module:
        """The network to keep: the one that is updated, or its average."""
        return self.network if self.average is None else self.average.module

    def add_validation(self, accuracy: dict[str, float]) -> None:
        """Record a validation, and the weights if it is the best so far."""
        now = ValidationScores(self.step, accuracy)
        if all(now.mean > before.mean for before in self.validations) and distributed.rank() == 0:
            self.best = {key: value.cpu().clone() for key, value in self.result.state_dict().items()}
        self.validations.append(now)

    @property
    def finite(self) -> bool:
        """Whether all weights are finite; a step can ruin them although its own loss was finite."""
        parts = (self.network, self.head)
        return all(bool(value.isfinite().all()) for part in parts for value in part.state_dict().values())

    def content(self) -> dict[str, Any]:
        """The whole state as plain values and tensors; complete on rank 0, and all processes must call it."""
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
        """Load a `content`, written by any number of processes."""
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.head.load_whole_state(content["head"])
        self.head.load_whole_optimiser_state(self.optimiser, content["optimiser"])
        self.step, self.totals = content["step"], content["totals"]
        self.history = [Epoch(**epoch) for epoch in content["history"]]
        self.validations = [ValidationScores(**each) for each in content["validations"]]
        self.best = content["best"] if distributed.rank() == 0 else None

    def _parts(self) -> dict[str, Any]:
        """The parts that are equal on all processes."""
        parts = {"network": self.network, "scaler": self.scaler}
        return parts if self.average is None else {**parts, "average": self.average}
