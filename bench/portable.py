"""What portable arithmetic costs: CPU time of the same work with it and without it (FACEREC_PORTABLE=no).

The settings are read when the libraries are loaded, so every measurement is a process of its own; the two ways take
turns, and the ratio is the median over the rounds. Without portable arithmetic two threads compute, as the recipe says.
The results differ in their last bits, which is the purpose of the settings; that each way repeats itself is checked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from _timing import report

WORK = ("render", "train", "embed", "detect", "verify", "identify")
ROUNDS = 5


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    print(f"{'work':10} {'portable':>10} {'native':>10}")
    for name in WORK:
        rounds = [[in_process(name, way) for way in ("yes", "no")] for _ in range(ROUNDS)]
        for way in zip(*rounds, strict=True):
            assert len({digest for _, digest in way}) == 1, f"{name} does not repeat itself"
        seconds = [median(second for second, _ in way) for way in zip(*rounds, strict=True)]
        ratios = sorted(ours / native for (ours, _), (native, _) in rounds)
        print(f"{name:10} {seconds[0]:8.2f} s {seconds[1]:8.2f} s")
        report(f"portable arithmetic, {name}", "what the processor allows", ratios, "of the CPU time")


def in_process(name: str, portable: str) -> tuple[float, str]:
    """CPU seconds of the work, and a digest of its result."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "OPENBLAS_"))}
    done = subprocess.run(
        [sys.executable, __file__, name],
        env={**environment, "FACEREC_PORTABLE": portable},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, digest = json.loads(done.stdout)
    return seconds, digest


def measure(name: str) -> tuple[float, str]:
    """CPU seconds of the work after a warm-up, and a digest of its result."""
    from facerec import use_portable_arithmetic

    use_portable_arithmetic()
    import numpy as np

    from facerec.core import sha256_of_bytes

    work = prepare(name)
    work()
    start = time.process_time()
    result = work()
    return time.process_time() - start, sha256_of_bytes(np.ascontiguousarray(result).tobytes())


def prepare(name: str) -> Callable[[], Any]:
    """The work `name`, ready to be called."""
    import numpy as np
    import torch

    rng = np.random.default_rng(1)
    if name == "render":
        from facerec.catalog import synthetic_sets

        return lambda: np.concatenate([each.ravel() for each in synthetic_sets.render_examples(10, 10, 3)])
    if name == "detect":
        from facerec.catalog import synthetic_sets
        from facerec.detection import build_detector

        photos, detector = synthetic_sets.render_examples(10, 5, 3), build_detector("mtcnn")
        return lambda: np.concatenate([faces.boxes for faces in detector.detect(photos)])
    if name == "verify":
        from facerec.evaluation.verification import evaluate

        rows, same = rng.standard_normal((12_000, 512)).astype(np.float32), np.tile([True, False], 3000)
        return lambda: [evaluate(rows, same).accuracy for _ in range(20)]
    if name == "identify":
        from facerec.evaluation.identification import identify
        from facerec.store.embeddings import normalise

        probes, labels = normalise(rng.standard_normal((1000, 512))), np.repeat(np.arange(100), 10)
        distractors = normalise(rng.standard_normal((50_000, 512)))
        return lambda: identify(probes, labels, distractors).ranks
    torch.manual_seed(1)
    return train if name == "train" else embed()


def train() -> Any:
    """Thirty steps of the default network."""
    import torch
    from torch.nn import functional

    from facerec import backbones, heads
    from facerec.params import Train
    from facerec.training.step import reproducible

    with reproducible(Train(seed=1, threads=2), torch.device("cpu")):
        network = backbones.build_backbone("mobilefacenet", 128, width=0.25).to(memory_format=torch.channels_last)
        head = heads.build_head("arcface", 128, 150, scale=24, margin=0.2)
        optimiser = torch.optim.SGD([*network.parameters(), *head.parameters()], 0.1, momentum=0.9, nesterov=True)
        for _ in range(30):
            optimiser.zero_grad()
            head(network(torch.randn(64, 3, 112, 112)), torch.randint(150, (64,))).backward()
            optimiser.step()
        return functional.normalize(network(torch.zeros(2, 3, 112, 112))).detach().numpy()


def embed() -> Callable[[], Any]:
    """512 faces by the default network."""
    import numpy as np

    from facerec import backbones
    from facerec.embedding import Embedder
    from facerec.store.model_metadata import Preprocessing

    network = backbones.build_backbone("mobilefacenet", 128, width=0.25).eval()
    faces = np.random.default_rng(2).integers(0, 256, (512, 112, 112, 3), dtype=np.uint8)
    return lambda: Embedder(network, 128, Preprocessing()).embed(faces)


if __name__ == "__main__":
    main()
