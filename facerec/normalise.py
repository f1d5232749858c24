"""Rows of length 1: embeddings as cosine similarity and squared distance want them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def normalise(rows: ArrayLike) -> NDArray[np.float32]:
    """(n, d) rows scaled to length 1 in float64, returned as float32; rows of NaN or zeros become NaN."""
    wide = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = np.divide(wide, norms, out=np.full_like(wide, np.nan), where=norms > 0)
    return np.asarray(unit, dtype=np.float32)
