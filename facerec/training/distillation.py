"""Distillation: a network learns to give the embeddings of a teacher, alone or beside a head.

The loss is 1 - cosine between the embedding of a face and its target, the mean over the batch: the embedding loss of
Duong et al., "ShrinkTeaNet", 2019 (angular distillation), and half the squared distance of unit embeddings as in
Romero et al., "FitNets", 2015. A target is f(x) / |f(x)| + f(x') / |f(x')| of the teacher f for the unaugmented face x
and its mirror image x': one target for a face whichever way it is flipped, made once and cached by content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from facerec import distributed
from facerec.embedding.cached import embed_cached
from facerec.embedding.embedder import load_embedder
from facerec.store.shards import Shards


class Teacher:
    """The targets of all faces of several sets, by the network in file or folder `path`.

    Several processes share the work and the cache. Raises FormatError for a network that cannot be read or that takes
    other faces.

    Attributes:
        dim: length of a target.
        trained_on: the face sets that the teacher was trained on; None where unknown.
    """

    def __init__(self, path: str, sets: Sequence[Shards], device: torch.device) -> None:
        teacher = load_embedder(path, device)
        teacher = replace(teacher, preprocessing=replace(teacher.preprocessing, flip="sum-normalised"))
        self.dim, self.trained_on = teacher.dim, teacher.trained_on
        begin = distributed.rank() / distributed.world()
        self._parts = [embed_cached(teacher, shards, begin) for shards in sets]
        self._starts = np.cumsum([0, *map(len, self._parts)])

    def targets(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The targets (b, dim) of the faces at `indices` of all sets."""
        rows = np.empty((len(indices), self.dim), np.float32)
        for part, start in zip(self._parts, self._starts[:-1], strict=True):
            mine = (indices >= start) & (indices < start + len(part))
            rows[mine] = part[indices[mine] - start]
        return rows
