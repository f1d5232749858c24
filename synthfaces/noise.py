"""Tileable noise: the raw material of pores, freckles, hair strands, cloth and backgrounds.

Every field is made once per process from a fixed seed; people and photos read it at their own random
offset, so a field costs nothing per photo.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 512


@lru_cache(maxsize=64)
def field(scale_x: float, scale_y: float, salt: int = 0) -> NDArray[np.float32]:
    """White noise blurred by (scale_x, scale_y) pixels, (512, 512), tileable, mean 0, deviation 1."""
    white = np.random.default_rng([salt, 7_151]).standard_normal((SIZE, SIZE))
    waves = np.fft.fftfreq(SIZE)
    blur = np.exp(-2 * np.pi**2 * ((waves[None] * scale_x) ** 2 + (waves[:, None] * scale_y) ** 2))
    smooth = np.fft.ifft2(np.fft.fft2(white) * blur).real
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def uniform(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace each value by its rank, so that the field is spread evenly over 0..1."""
    ranks = np.empty(values.size, np.float32)
    ranks[np.argsort(values, axis=None, kind="stable")] = np.linspace(0, 1, values.size, dtype=np.float32)
    return ranks.reshape(values.shape)


@lru_cache(maxsize=8)
def strands(kind: str) -> NDArray[np.float32]:
    """Hair structure in 0..1, (512, 512): x runs across the strands, y along them."""
    if kind == "curly":
        return uniform(field(2.5, 2.5, 1) + 0.6 * field(7.0, 7.0, 2))
    bend = 6.0 if kind == "wavy" else 1.5
    fine = field(0.7, 40.0, 3) + 0.9 * field(2.2, 70.0, 4) + 0.7 * field(7.0, 90.0, 5)
    grid_x, grid_y = np.meshgrid(np.arange(SIZE, dtype=np.float32), np.arange(SIZE, dtype=np.float32))
    shift = bend * np.sin(2 * np.pi * 3 * grid_y / SIZE) + bend * field(30.0, 30.0, 6)
    bent = cv2.remap(
        fine, (grid_x + shift.astype(np.float32)) % SIZE, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return uniform(bent)


def sample_bilinear(
    image: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], wrap: bool = True
) -> NDArray[np.float32]:
    """Bilinear values of `image` at pixel coordinates x, y (n,); outside it wraps or repeats the edge."""
    height, width = image.shape[:2]
    rows = max(1, -(-len(x) // 1024))
    padded = np.zeros((2, rows * 1024), np.float32)
    padded[0, : len(x)] = np.mod(x, width) if wrap else x
    padded[1, : len(x)] = np.mod(y, height) if wrap else y
    border = cv2.BORDER_WRAP if wrap else cv2.BORDER_REPLICATE
    maps = padded.reshape(2, rows, 1024)
    values = cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(values.reshape((rows * 1024, *image.shape[2:]))[: len(x)], np.float32)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for this seed and these names."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    return np.random.default_rng([seed, *words])
