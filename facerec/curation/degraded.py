"""Faces too bad to train on, recognised by what a network makes of faces that are made bad on purpose.

Embeddings of faces that cannot be recognised lie close together, whoever they show: Deng et al., "Harnessing
Unrecognizable Faces for Improving Face Recognition", 2023. So some faces of the set itself are reduced to ten pixels,
darkened and streaked, and a face counts as unusable where it lies as near to the centre of these as most of these do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.store.embeddings import normalise

Image = NDArray[np.uint8]
SAMPLE = 256
"""Faces of a set that are made bad, each in every way; drawn with a fixed seed."""
_MISSED = 0.05  # share of the faces made bad that lie farther from their centre than the cut
_ABOVE = 3.0
"""How many times the way from the tenth to the fiftieth percentile of all faces lies between the latter and a cut: 3.8
standard deviations. The upper half is not asked, since bad faces are in it."""


@dataclass(frozen=True)
class BadFaces:
    """One way of being bad: the centre (d,) of its embeddings, and the cosine that most of them have to it."""

    centre: NDArray[np.float32]
    cut: float


def bad_faces(
    faces: Image, unit: NDArray[np.float32], embed: Callable[[Image], NDArray[np.float32]]
) -> dict[str, BadFaces]:
    """What the network `embed` makes of RGB faces (b, h, w, 3), b at least 8, made bad in each of `WAYS`.

    `unit` (b, d) are their embeddings as they are, of length 1: a cut is never below what nearly all of these have, so
    that a network that does not tell a way of being bad from good faces finds none.
    """
    found = {}
    for number, (name, spoil) in enumerate(WAYS.items()):
        random = np.random.default_rng(number)
        spoilt = normalise(embed(np.stack([spoil(face, random) for face in faces]))).astype(np.float64)
        sums = spoilt.sum(0)
        own = np.einsum("nd,nd->n", spoilt, sums - spoilt) / np.linalg.norm(sums - unit, axis=1)
        centre = sums / np.linalg.norm(sums)
        low, middle = np.quantile(np.einsum("nd,d->n", unit.astype(np.float64), centre), [0.1, 0.5])
        cut = max(np.quantile(own, _MISSED), middle + _ABOVE * (middle - low))
        found[name] = BadFaces(centre.astype(np.float32), float(np.floor(1000 * cut) / 1000))
    return found


def worst_likeness(
    unit: NDArray[np.float32], bad: dict[str, BadFaces]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How far faces (n, d) of length 1 pass the cut of the way they pass most, (n,) cosines, and its number (n,)."""
    over = np.stack([np.einsum("nd,d->n", unit.astype(np.float64), each.centre) - each.cut for each in bad.values()])
    worst = over.argmax(0)
    return over[worst, np.arange(len(unit))], worst


def _reduce(face: Image, random: np.random.Generator) -> Image:
    """To ten pixels a side and back."""
    small = cv2.resize(face, (10, 10), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _darken(face: Image, random: np.random.Generator) -> Image:
    """To a twentieth of its brightness, with the noise of a sensor."""
    return np.clip(face * 0.05 + random.normal(0, 8, face.shape), 0, 255).astype(np.uint8)


def _streak(face: Image, random: np.random.Generator) -> Image:
    """As by a movement across a fifth of its width."""
    length = max(3, face.shape[1] // 5)
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return np.asarray(cv2.filter2D(face, -1, kernel), np.uint8)


WAYS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "blurred": _reduce,
    "dark": _darken,
    "streaked": _streak,
}
"""Ways of being bad by name."""
