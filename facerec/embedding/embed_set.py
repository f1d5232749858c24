"""Networks by file or by name in the catalog, and embeddings of whole face sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facerec.catalog import entries
from facerec.core import AcquireError, FormatError, check_place, describe_arithmetic, kept_folder, torch_device
from facerec.embedding.embedder import CPU, Embedder, load_embedder
from facerec.embedding.engines import describe_engine, use_engine
from facerec.store.embeddings import (
    Embeddings,
    Origin,
    normalise,
    read_embeddings,
    write_embeddings,
    write_feature_sets,
)
from facerec.store.shards import read_failures, read_shards


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


def embed_once(model: str | Path, faces: str | Path, out: str | Path, engine: str = "torch") -> None:
    """As `embed_face_set`, for faces that several benchmarks share: the first one embeds them, the others copy.

    What is copied lies in the scratch folder, under a digest of the network, the faces, the code and the machine's
    arithmetic, so it is what embedding again would give.
    """
    check_place(Path(out), folder=False)
    arithmetic = describe_arithmetic(torch_device().type)
    inputs = {"model": Path(model), "faces": Path(faces), "engine": engine, "arithmetic": arithmetic}
    kept = kept_folder("embed", inputs) / "embeddings.npy"
    if not kept.with_suffix(".parquet").is_file():  # it is written last
        embed_face_set(model, faces, kept, engine=engine)
    write_embeddings(read_embeddings(kept), out)


def embed_features(
    model: str | Path, probes: str | Path, distractors: str | Path, out: str | Path, engine: str = "torch"
) -> None:
    """Embed two face sets into the feature directory `out`, as rows of length 1, which identification needs."""
    check_place(Path(out), folder=True)
    first, second = (embed_face_set(model, faces, engine=engine) for faces in (probes, distractors))
    first, second = (replace(each, matrix=normalise(each.matrix)) for each in (first, second))
    write_feature_sets(first, second, out)
