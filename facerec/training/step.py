"""One step of training: the state that it changes, the optimiser and learning rate, `update`, and determinism.

A checkpoint holds the whole `TrainingState`. Random state is not part of it: order and augmentation are pure functions
of (seed, epoch, index), and torch's random state is set from (seed, step) in each step. Equal seeds give equal bits on
one kind of device, as the number of threads is the recipe's; see `facerec.core.portable` for processors.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils import deterministic as memory

from facerec import distributed
from facerec.core import ParamsError
from facerec.distributed import GradientSum
from facerec.heads import Head, full_precision
from facerec.params import Freeze, Schedule, Train

METRICS = ("loss", "accuracy", "norm")
"""Metrics of a step: mean loss, share classified correctly, mean length of the embeddings."""


@dataclass(frozen=True)
class Epoch:
    """Metrics of an epoch, over its training batches.

    Attributes:
        epoch: number of the epoch, from 1.
        loss: mean loss: of the head, of the teacher, or both.
        accuracy: share of faces nearest to the centre of their own class, without margin; without a head, to their own
            target of the teacher, among those of the batch.
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
        network: the network that is updated, images (b, 3, h, w) -> embeddings (b, dim).
        forward: the same, compiled if the recipe says so.
        summed: sums its gradients over the processes.
        average: moving average of the network; None if the recipe has none.
        step: number of updates made.
        totals: sums of METRICS over the steps of the current epoch, (3,) float64, on the CPU.
        history: finished epochs.
        validations: validations so far.
        best: weights at the best validation so far, the first of equals, on the CPU of rank 0.
    """

    network: nn.Module
    forward: Callable[[Tensor], Tensor]
    summed: GradientSum
    head: Head
    optimiser: Optimizer
    scaler: GradScaler
    average: AveragedModel | None
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(len(METRICS), dtype=torch.float64))
    history: list[Epoch] = field(default_factory=list)
    validations: list[ValidationScores] = field(default_factory=list)
    best: dict[str, Tensor] | None = None

    def add_metrics(self, metrics: Tensor, lr: float, epoch_steps: int) -> None:
        """Record the metrics (k, 3) of the k steps made last, in one epoch; its last step adds it to the history.

        `lr` is that of the last of them.
        """
        for each in metrics:
            self.totals += each
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

    def average_buffers(self) -> None:
        """Make running statistics those of all processes, before they are read; all processes must call it.

        They only ever average linearly, so that their mean after some steps is that of averaging after each.
        """
        for network in {self.network, self.result}:
            distributed.average_buffers(network)

    @property
    def finite(self) -> bool:
        """Whether all weights are finite; a step can ruin them although its own loss was finite."""
        parts = (self.network, self.head)
        return all(bool(value.isfinite().all()) for part in parts for value in part.state_dict().values())

    def content(self) -> dict[str, Any]:
        """The whole state as plain values and tensors; of what is split by classes, this process's rows."""
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            **self.head.saved(self.optimiser),
            "step": self.step,
            "totals": self.totals,
            "history": [asdict(epoch) for epoch in self.history],
            "validations": [asdict(each) for each in self.validations],
            "best": self.best,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Load a `content` with this process's rows, written by any number of processes."""
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.head.load_saved(content, self.optimiser)
        self.step, self.totals = content["step"], content["totals"]
        self.history = [Epoch(**epoch) for epoch in content["history"]]
        self.validations = [ValidationScores(**each) for each in content["validations"]]
        self.best = content["best"] if distributed.rank() == 0 else None

    def _parts(self) -> dict[str, Any]:
        """The parts that are equal on all processes."""
        parts = {"network": self.network, "scaler": self.scaler}
        return parts if self.average is None else {**parts, "average": self.average}


def initial_state(network: nn.Module, head: Head, recipe: Train, device: torch.device) -> TrainingState:
    """The state of a training of the network, images (b, 3, h, w) -> embeddings (b, dim), before its first step."""
    average = None
    if recipe.average:
        rule = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
        average = AveragedModel(network, multi_avg_fn=rule)
    optimiser = create_optimiser(network, head, recipe)
    head.follow(optimiser)
    scaling: Callable[..., Any] = GradScaler
    if head.partial() and distributed.world() > 1:
        # Skips a step on all processes if one of them finds an overflow in its part of the head.
        from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler  # takes .7 s to load

        scaling = ShardedGradScaler
    scaler = scaling(device.type, enabled=recipe.precision == "float16")
    forward = torch.compile(network) if recipe.compile else network
    return TrainingState(network, forward, GradientSum(network.parameters()), head, optimiser, scaler, average)


