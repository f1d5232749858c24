"""Validation on verification benchmarks while a network trains, as InsightFace does with the .bin sets of its packs.

Accuracies follow the protocol insightface, with embeddings as the network's preprocessing says (usually f(x) + f(flip x)).
A benchmark that selects the best weights is no longer a fair test of them: report others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from facerec import distributed
from facerec.backbones.storage import StoredBackbone
from facerec.core import ParamsError
from facerec.embedding import Embedder
from facerec.evaluation import verification
from facerec.interop import pair_lists
from facerec.params import Train
from facerec.store import shards
from facerec.store.face_dataset import FaceDataset
from facerec.store.pairs import Pairs
from facerec.store.shards import Shards

_PAIRS = "pairs.parquet"
_BATCH = 64


@dataclass(frozen=True)
class ValidationBenchmark:
    """A face set and its pairs."""

    name: str
    faces: Shards
    pairs: Pairs


class Validator:
    """Validates a network on the benchmarks of the recipe; every process embeds a part of the faces."""

    def __init__(self, benchmarks: list[ValidationBenchmark], every: int, steps: int) -> None:
        self._benchmarks, self._every, self._steps = benchmarks, every, steps

    def due(self, step: int) -> bool:
        """Whether validation is due after `step` updates."""
        return bool(self._benchmarks) and (step % self._every == 0 or step == self._steps)

    def __call__(self, stored: StoredBackbone, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Accuracy by benchmark, equal on all processes; `network` replaces that of `stored`."""
        training = network.training
        network.eval()
        embedder = Embedder(network, stored.dim, stored.preprocessing, device)
        found = {each.name: _accuracy(each, embedder) for each in self._benchmarks}
        network.train(training)
        shared: dict[str, float] = json.loads(distributed.broadcast_text(json.dumps(found)))
        return shared


def create_validator(recipe: Train, stored: StoredBackbone, steps: int) -> Validator:
    """The validator of a recipe for `steps` updates; ParamsError if a benchmark it names is missing."""
    wanted = recipe.validation
    benchmarks = [] if wanted.faces is None else list(_read_benchmarks(Path(wanted.faces), wanted.sets))
    for each in benchmarks:
        stored.preprocessing.check(each.faces.meta)
    return Validator(benchmarks, wanted.every, steps)


def _read_benchmarks(folder: Path, wanted: tuple[str, ...]) -> Iterator[ValidationBenchmark]:
    """The benchmarks below `folder`, or `folder` itself if it is one."""
    inside = sorted(path.parent for path in folder.glob(f"*/{_PAIRS}"))
    found = {path.name: path for path in ([folder] if (folder / _PAIRS).is_file() else inside)}
    missing = [name for name in wanted if name not in found]
    if missing or not found:
        there = f"there are {', '.join(found)}" if found else f"no set there has a {_PAIRS}"
        raise ParamsError(f"train.validation finds no {', '.join(missing) or 'benchmark'} in {folder}; {there}.")
    for name in wanted or found:
        faces = shards.read_shards(found[name], "faces")
        yield ValidationBenchmark(name, faces, pair_lists.read_pairs(found[name] / _PAIRS, faces.sources))


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
