"""The engine for GPUs: torch, on any device; on its CPU its ranks equal those of the numba engine.

A file of its own, since importing torch takes longer than ranking most benchmarks on the CPU.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from facerec.evaluation.identification.scoring import NEAREST, Features, Floats, Ints, MateScores


class TorchBlock:
    """Finished scores on the device; see `scoring.ScoreBlock`."""

    def __init__(self, scores: torch.Tensor) -> None:
        """Hold (n, b) scores."""
        self._scores = scores

    @cached_property
    def _best(self) -> torch.Tensor:
        return self._scores.amax(dim=1)

    def columns(self, chosen: Ints) -> TorchBlock:
        """See `scoring.ScoreBlock`."""
        return TorchBlock(self._scores[:, torch.from_numpy(chosen).to(self._scores.device)])

    def count_beaten(self, mates: MateScores, counter: tuple[torch.Tensor, torch.Tensor]) -> None:
        """See `scoring.ScoreBlock`; sorted scores, because a search for each mate is cheaper than one a score."""
        padded, counts = counter
        rows = torch.nonzero(self._best > padded[:, 0]).ravel()
        ordered = self._scores[rows].sort(dim=1).values
        lower = torch.searchsorted(ordered, padded[rows], right=True)
        counts[rows] += ordered.shape[1] - lower

    def keep_nearest(self, first: int, nearest: Floats, index: Ints) -> None:
        """See `scoring.ScoreBlock`."""
        top = self._scores.topk(min(NEAREST, self._scores.shape[1]), dim=1)
        scores = np.concatenate([nearest, top.values.cpu().numpy()], axis=1)
        columns = np.concatenate([index, top.indices.cpu().numpy() + first], axis=1)
        order = np.lexsort((columns, -scores), axis=1)[:, :NEAREST]
        nearest[:] = np.take_along_axis(scores, order, axis=1)
        index[:] = np.where(np.isneginf(nearest), -1, np.take_along_axis(columns, order, axis=1))

    def above(self, threshold: float) -> tuple[Floats, NDArray[np.int32]]:
        """See `scoring.ScoreBlock`."""
        rows = torch.nonzero(self._best > threshold).ravel()
        chosen = self._scores[rows]
        where = torch.nonzero(chosen > threshold)
        found = chosen[where[:, 0], where[:, 1]]
        return found.cpu().numpy(), rows[where[:, 0]].to(torch.int32).cpu().numpy()

    def scores(self, rows: int | None = None) -> Floats:
        """See `scoring.ScoreBlock`."""
        finished: Floats = self._scores[:rows].cpu().numpy()
        return finished


class TorchEngine:
    """See `scoring.Engine`; full float32 products: TF32 would round the scores to three digits."""

    def __init__(self, probes: Features, device: torch.device) -> None:
        """Copy the probes to the device."""
        self._device = device
        self._probes = torch.from_numpy(probes.rows).to(device)
        self._squares = torch.from_numpy(probes.squares).to(device)[:, None]

    def load(self, others: Features) -> TorchBlock:
        """See `scoring.Engine`."""
        rows, squares = (torch.from_numpy(each).to(self._device) for each in (others.rows, others.squares))
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            dots = torch.mm(self._probes, rows.T)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        return TorchBlock(dots.mul_(2).sub_(self._squares).sub_(squares))

    def counter(self, mates: MateScores) -> tuple[torch.Tensor, torch.Tensor]:
        """See `scoring.Engine`: mates in a row a probe, behind them infinity, and as many counts."""
        place, most = _places(mates)
        padded = np.full((len(mates.starts) - 1, max(most, 1)), np.inf, dtype=np.float32)
        padded[place] = mates.scores
        counts = torch.zeros(padded.shape, dtype=torch.int64, device=self._device)
        return torch.from_numpy(padded).to(self._device), counts

    def counts(self, counter: tuple[torch.Tensor, torch.Tensor], mates: MateScores) -> Ints:
        """See `scoring.Engine`."""
        counted: Ints = counter[1].cpu().numpy()[_places(mates)[0]]
        return counted


def _places(mates: MateScores) -> tuple[tuple[Ints, Ints], int]:
    """((row, column) of each mate in a padded matrix, most mates of one probe)."""
    many = np.diff(mates.starts)
    rows = np.repeat(np.arange(len(many)), many)
    return (rows, np.arange(len(mates.scores)) - mates.starts[rows]), int(many.max(initial=0))
