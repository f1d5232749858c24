"""Networks by file or by name in the catalog, and embeddings of whole face sets, written or kept by content."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facerec.catalog import entries
from facerec.core import (
    AcquireError,
    FormatError,
    atomic_file,
    check_place,
    local_path,
    remove_old_folders,
    torch_device,
    track,
    work_key,
)
from facerec.embedding.embedder import CPU, Embedder, load_embedder
from facerec.embedding.engines import describe_engine, use_engine
from facerec.store import tables
from facerec.store.embeddings import Embeddings, Origin, normalise, write_embeddings, write_feature_sets
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import Shards, read_failures, read_shards

_STEP = 4096
"""Faces of a file; fixed, since it is where an interrupted run goes on."""
_BATCH = 64


def open_embedder(
    path_or_name: str | Path, device: torch.device = CPU, allow_torchscript: bool = False, engine: str = "torch"
) -> Embedder:
    """The network in a file or directory (see `load_embedder`), or a downloaded model of the catalog, by its name.

    `engine` is what runs it: "torch" or a faster way, see `facerec.embedding.engines`. With `allow_torchscript` a file
    that is TorchScript may run, which can do whatever you can; models of the catalog never may. Raises FormatError for a model that is not downloaded yet, and as `load_embedder` and `use_engine` do.
    """
    path = Path(path_or_name)
    if not path.exists() and _is_model_of_catalog(str(path)):
        path = Path("data/raw") / path
        if not path.exists():
            raise FormatError(f"{path.name} is not downloaded; run `facerec download {path.name} {path}`.")
    return use_engine(load_embedder(path, device, allow_torchscript), engine)


def _is_model_of_catalog(name: str) -> bool:
    try:
        return name in entries.entry_names() and entries.load_entry(name).kind == "model"
    except AcquireError:  # no catalog here
        return False


def embed_face_set(
    model: str | Path,
    faces: str | Path,
    out: str | Path | None = None,
    allow_torchscript: bool = False,
    engine: str = "torch",
) -> Embeddings:
    """Embed face set `faces` with the network `model`, run by `engine`, and write `out` (NAME.npy), if given.

    Photos without a face are rows of NaN at the end, so that a benchmark can count them.
    """
    if out is not None:
        check_place(Path(out), folder=False)
    aligned = read_shards(faces, "faces")
    embedder = open_embedder(model, torch_device(), allow_torchscript, engine)
    matrix = embedder.embed(aligned)
    failed = read_failures(aligned)
    missing = np.full((len(failed), matrix.shape[1]), np.nan, np.float32)
    dataset = aligned.meta.dataset
    embedded = Embeddings(
        np.concatenate([matrix, missing]),
        [*aligned.sources, *(failure.source for failure in failed)],
        [*aligned.identities, *(failure.identity for failure in failed)],
        Origin(embedder.digest, dataset, entries.is_rendered(dataset), describe_engine(embedder)),
    )
    if out is not None:
        write_embeddings(embedded, out)
    return embedded


def embed_features(
    model: str | Path, probes: str | Path, distractors: str | Path, out: str | Path, engine: str = "torch"
) -> None:
    """Embed two face sets into the feature directory `out`, as rows of length 1, which identification needs."""
    check_place(Path(out), folder=True)
    first, second = (embed_face_set(model, faces, engine=engine) for faces in (probes, distractors))
    first, second = (replace(each, matrix=normalise(each.matrix)) for each in (first, second))
    write_feature_sets(first, second, out)


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
    root = local_path("scratch", ".facerec/scratch") / "embeddings"
    folder = root / work_key({"faces": faces.path, "network": embedder.digest, **prepared})
    remove_old_folders(root, folder)
    folder.mkdir(parents=True, exist_ok=True)
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
        order = [np.arange(start, min(start + _BATCH, job.stop)) for start in range(job.start, job.stop, _BATCH)]
        with atomic_file(path) as temporary:
            tables.put_npy(np.concatenate(list(embedder.embed_faces(faces, order, _BATCH))), temporary)
        kept = tables.read_npy(path)
    return kept
