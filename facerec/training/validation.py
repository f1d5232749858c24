"""Validation on verification benchmarks while a network trains, as InsightFace does with the .bin sets of its packs.

Accuracies follow the protocol insightface, with embeddings as the network's preprocessing says (usually f(x) + f(flip x)).
A benchmark that selects the best weights is no longer a fair test of them: report others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facerec import distributed
from facerec.backbones.storage import StoredBackbone
from facerec.core import ParamsError
from facerec.embedding import Embedder
from facerec.evaluation import verification
from facerec.interop import pair_lists
from facerec.store import shards
from facerec.store.face_dataset import FaceDataset

_PAIRS = "pairs.parquet"
_BATCH = 64


@dataclass(frozen=True)
class ValidationBenchmark:
    """A face set and its pairs.

    Attributes:
        faces: the faces.
        rows: (2 * pairs,) rows of both faces of each pair, -1 for a face that is missing.
        same: (pairs,) whether a pair is genuine.
    """

    faces: FaceDataset
    rows: NDArray[np.int64]
    same: NDArray[np.bool_]


class Validator:
    """Validates a network on the benchmarks `sets`, or all, in the folder `faces`; every process embeds a part.

    With a list of pairs `listed`, `faces` is the one face set of these pairs.

    Validation is due every `every` steps and after the last of `steps`. The network has the preprocessing of `stored`.
    Raises ParamsError if a benchmark is missing.
    """

    def __init__(
        self,
        stored: StoredBackbone,
        device: torch.device,
        steps: int,
        faces: str | None,
        sets: Sequence[str],
        every: int,
        listed: str | None = None,
    ) -> None:
        self._stored, self._device, self._steps, self._every = stored, device, steps, every
        folders: dict[str, Path] = {}
        if faces is not None:
            folders = _find_benchmarks(Path(faces), sets) if listed is None else {Path(faces).name: Path(faces)}
        self._benchmarks = {name: self._read(folder, listed or folder / _PAIRS) for name, folder in folders.items()}

    def _read(self, folder: Path, listed: str | Path) -> ValidationBenchmark:
        faces = shards.read_shards(folder, "faces")
        pairs = pair_lists.read_pairs(listed, faces.sources)
        self._stored.preprocessing.check(faces.meta)
        rows = np.stack([pairs.first, pairs.second], axis=1).ravel()
        return ValidationBenchmark(FaceDataset([faces], self._stored.preprocessing.size), rows, pairs.same)

    def due(self, step: int) -> bool:
        """Whether validation is due after `step` updates."""
        return bool(self._benchmarks) and (step % self._every == 0 or step == self._steps)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Accuracy of the network by benchmark, equal on all processes."""
        training = network.training
        network.eval()
        embedder = Embedder(network, self._stored.dim, self._stored.preprocessing, self._device)
        found = {name: _accuracy(each, embedder) for name, each in self._benchmarks.items()}
        network.train(training)
        shared: dict[str, float] = json.loads(distributed.broadcast_text(json.dumps(found)))
        return shared


def _find_benchmarks(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """The benchmarks `wanted`, or all, below `folder`, or `folder` itself if it is one, by name."""
    inside = sorted(path.parent for path in folder.glob(f"*/{_PAIRS}"))
    found = {path.name: path for path in ([folder] if (folder / _PAIRS).is_file() else inside)}
    missing = [name for name in wanted if name not in found]
    if missing or not found:
        there = f"there are {', '.join(found)}" if found else f"no set there has a {_PAIRS}"
        raise ParamsError(f"train.validation finds no {', '.join(missing) or 'benchmark'} in {folder}; {there}.")
    return {name: found[name] for name in wanted or found}


def _accuracy(benchmark: ValidationBenchmark, embedder: Embedder) -> float:
    """The accuracy on rank 0, 0 elsewhere."""
    start, stop = distributed.rows_of(len(benchmark.faces))
    order = [np.arange(first, min(first + _BATCH, stop)) for first in range(start, stop, _BATCH)]
    mine = embedder.embed_faces(benchmark.faces, order, _BATCH)
    part = torch.from_numpy(np.concatenate([np.empty((0, embedder.dim), np.float32), *mine])).to(embedder.device)
    whole = distributed.gather_rows(part, len(benchmark.faces))
    if whole is None:
        return 0.0
    embeddings = whole.numpy()[benchmark.rows]
    embeddings[benchmark.rows < 0] = np.nan
    return float(verification.evaluate(embeddings, benchmark.same).accuracy)