def create_optimiser(network: nn.Module, head: nn.Module, recipe: Train) -> Optimizer:
    """The recipe's SGD or AdamW over all trainable parameters, grouped by weight decay and factor of the rate.

    By default, weight decay applies to matrices and kernels, not to biases, norms and PReLU slopes. Some recipes use
    more of it for the layer that makes the embedding and for the class centres.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    inner = [parameter for parameter in network.parameters() if parameter.requires_grad]
    last = [parameter for parameter in inner if parameter.ndim > 1][-1]
    for parameter in inner:
        factor = recipe.output_decay if parameter is last else 1.0
        groups[_decay(parameter, factor, recipe), recipe.backbone_rate].append(parameter)
    for parameter in head.parameters():
        groups[_decay(parameter, recipe.head_decay, recipe), 1.0].append(parameter)
    described = [{"params": members, "weight_decay": decay, "rate": rate} for (decay, rate), members in groups.items()]
    if recipe.optimiser == "adamw":
        # Fused, since the square root of the others depends on the processor.
        return AdamW(described, lr=recipe.lr, betas=(recipe.momentum, 0.999), fused=True)
    fused = True if last.is_cuda else None  # one kernel instead of hundreds
    return SGD(described, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)


def _decay(parameter: nn.Parameter, factor: float, recipe: Train) -> float:
    return recipe.weight_decay * factor if parameter.ndim > 1 or recipe.decay_all else 0.0


def hold(state: TrainingState, freeze: Freeze, epoch: int) -> None:
    """Freeze the parts of the network that are not trained in `epoch`, counted from 0, and release those that are.

    Raises ParamsError for a part that the network does not have.
    """
    frozen = freeze.epochs is None or epoch < freeze.epochs
    learning = {id(each) for group in state.optimiser.param_groups for each in group["params"]}
    for name in freeze.parts:
        try:
            part = state.network.get_submodule(name)
        except AttributeError:
            known = ", ".join(child for child, _ in state.network.named_children())
            raise ParamsError(
                f"train.freeze.parts: the network has no part {name!r}; its parts are {known}, and parts of these."
            ) from None
        part.train(not frozen)  # running statistics of batch normalisation stay too
        for parameter in part.parameters():
            parameter.requires_grad_(id(parameter) in learning and not frozen)


def learning_rate(schedule: Schedule, peak: float, epochs: int, position: float, steps: int = 1) -> float:
    """Learning rate at `position` (epochs passed, fractions count) of `epochs`, with `peak` its maximum.

    Linear warm-up from zero over `schedule.warmup`, times the multi-step, polynomial or cosine curve. `steps` is the
    number of batches per epoch, for schedules that count in steps.

    >>> [learning_rate(Schedule(milestones=(2,), warmup=1), 0.1, 3, position) for position in (0.5, 1, 2)]
    [0.05, 0.1, 0.010000000000000002]
    """
    unit = steps if schedule.unit == "steps" else 1
    warm = min(1.0, unit * position / schedule.warmup) if schedule.warmup > 0 else 1.0
    if schedule.name == "cosine":
        return warm * peak * 0.5 * (1.0 + math.cos(math.pi * position / epochs))
    if schedule.name == "polynomial":
        return float(warm * peak * (1.0 - position / epochs) ** schedule.power)
    passed = sum(unit * position >= milestone for milestone in schedule.milestones)
    return float(warm * peak * schedule.factor**passed)


def update(
    state: TrainingState, images: Tensor, labels: Tensor, lr: float, recipe: Train, targets: Tensor | None = None
) -> Tensor:
    """Update weights, optimiser state and the number of steps by one batch.

    Args:
        state: what to update.
        images: this process's part of the global batch, (b, 3, h, w).
        labels: (b,).
        lr: learning rate.
        recipe: the parameters `train`.
        targets: of a teacher, (b, dim).

    Returns:
        (3,) float64 on the device, by METRICS, over the global batch. Nothing here waits for a GPU.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = lr * group["rate"]
    state.optimiser.zero_grad(set_to_none=True)
    aims = [None] * recipe.accumulate if targets is None else targets.chunk(recipe.accumulate)
    parts = list(zip(images.chunk(recipe.accumulate), labels.chunk(recipe.accumulate), aims, strict=True))
    metrics = []
    for number, part in enumerate(parts, 1):
        if number == len(parts):
            state.summed.begin()
        metrics.append(_backward(state, *part, recipe, number))
    state.summed.finish()
    state.scaler.unscale_(state.optimiser)
    _clip(state, recipe)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    if state.average is not None:
        state.average.update_parameters(state.network)
    state.step += 1
    return torch.stack(metrics).mean(0)


