"""Pairs of embeddings: checked, split into firsts and seconds, and compared.

An image whose face could not be found or enrolled has an embedding row of NaN (or of zeros, which has
no direction either). Its pairs are *failures*: non-matches at the greatest distance there is. So they
count as errors where the pair is the same person, and as rightly rejected where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError
from facerec.evaluation.verification.counting import Bools, Floats

_BLOCK = 256  # pairs at a time: float64 copies that stay in the cache


@dataclass(frozen=True)
class EmbeddingPairs:
    """n pairs: embeddings (2n, d) with pair i in rows 2i and 2i + 1, same (n,), failed (n,)."""

    embeddings: NDArray[np.floating]
    same: Bools
    failed: Bools

    def __len__(self) -> int:
        return len(self.same)


def check_pairs(embeddings: ArrayLike, same: ArrayLike) -> EmbeddingPairs:
    """Wrap arrays as `Pairs`; FormatError when shapes, types or values make no sense."""
    rows, truth = np.asarray(embeddings), np.asarray(same)
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating) or rows.shape[1] == 0:
        raise FormatError(
            f"Embeddings must be a float matrix (2n, d), not {rows.dtype} of shape {rows.shape}."
        )
    if truth.ndim != 1 or len(rows) != 2 * len(truth):
        raise FormatError(
            f"{len(rows)} embeddings do not fit a list of pairs of shape {truth.shape}: "
            "pair i is rows 2i and 2i + 1, so there must be two rows a pair."
        )
    if truth.dtype != bool:
        if not np.isin(truth, (0, 1)).all():
            raise FormatError("The list of same/different pairs may hold only true and false.")
        truth = truth.astype(bool)
    if not truth.any() or truth.all():
        kind = "same" if truth.any() else "different"
        raise FormatError(f"All {len(truth)} pairs are of the {kind} kind; verification needs both kinds.")
    failed = _failed(rows)
    if failed.all():
        raise FormatError(
            f"No pair of {len(truth)} has two embeddings; every face is missing (NaN or zeros)."
        )
    return EmbeddingPairs(rows, truth, failed)


def _failed(rows: NDArray[np.floating]) -> Bools:
    norms = np.einsum("ij,ij->i", rows, rows)
    suspects = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if np.isinf(rows[suspects]).any():
        row = int(suspects[np.isinf(rows[suspects]).any(axis=1)][0])
        raise FormatError(
            f"Embedding row {row} holds an infinite value; mark faces that are missing with NaN."
        )
    failed = np.zeros(len(rows), dtype=bool)
    failed[suspects] = np.isnan(rows[suspects]).any(axis=1) | ~rows[suspects].any(axis=1)
    return np.asarray(failed.reshape(-1, 2).any(axis=1))


def cosines(pairs: EmbeddingPairs, centre: Floats | None = None) -> Floats:
    """(n,) cosine of each pair in float64, after subtracting `centre` (d,); NaN for failures."""
    values = np.empty(len(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        for start in range(0, len(pairs), _BLOCK):
            block = pairs.embeddings[2 * start : 2 * (start + _BLOCK)].astype(np.float64)
            if centre is not None:
                block -= centre
            first, second = block[0::2], block[1::2]
            norms = np.sqrt(np.einsum("ij,ij->i", block, block))
            dots = np.einsum("ij,ij->i", first, second)
            values[start : start + _BLOCK] = dots / (norms[0::2] * norms[1::2])
    values[pairs.failed] = np.nan
    return np.clip(values, -1, 1)
