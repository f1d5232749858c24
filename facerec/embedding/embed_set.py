"""Embeddings of whole face sets, with a row for every photo, also for those without a face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facerec import embedding
from facerec.catalog import entries
from facerec.core import torch_device
from facerec.store import shards
from facerec.store.embeddings import Embeddings, Origin, normalise
from facerec.store.shards import read_failures


def embed_face_set(model: str | Path, faces: str | Path) -> Embeddings:
    """Embed face set `faces` with the network at `model` (see `facerec.embedding.load_embedder`).

    Photos without a face are rows of NaN at the end, so that a benchmark can count them.
    """
    aligned = shards.read_shards(faces, "faces")
    embedder = embedding.load_embedder(model, torch_device())
    matrix = embedder.embed(aligned)
    failed = read_failures(faces)
    missing = np.full((len(failed), matrix.shape[1]), np.nan, np.float32)
    return Embeddings(
        np.concatenate([matrix, missing]),
        [*aligned.sources, *(failure.source for failure in failed)],
        [*aligned.identities, *(failure.identity for failure in failed)],
        Origin(embedder.digest, aligned.meta.dataset, entries.is_rendered(aligned.meta.dataset)),
    )


def embed_features(model: str | Path, faces: str | Path) -> Embeddings:
    """As `embed_face_set`, with rows of length 1, as identification needs them."""
    embedded = embed_face_set(model, faces)
    return replace(embedded, matrix=normalise(embedded.matrix))
