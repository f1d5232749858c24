"""Training, identification, embedding and detection on one GPU, unattended in under 8 minutes; writes one JSON file.

    python bench/gpu.py                 on the GPU, into gpu.json
    python bench/gpu.py --tiny          in seconds, on the CPU too: that it runs, not how fast

A step of the trainer (`facerec.training.step.update`) is compared with a bare one: forward, loss, backward and the step of
the same optimiser, on the same batch in memory. `fit` trains on a face set on the disk, so its rate also tells what
decoding and copying cost. Each size is measured for some seconds of wall time, after a warm-up, with the GPU waited for
at both ends; a size that does not fit into memory has a row that says so.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _faces import cartoons
from torch import Tensor

from facerec import backbones, detection, heads, training
from facerec.core import describe_device, torch_device, write_json
from facerec.embedding import Embedder
from facerec.evaluation.identification import identify
from facerec.params import Backbone, HeadParams, Train
from facerec.store import shard_writing, shards
from facerec.store.embeddings import normalise
from facerec.store.model_metadata import Preprocessing
from facerec.training.step import TrainingState, initial_state, reproducible, update

Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        networks: backbones.
        batches: faces a step.
        classes: numbers of class centres.
        seconds: wall time of a measurement.
        probes, distractors: rows of identification.
        photos: for detection.
        faces: of the set on the disk.
    """

    networks: tuple[str, ...] = ("mobilefacenet", "iresnet50", "iresnet100")
    batches: tuple[int, ...] = (256, 1024)
    classes: tuple[int, ...] = (10_000, 93_000, 360_000, 1_000_000)
    seconds: float = 3.0
    probes: int = 3530
    distractors: int = 1_000_000
    photos: int = 256
    faces: int = 20_480


TINY = Sizes(("mobilefacenet",), (8,), (100,), 0.1, 20, 2000, 2, 32)


def rate(step: Callable[[], object], seconds: float, device: torch.device, warm: int = 2) -> float:
    """Calls a second."""
    for _ in range(warm):
        step()
    wait(device)
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step()
        calls += 1
        if calls % 10 == 0:
            wait(device)  # else the host would queue calls far beyond the time
    wait(device)
    return calls / (time.perf_counter() - begin)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def recipe(network: str, batch: int, device: torch.device, **changes: Any) -> Train:
    """The recipe of the benchmark: bf16, TF32 for the class centres, the fastest algorithms, a chunked ArcFace."""
    precision = "bfloat16" if device.type == "cuda" else "float32"
    fixed = {"batch": batch, "precision": precision, "products": "high", "deterministic": False}
    head = HeadParams(scale=64.0, margin=0.5, chunked=True)
    return Train(**{**fixed, "backbone": Backbone(name=network, dim=512), "head": head, **changes})


def started(wanted: Train, classes: int, device: torch.device) -> TrainingState:
    """A training that can make steps."""
    network = backbones.build_backbone(wanted.backbone.name, 512)
    network.to(device).to(memory_format=torch.channels_last).train()
    plain = heads.build_head("arcface", 512, classes, scale=64.0, margin=0.5)
    head = heads.spread_head(plain, classes, wanted.head.rate, wanted.head.chunked, wanted.seed)
    return initial_state(network, head.to(device), wanted, device)


def bare_step(state: TrainingState, images: Tensor, labels: Tensor, wanted: Train) -> None:
    """What a step needs at least."""
    precision = getattr(torch, wanted.precision)
    state.optimiser.zero_grad(set_to_none=True)
    with torch.autocast(images.device.type, precision, enabled=precision is not torch.float32):
        embeddings = state.network(images)
    state.head(embeddings, labels).backward()
    state.optimiser.step()


