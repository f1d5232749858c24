"""Equal seeds, equal results: torch's global random state and algorithms, set for a while and restored.

On one machine and device a run gives the same bits every time. Another number of torch threads or
another processor may sum in another order, so bits may differ there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils import deterministic as memory


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and allow it only deterministic algorithms inside the block."""
    # cuBLAS is deterministic only with a fixed workspace, read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        # Filling memory that is written anyway costs a pass over every tensor.
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def reseed(*key: int) -> None:
    """Set torch's random state, on all devices, to a pure function of non-negative numbers such as (seed, step)."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
