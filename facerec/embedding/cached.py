"""Embeddings of face sets that are kept by content, for what needs them again and again: cleaning, overlap, teachers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_file, kept_folder, reused_memory, track
from facerec.embedding.embedder import Embedder, index_batches
from facerec.store import tables
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import Shards

_STEP = 4096
"""Faces of a file; fixed, since it is where an interrupted run goes on."""
_BATCH = 64


class CachedEmbeddings:
    """The embeddings (n, dim) float32 of a face set, mapped from files; `cached[indices]` reads some rows."""

    def __init__(self, parts: list[NDArray[np.float32]], dim: int) -> None:
        self._parts, self.dim = parts, dim

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = np.empty((len(indices), self.dim), np.float32)
        for place, index in enumerate(indices.tolist()):
            rows[place] = self._parts[index // _STEP][index % _STEP]
        return rows

    def whole(self) -> NDArray[np.float32]:
        """All rows in memory."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self._parts])


def embed_cached(embedder: Embedder, faces: Shards, begin: float = 0.0) -> CachedEmbeddings:
    """The embeddings of a face set as its network's preprocessing says, from the cache or made now.

    The cache lies in the scratch folder (machine setting FACEREC_SCRATCH) below a digest of the faces, the network and
    the code, so that a new threshold does not embed again, and an interrupted run goes on. What nobody used for 14 days
    is removed.

    Their bytes do not depend on the number of workers. Processes that share the folder divide the work if each begins at
    another share `begin` of it. Raises what `Embedder.embed` does.
    """
    embedder.preprocessing.check(faces.meta)
    run_by = f"{type(embedder.network).__name__} {getattr(embedder.network, 'dtype', '')} {embedder.device.type}"
    prepared = {"preprocessing": embedder.preprocessing.to_dict(), "run_by": run_by}
    folder = kept_folder("embeddings", {"faces": faces.path, "network": embedder.digest, **prepared})
    os.utime(folder)  # used today
    dataset = FaceDataset([faces], embedder.preprocessing.size)
    jobs = [range(start, min(start + _STEP, len(faces))) for start in range(0, len(faces), _STEP)]
    first = int(begin * len(jobs))
    made = (_part(embedder, dataset, job, folder) for job in jobs[first:] + jobs[:first])
    parts = list(track(made, f"embedding {faces.meta.dataset}", len(jobs), "parts"))
    return CachedEmbeddings(parts[len(jobs) - first :] + parts[: len(jobs) - first], embedder.dim)


def _part(embedder: Embedder, faces: FaceDataset, job: range, folder: Path) -> NDArray[np.float32]:
    """The embeddings of some faces, from the file of an earlier run if it is whole."""
    path = folder / f"{job.start:09d}.npy"
    try:
        kept = tables.read_npy(path)
    except FormatError:  # not there yet, or cut short
        kept = np.empty(0)
    if kept.shape != (len(job), embedder.dim) or kept.dtype != np.float32:
        order = index_batches(job, _BATCH)
        with atomic_file(path) as temporary, reused_memory():
            tables.put_npy(np.concatenate(list(embedder.embed_faces(faces, order, _BATCH))), temporary)
        kept = tables.read_npy(path)
    return kept