def training_row(network: str, batch: int, classes: int, sizes: Sizes, device: torch.device) -> Row:
    """Steps of the trainer against bare ones."""
    wanted = recipe(network, batch, device)
    images = torch.randn(batch, 3, 112, 112, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(classes, (batch,), device=device)
    with reproducible(wanted, device):
        state = started(wanted, classes, device)
        bare = rate(lambda: bare_step(state, images, labels, wanted), sizes.seconds, device)
        ours = rate(lambda: update(state, images, labels, 1e-3, wanted), sizes.seconds, device)
    return {"bare": bare * batch, "trainer": ours * batch, "share": ours / bare}


def fit_row(network: str, batch: int, sizes: Sizes, device: torch.device) -> Row:
    """A whole training from a set on the disk, and which share of it the steps alone would take."""
    with tempfile.TemporaryDirectory() as folder:
        meta = shards.Meta("faces", "cartoons", size=(112, 112), template="arcface-112")
        shard_writing.write_shards(
            cartoons(sizes.faces, identities=max(2, sizes.faces // 20)), Path(folder, "set"), meta
        )
        wanted = recipe(network, batch, device, epochs=1)
        begin = time.perf_counter()
        trained = training.fit([shards.read_shards(Path(folder, "set"), "faces")], wanted, device)
        wait(device)
        taken = time.perf_counter() - begin
    alone = training_row(network, batch, trained.identities, sizes, device)["trainer"]
    images = sizes.faces // batch * batch / taken
    return {"images": images, "share_of_steps": images / alone}


def identification_row(sizes: Sizes) -> Row:
    random = np.random.default_rng(1)
    probes, others = (
        normalise(random.standard_normal((rows, 512), np.float32)) for rows in (sizes.probes, sizes.distractors)
    )
    labels = np.arange(sizes.probes) // 10
    begin = time.perf_counter()
    identify(probes, labels, others)
    return {"seconds": time.perf_counter() - begin}


def embedding_row(network: str, batch: int, sizes: Sizes, device: torch.device) -> Row:
    """Faces a second from uint8 in memory to embeddings in memory."""
    built = backbones.build_backbone(network, 512).to(device).to(memory_format=torch.channels_last).eval()
    embedder = Embedder(built, 512, Preprocessing(flip="none"), device)
    faces = np.random.default_rng(1).integers(0, 256, (batch, 112, 112, 3), np.uint8)
    calls = rate(lambda: embedder.embed(faces, batch), sizes.seconds, device)
    return {"images": calls * batch}


def detection_row(sizes: Sizes, device: torch.device) -> Row:
    """MTCNN on noisy pictures of 480 x 360, whose weights come with a package."""
    photos = list(np.random.default_rng(1).integers(0, 256, (sizes.photos, 360, 480, 3), np.uint8))
    found = detection.build_detector("mtcnn", min_face=40, device=device.type)
    calls = rate(lambda: found.detect(photos), sizes.seconds, device, warm=1)
    return {"images": calls * sizes.photos}


def rows(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """All measurements, each as soon as it is there."""
    for network, batch in product(sizes.networks, sizes.batches):
        size: Row = {"network": network, "batch": batch}
        for classes in sizes.classes:
            made = partial(training_row, network, batch, classes, sizes, device)
            yield measured({"what": "training", **size, "classes": classes}, made, device)
        yield measured({"what": "embedding", **size}, partial(embedding_row, network, batch, sizes, device), device)
    network, batch = sizes.networks[0], sizes.batches[0]
    size = {"network": network, "batch": batch}
    yield measured({"what": "fit", **size}, partial(fit_row, network, batch, sizes, device), device)
    size = {"probes": sizes.probes, "distractors": sizes.distractors}
    yield measured({"what": "identification", **size}, partial(identification_row, sizes), device)
    yield measured({"what": "detection", "detector": "mtcnn"}, partial(detection_row, sizes, device), device)


def measured(size: Row, work: Callable[[], Row], device: torch.device) -> Row:
    """The row of a size, with the memory it took."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        row = {**size, **work()}
    except torch.OutOfMemoryError:
        return {**size, "failed": "out of memory"}
    return row if device.type == "cpu" else {**row, "memory_gb": torch.cuda.max_memory_allocated(device) / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, on any device")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file to write")
    chosen = parser.parse_args()
    device = torch_device()
    if device.type == "cpu" and not chosen.tiny:
        raise SystemExit("torch sees no GPU here; --tiny tries the script on the CPU.")
    done: list[Row] = []
    for row in rows(TINY if chosen.tiny else Sizes(), device):
        done.append(row)
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
        # Written after each, so that an interrupted run has what it measured.
        write_json(chosen.out, {"device": describe_device(device), "torch": torch.__version__, "rows": done})


if __name__ == "__main__":
    main()
