"""Training steps of the trainer against bare steps of the same network, head and optimiser.

A bare step is forward, loss, backward and SGD, on batches in memory. The trainer also decodes them from shards, moves
and normalises them, measures loss, accuracy and norm, handles time limits and Ctrl-C, and shows progress.
MobileFaceNet with ArcFace, 112x112, no augmentation, 200 steps each in alternating rounds, the same number of torch
threads. That both have the same losses is checked in every
round, of which the first is not timed. The aim is 95 % of the bare rate.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _faces import cartoons
from _timing import report
from torch import Tensor

from facerec import training
from facerec.params import Backbone, HeadParams, Schedule, Train
from facerec.store import shard_writing, shards
from facerec.store.model_metadata import Preprocessing
from facerec.training import trainer
from facerec.training.data import TrainingFaces
from facerec.training.step import initial_state, reproducible
from facerec.training.trainer import initial_weights

BATCH, STEPS, ROUNDS = 32, 50, 5
CPU = torch.device("cpu")
RECIPE = Train(
    batch=BATCH,
    epochs=1,
    flip=False,
    weight_decay=5e-4,
    lr=0.01,
    schedule=Schedule(milestones=(9,), warmup=0),
    backbone=Backbone(name="mobilefacenet", dim=128),
    head=HeadParams(scale=32, margin=0.3),
)


def whole(sets: Sequence[shards.Shards]) -> tuple[list[float], list[float]]:
    """CPU seconds of every step of `fit` but the first, and the losses."""
    ends, losses = [], []
    plain = trainer.update

    def update(*arguments: Any) -> Tensor:
        figures = plain(*arguments)
        ends.append(time.process_time())
        losses.append(float(figures[0]))
        return figures

    trainer.update = update
    try:
        training.fit(sets, RECIPE, CPU)
    finally:
        trainer.update = plain
    return [after - before for before, after in itertools.pairwise(ends)], losses


def bare(faces: TrainingFaces, ready: Sequence[tuple[Tensor, Tensor]], steps: int) -> tuple[list[float], list[float]]:
    """CPU seconds of every bare step but the first, and the losses."""
    with reproducible(RECIPE, CPU):
        stored, head = initial_weights(faces, RECIPE, CPU)
        optimiser, network = initial_state(stored.network, head, RECIPE, CPU).optimiser, stored.network
        ends, losses = [], []
        for images, labels in ready[:steps]:
            optimiser.zero_grad(set_to_none=True)
            loss = head(network(images), labels)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            ends.append(time.process_time())
    return [after - before for before, after in itertools.pairwise(ends)], losses


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set")
        meta = shards.Meta("faces", "cartoons", size=(112, 112), template="arcface-112")
        shard_writing.write_shards(cartoons(BATCH * STEPS, identities=200), path, meta)
        sets = [shards.read_shards(path, "faces")]
        faces = TrainingFaces(sets)
        ready = [
            (Preprocessing().apply(torch.from_numpy(faces.batch(order))), torch.from_numpy(faces.labels[order]))
            for order in trainer.create_sampler(faces, RECIPE).batches(1)
        ]
        ours: list[float] = []
        theirs: list[float] = []
        ratios: list[float] = []
        for number in range(ROUNDS + 1):
            bare_seconds, expected = bare(faces, ready, STEPS)
            our_seconds, losses = whole(sets)
            assert all(abs(a - b) <= 1e-4 * abs(b) for a, b in zip(losses, expected, strict=True)), number
            if number:
                theirs += bare_seconds
                ours += our_seconds
                ratios.append(sum(bare_seconds) / sum(our_seconds))
    print(f"MobileFaceNet, batch {BATCH}, {len(ours)} steps, {torch.get_num_threads()} torch threads")
    for name, taken in (("bare", theirs), ("trainer", ours)):
        print(f"{name:8} median {median(taken):6.3f} s a step, all {BATCH * len(taken) / sum(taken):6.1f} images/s")
    what = f"training steps, MobileFaceNet, batch {BATCH}"
    report(what, "plain steps of the same network, head and optimiser", sorted(ratios), "times their rate", "0.95")


if __name__ == "__main__":
    main()
