"""Benchmarks judged while a network trains: InsightFace's habit of verifying the packs' .bin sets as it goes.

Accuracies are those of protocol insightface, embeddings f(x) + f(flip x) as the network's preprocessing says. A
benchmark that chooses weights is no longer a fair test of them: report those that training never saw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from facerec import distributed, params
from facerec.backbones.storage import StoredBackbone
from facerec.core import ParamsError
from facerec.embedding import Embedder
from facerec.evaluation import verification
from facerec.store import pairs, shards
from facerec.store.loading import FaceDataset
from facerec.store.pairs import Pairs
from facerec.store.shards import Shards

_PAIRS = "pairs.parquet"
_BATCH = 64


@dataclass(frozen=True)
class ValidationBenchmark:
    """A face set and the pairs of its rows."""

    name: str
    faces: Shards
    pairs: Pairs


class Validator:
    """Judges a network on all benchmarks that the recipe names; every process takes a part of the faces."""

    def __init__(self, benchmarks: list[ValidationBenchmark], every: int, steps: int) -> None:
        self._benchmarks, self._every, self._steps = benchmarks, every, steps

    def due(self, step: int) -> bool:
        """Whether the network is to be judged after `step` updates."""
        return bool(self._benchmarks) and (step % self._every == 0 or step == self._steps)

    def __call__(self, stored: StoredBackbone, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Accuracy by benchmark, the same on all processes. `network` stands for that of `stored`."""
        training = network.training
        network.eval()
        embedder = Embedder(network, stored.dim, stored.preprocessing, device)
        found = {each.name: _accuracy(each, embedder) for each in self._benchmarks}
        network.train(training)
        told: dict[str, float] = json.loads(distributed.share(json.dumps(found)))
        return told


def build_validation(recipe: params.Train, stored: StoredBackbone, steps: int) -> Validator:
    """The validator of a recipe for `steps` updates; ParamsError where what it names is not there."""
    wanted = recipe.validation
    benchmarks = [] if wanted.faces is None else list(_read(Path(wanted.faces), wanted.sets))
    for each in benchmarks:
        stored.preprocessing.check(each.faces.meta)
    return Validator(benchmarks, wanted.every, steps)


def _read(folder: Path, wanted: tuple[str, ...]) -> Iterator[ValidationBenchmark]:
    """The benchmarks below `folder`, or `folder` itself where it is one."""
    inside = sorted(path.parent for path in folder.glob(f"*/{_PAIRS}"))
    found = {path.name: path for path in ([folder] if (folder / _PAIRS).is_file() else inside)}
    missing = [name for name in wanted if name not in found]
    if missing or not found:
        there = f"there are {', '.join(found)}" if found else f"no set there has a {_PAIRS}"
        raise ParamsError(
            f"train.validation finds no {', '.join(missing) or 'benchmark'} in {folder}; {there}."
        )
    for name in wanted or found:
        faces = shards.read_shards(found[name], "faces")
        yield ValidationBenchmark(name, faces, pairs.read_pairs(found[name] / _PAIRS, faces.sources))


def _accuracy(benchmark: ValidationBenchmark, embedder: Embedder) -> float:
    """The accuracy on rank 0, 0 elsewhere."""
    start, stop = distributed.rows_of(len(benchmark.faces))
    order = [np.arange(first, min(first + _BATCH, stop)) for first in range(start, stop, _BATCH)]
    batches = FaceDataset([benchmark.faces], embedder.preprocessing.size).batches(order)
    mine = [embedder.embed(pixels, _BATCH) for pixels in batches] or [np.empty((0, embedder.dim), np.float32)]
    part = torch.from_numpy(np.concatenate(mine)).to(embedder.device)
    whole = distributed.gather_rows(part, len(benchmark.faces))
    if whole is None:
        return 0.0
    rows = np.stack([benchmark.pairs.first, benchmark.pairs.second], axis=1).ravel()
    embeddings = whole.numpy()[rows]
    embeddings[rows < 0] = np.nan
    return float(verification.evaluate(embeddings, benchmark.pairs.same).accuracy)
