"""The most similar of a gallery, exactly and in blocks, so that memory does not grow with the gallery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Block: TypeAlias = tuple[Sequence[str], NDArray[np.float32]]
"""Names of n people and their embeddings (n, d)."""


def cosine_similarities(probes: ArrayLike, gallery: ArrayLike) -> Floats:
    """Cosines (n, m) of embeddings (n, d) and (m, d), in float64 and [-1, 1]; their lengths do not matter.

    >>> cosine_similarities([[3.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]).tolist()
    [[1.0, 0.0]]
    """
    first, second = (np.atleast_2d(np.asarray(rows, np.float64)) for rows in (probes, gallery))
    first, second = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    return np.asarray(np.clip(first @ second.T, -1, 1))


def best_matches(
    probes: ArrayLike, blocks: Iterable[Block], top: int, every_photo: bool = False
) -> list[list[tuple[int, float]]]:
    """For each of the probes (n, d) the `top` most similar rows of a gallery and their cosines, best first.

    The blocks follow one another in the order of the gallery, which decides between equal cosines. Only the best row of
    each person counts, unless `every_photo` is set.

    >>> best_matches([[1.0, 0.0]], [(["Ann"], [[0.6, 0.8]]), (["Bo", "Bo"], [[1.0, 0.0], [0.8, 0.6]])], top=2)
    [[(1, 1.0), (0, 0.6)]]
    """
    probes = np.atleast_2d(np.asarray(probes, np.float64))
    leaders = [_Leaders(top, every_photo) for _ in probes]
    start = 0
    for names, matrix in blocks:
        for leader, similarities in zip(leaders, cosine_similarities(probes, matrix), strict=True):
            leader.add(start, names, similarities)
        start += len(matrix)
    return [[(row, score) for score, row in each.ranked()] for each in leaders]


class _Leaders:
    """The `top` most similar people, or photos, so far."""

    def __init__(self, top: int, every_photo: bool) -> None:
        self._top, self._every = top, every_photo
        self._best: dict[str | int, tuple[float, int]] = {}  # person, or row -> cosine and row

    def ranked(self) -> list[tuple[float, int]]:
        """(cosine, row), best first."""
        return sorted(self._best.values(), key=lambda each: (-each[0], each[1]))[: self._top]

    def add(self, start: int, names: Sequence[str], similarities: Floats) -> None:
        """Consider a block, whose first row is `start`."""
        known = self.ranked()
        least = known[-1][0] if len(known) == self._top else -np.inf  # an equal one comes too late
        rows = np.flatnonzero(similarities > least)
        seen = set[str | int]()
        for row in rows[np.argsort(-similarities[rows], kind="stable")].tolist():
            key = start + row if self._every else names[row]
            if key not in seen:  # the first of a person in the block is the best one
                seen.add(key)
                score = float(similarities[row])
                if key not in self._best or score > self._best[key][0]:
                    self._best[key] = (score, start + row)
            if len(seen) == self._top:
                break
        keep = set(self.ranked())
        self._best = {key: each for key, each in self._best.items() if each in keep}
