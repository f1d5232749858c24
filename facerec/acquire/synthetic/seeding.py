"""Random numbers that depend only on what they are for: seed, set, person and photo.

A stream is named by words and numbers, hashed with SHA-256, so neither the order of the work nor the
number of processes can change a pixel, and streams of different sets never coincide.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for this seed and these names."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    return np.random.default_rng([seed, *words])
