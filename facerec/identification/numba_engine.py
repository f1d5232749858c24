"""The engine of the CPU: torch.mm, and compiled loops that pass over rows by their maximum."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from facerec.identification import kernels
from facerec.identification.engines import Mates
from facerec.identification.scores import Features, Floats, Ints


class NumbaBlock:
    """Dot products with what turns them into scores; see `engines.Block`."""

    def __init__(self, engine: NumbaEngine, dots: Floats, others: Floats) -> None:
        """Dots (n, b) of the engine's probes and of rows with the squared lengths `others` (b,)."""
        self._engine = engine
        self._block = (dots, engine.squares, others)

    @cached_property
    def _best(self) -> Floats:
        dots, probes, others = self._block
        best = np.empty(len(dots), dtype=np.float32)
        self._engine.by_rows(lambda r: kernels.row_maxima(dots[r], probes[r], others, best[r]))
        return best

    def columns(self, chosen: Ints) -> NumbaBlock:
        """See `engines.Block`."""
        dots, _, others = self._block
        return NumbaBlock(self._engine, np.take(dots, chosen, axis=1), others[chosen])

    def count_beaten(self, mates: Mates, counter: Ints) -> None:
        """See `engines.Block`."""
        (dots, probes, others), best = self._block, self._best

        def count(r: slice) -> None:
            starts = mates.starts[r.start : r.stop + 1]
            kernels.count_beaten(dots[r], probes[r], others, best[r], mates.scores, starts, counter)

        self._engine.by_rows(count)

    def keep_nearest(self, first: int, nearest: Floats, index: Ints) -> None:
        """See `engines.Block`."""
        kernels.keep_nearest(*self._block, self._best, first, nearest, index)

    def above(self, threshold: float) -> tuple[Floats, NDArray[np.int32]]:
        """See `engines.Block`."""
        found: tuple[Floats, NDArray[np.int32]]
        found = kernels.above(*self._block, self._best, np.float32(threshold))
        return found

    def scores(self, rows: int | None = None) -> Floats:
        """See `engines.Block`."""
        dots, probes, others = self._block
        out = np.empty_like(dots[:rows])
        kernels.finish(dots[:rows], probes[:rows], others, out)
        return out


class NumbaEngine:
    """See `engines.Engine`; as many threads look through the scores as torch multiplies with."""

    def __init__(self, probes: Features) -> None:
        """Blocks reuse the room of the greatest of them."""
        self.squares = probes.squares
        self._probes = torch.from_numpy(probes.rows)
        self._room = torch.empty(0, dtype=torch.float32)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads)

    def load(self, others: Features) -> NumbaBlock:
        """See `engines.Engine`."""
        n, b = len(self._probes), len(others.rows)
        if len(self._room) < n * b:
            self._room = torch.empty(n * b, dtype=torch.float32)
        dots = self._room[: n * b].view(n, b)
        torch.mm(self._probes, torch.from_numpy(others.rows).T, out=dots)
        return NumbaBlock(self, dots.numpy(), others.squares)

    def counter(self, mates: Mates) -> Ints:
        """See `engines.Engine`."""
        return np.zeros(len(mates.scores), dtype=np.int64)

    def counts(self, counter: Ints, mates: Mates) -> Ints:
        """See `engines.Engine`."""
        return counter

    def by_rows(self, work: Callable[[slice], None]) -> None:
        """Give each thread an equal share of the probes."""
        bounds = np.linspace(0, len(self.squares), self._threads + 1).astype(int).tolist()
        slices = [slice(low, high) for low, high in pairwise(bounds) if high > low]
        if len(slices) == 1:
            work(slices[0])
        else:
            list(self._pool.map(work, slices))
