"""Heads with very many classes: the chunked head against the full logits, and the cost of two gloo processes.

Chunked ("chunked"): ArcFace, forward and backward, with 200,000 classes x 128 and a batch of 128. Before the timing, loss
and gradients are compared with those in float64: the chunked head must be within 1e-5 of the largest value, the full
one, which is less exact, within twice that. Memory is the growth of the peak resident size of a new process over a
step, without the gradient of the centres, which both must return. The aims are a twentieth of the memory and no more
time.

Processes: a training step of MobileFaceNet with split ArcFace heads, in one process and in two with half the batch
each, all with one thread. "exchanges" is the time spent in collectives: gathering embeddings, log-sum-exps and target
cosines, and summing the gradients of the network.
"""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from _timing import report, side_by_side
from torch import Tensor

from facerec import backbones, distributed, heads
from facerec.heads.chunked import Chunked
from facerec.heads.sharded import Sharded

CLASSES, DIM, BATCH = 200_000, 128, 128
STEPS, FACES, FEW = 8, 64, 20_000


def case() -> tuple[heads.CosineHead, Tensor, Tensor]:
    torch.manual_seed(0)
    head = heads.build_head("arcface", DIM, CLASSES)
    assert isinstance(head, heads.CosineHead)
    return head, torch.randn(BATCH, DIM, requires_grad=True), torch.randint(CLASSES, (BATCH,))


def step(head: heads.Head, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Loss and gradients, after the previous gradients were dropped."""
    embeddings.grad = None
    head.zero_grad(set_to_none=True)
    loss = head(embeddings, labels)
    loss.backward()
    return loss.detach()


def resident(which: str) -> int:
    """Resident memory of this process in bytes, now (VmRSS) or at its peak (VmHWM); on Linux."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def memory(chunked: bool, answer: multiprocessing.connection.Connection) -> None:
    """Send the bytes that a step needs beyond those before it and the gradient of the centres."""
    head, embeddings, labels = case()
    small = heads.build_head("arcface", DIM, 4096)  # warms up threads and libraries
    step(Chunked(small) if chunked else small, embeddings, labels % 4096)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    step(Chunked(head) if chunked else head, embeddings, labels)
    answer.send(resident("VmHWM") - before - head.weight.numel() * head.weight.element_size())


def measured(chunked: bool) -> int:
    """`memory` in a new process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=memory, args=(chunked, theirs))
    process.start()
    found: int = ours.recv()
    process.join()
    return found


def deviation(ours: list[Tensor], truth: list[Tensor]) -> float:
    """Largest difference of tensors to the true ones, relative to the largest value of each."""
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in zip(ours, truth, strict=True))


def parts(head: heads.Head, embeddings: Tensor, labels: Tensor) -> list[Tensor]:
    """Loss, gradients of the embeddings and gradients of the centres."""
    loss = step(head, embeddings, labels)
    return [loss, *(each.grad for each in (embeddings, *head.parameters()) if each.grad is not None)]


def compare() -> None:
    head, embeddings, labels = case()
    chunked = Chunked(head)
    print(f"ArcFace, {CLASSES:,} classes x {DIM}, batch {BATCH}, float32        (aims: memory 0.05, time 1)")
    exact, wide = copy.deepcopy(head).double(), embeddings.detach().double().requires_grad_()
    truth = parts(exact, wide, labels)
    off_full = deviation(parts(head, embeddings, labels), truth)
    off_chunked = deviation(parts(chunked, embeddings, labels), truth)
    assert off_chunked <= 1e-5, off_chunked
    assert off_full <= 2e-5, off_full
    print(f"off float64  full {off_full:.1e}     chunked {off_chunked:.1e}")
    full, ours = measured(False), measured(True)
    report(
        f"ArcFace of {CLASSES:,} classes x {DIM} without its logits", "the full logits", [ours / full], "of the memory"
    )
    print(f"memory     full {full / 1e6:7.1f} MB  chunked {ours / 1e6:7.1f} MB  chunked / full {ours / full:6.3f}")
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        torch.set_num_threads(threads)
        taken = side_by_side(
            {"full": lambda: step(head, embeddings, labels), "chunked": lambda: step(chunked, embeddings, labels)},
            repeats=5,
        )
        what = f"ArcFace of {CLASSES:,} classes x {DIM} without its logits, {threads} threads"
        report(what, "the full logits", taken.ratios("chunked", "full"), "of the CPU time", "at most 1")


def timed(function: Callable[..., object], spent: list[float]) -> Callable[..., object]:
    """A function that calls `function` and appends the seconds of each call to `spent`."""

    def call(*arguments: object, **options: object) -> object:
        start = time.perf_counter()
        result = function(*arguments, **options)
        spent.append(time.perf_counter() - start)
        return result

    return call


def train(rank: int, world: int, meeting: str, answer: multiprocessing.connection.Connection) -> None:
    """Send the median seconds of a step and of its collectives."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    spent: list[float] = []
    for name in ("all_gather", "all_reduce"):
        setattr(torch.distributed, name, timed(getattr(torch.distributed, name), spent))
    summing = distributed.GradientSum
    summing.finish = timed(summing.finish, spent)  # type: ignore[method-assign]
    with distributed.joined(torch.device("cpu"), f"file://{meeting}"):
        network = backbones.build_backbone("mobilefacenet", DIM).to(memory_format=torch.channels_last)
        head = Sharded(heads.build_head("arcface", DIM, heads.classes_held(heads.HEADS["arcface"], FEW)), FEW)
        sgd = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.01, momentum=0.9)
        faces = torch.randn(FACES // world, 3, 112, 112).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(FEW, (FACES // world,))
        summed = distributed.GradientSum(network.parameters())
        steps, exchanges = [], []
        for _ in range(STEPS + 1):
            spent.clear()
            start = time.perf_counter()
            sgd.zero_grad()
            summed.begin()
            head(network(faces), labels).backward()
            summed.finish()
            sgd.step()
            steps.append(time.perf_counter() - start)
            exchanges.append(sum(spent))
    answer.send((median(steps[1:]), median(exchanges[1:])))


def together(world: int) -> tuple[float, float]:
    """The result of rank 0 of `world` processes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=train, args=(rank, world, f"{folder}/meeting", theirs)) for rank in range(world)
        ]
        for process in processes:
            process.start()
        answers: list[tuple[float, float]] = [ours.recv() for _ in processes]
        for process in processes:
            process.join()
    return max(answers)


def main() -> None:
    compare()
    print(f"\nMobileFaceNet, split ArcFace of {FEW:,} classes, {FACES} faces a step, one thread a process")
    (alone, _), (two, exchanges) = together(1), together(2)
    print(f"1 process    {alone:7.3f} s a step")
    print(f"2 processes  {two:7.3f} s a step, x {alone / two:.2f}; exchanges {exchanges:.3f} s")


if __name__ == "__main__":
    main()