def _backward(
    state: TrainingState, images: Tensor, labels: Tensor, targets: Tensor | None, recipe: Train, part: int
) -> Tensor:
    """Add the gradients of a part of a batch; its metrics (3,) on the device."""
    precision = getattr(torch, recipe.precision)
    # Random numbers of the network differ between processes.
    reseed(recipe.seed, state.step, part, 1 + distributed.rank())
    with torch.autocast(images.device.type, precision, enabled=precision is not torch.float32):
        embeddings = state.forward(images)
    reseed(recipe.seed, state.step, part, 0)  # those of the head must not
    loss, accuracy = state.head.measure(embeddings, labels)
    if targets is not None:
        apart, alike = measure_imitation(embeddings, targets)
        loss = recipe.head_weight * loss + recipe.teacher_weight * apart
        accuracy = alike if isinstance(state.head, NoHead) else accuracy
    state.scaler.scale(loss / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
    norm = distributed.sum_parts(embeddings.detach().float().norm(dim=1).mean()) / distributed.world()
    return torch.stack([loss.detach().double(), accuracy.double(), norm.double()])


class NoHead(Head):
    """In place of a head where the teacher alone is imitated: no loss and no parameters."""

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Zero."""
        return embeddings.new_zeros(())

    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Zero; `measure_imitation` measures another."""
        return embeddings.new_zeros(())


def measure_imitation(embeddings: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss 1 - cosine to the targets (b, dim), over the faces of all processes, and the accuracy; two scalars.

    The accuracy is the share of faces that are nearer to their own target than to those of the others in the batch.
    """
    with full_precision(embeddings) as precise:
        students, teachers = (functional.normalize(distributed.gather(rows)) for rows in (precise, targets))
        loss = 1 - (students * teachers).sum(1).mean()
    nearest = (students.detach() @ teachers.T).argmax(1)
    return loss, (nearest == torch.arange(len(nearest), device=nearest.device)).double().mean()


def _clip(state: TrainingState, recipe: Train) -> None:
    learning = [each for group in state.optimiser.param_groups for each in group["params"]]
    if recipe.clip_value:
        nn.utils.clip_grad_value_(learning, recipe.clip_value)
    if recipe.clip_norm:
        nn.utils.clip_grads_with_norm_(learning, recipe.clip_norm, _norm(state.head.partial(), learning))


def _norm(partial: list[nn.Parameter], learning: list[nn.Parameter]) -> Tensor:
    """Norm of the whole gradient, including the parts of `partial` parameters that other processes hold."""
    apart = {id(parameter) for parameter in partial}
    here, elsewhere = (
        nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None and (id(p) in apart) == chosen])
        for chosen in (False, True)
    )
    return (here.square() + distributed.sum_parts(elsewhere.square())).sqrt() if partial else here


@contextmanager
def reproducible(recipe: Train, device: torch.device) -> Iterator[None]:
    """Compute as the recipe says inside the block, then restore torch's state.

    Sets the random seed, the threads, the precision of products, and whether only deterministic algorithms may run,
    which is always so on a CPU; elsewhere cuDNN may try which of its algorithms is the fastest.
    """
    deterministic = recipe.deterministic or device.type == "cpu"
    if deterministic:  # cuBLAS is so only with a fixed workspace, read when CUDA starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    trying = torch.backends.cudnn.benchmark
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = not deterministic
        torch.set_float32_matmul_precision(recipe.products)
        # Filling memory that is written anyway costs a pass over every tensor.
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.set_num_threads(recipe.threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.backends.cudnn.benchmark = trying
            torch.set_float32_matmul_precision(precision)
            memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
            torch.set_num_threads(threads)


def reseed(*key: int) -> None:
    """Set torch's random state, on all devices, to a pure function of non-negative numbers such as (seed, step)."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
