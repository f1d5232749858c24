"""Embeddings of whole face sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facerec.catalog import entries
from facerec.core import check_place, torch_device
from facerec.embedding.embedder import load_embedder
from facerec.embedding.engines import describe_engine, use_engine
from facerec.store.embeddings import Embeddings, Origin, normalise, write_embeddings, write_feature_sets
from facerec.store.shards import read_failures, read_shards


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
    embedder = use_engine(load_embedder(model, torch_device(), allow_torchscript), engine)
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
