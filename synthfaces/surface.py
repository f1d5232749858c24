"""Surfaces: meshes of a material with simple solids to make them of, and the noise that gives them texture.

Every noise field is made once per process from a fixed seed and tiles; people and photos read it at their own random
offset, so a field costs nothing per photo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthfaces.prepared import prepared_arrays
from synthfaces.raster import sample_bilinear


class Material(IntEnum):
    """What a triangle is made of: SKIN is the whole body, clothes included; PROP is any solid thing of one colour."""

    SKIN, EYE, TEETH, TONGUE, LASH, HAIR, PROP, LENS = range(8)


POWER = np.full(8, 20, np.int32)
"""Exponent of the gloss of each material (Blinn-Phong)."""
POWER[[Material.EYE, Material.TEETH, Material.TONGUE, Material.PROP, Material.LENS]] = 160, 50, 50, 40, 60

WRAP = np.zeros((8, 3), np.float32)
"""How far diffuse light reaches around each material, by colour: further in red for skin, which scatters."""
WRAP[Material.SKIN] = 0.32, 0.2, 0.16
WRAP[[Material.EYE, Material.HAIR, Material.PROP]] = [[0.3], [0.25], [0.1]]

Floats = NDArray[np.float32]
Triangles = NDArray[np.int32]
Shape = tuple[Floats, Triangles]
"""Points (v, 3) and triangles (t, 3)."""

NOISE_SIZE = 512
"""Side of a noise field, pixels."""


def f32(values: ArrayLike) -> Floats:
    """`values` as a float32 array."""
    return np.asarray(values, np.float32)


@dataclass(frozen=True)
class Surface:
    """A mesh in head space (dm, origin between the eyes) with what shading needs at its vertices.

    `rest` is the place on the neutral head (skin) or along the strands (hair). `extra` depends on the
    material: masks of the skin, tangent of hair, colour and gloss of props. `follow` says how far a
    vertex turns with the head: 1 on the head, 0 on the shoulders. `coverage` is opacity and the place
    in the strand texture.
    """

    points: Floats  # (v, 3)
    triangles: Triangles  # (t, 3)
    material: NDArray[np.int32]  # (t,)
    rest: Floats  # (v, 3)
    extra: Floats  # (v, 4)
    follow: Floats  # (v,)
    coverage: Floats  # (v, 3)


def join_surfaces(parts: Sequence[Surface]) -> Surface:
    """One surface out of several."""
    starts = np.cumsum([0, *(len(part.points) for part in parts[:-1])]).astype(np.int32)
    moved = [replace(part, triangles=part.triangles + start) for part, start in zip(parts, starts, strict=True)]
    return Surface(**{each.name: np.concatenate([getattr(m, each.name) for m in moved]) for each in fields(Surface)})


def smoothstep(low: float, high: float, value: ArrayLike) -> Floats:
    """0 at `low`, 1 at `high`, smooth between; `low` may be the larger one.

    >>> smoothstep(10, 20, [5, 15, 20]).tolist()
    [0.0, 0.5, 1.0]
    """
    t = (f32(value) - np.float32(low)) / np.float32(high - low)
    t = np.minimum(np.maximum(t, 0), 1)  # np.clip takes twice as long where there are few values
    return f32(t * t * (3 - 2 * t))


def opaque(count: int) -> Floats:
    """`coverage` of `count` vertices without strands."""
    return np.tile(f32([1, 0, 0]), (count, 1))


def solid(
    shape: Shape, colour: Iterable[float], gloss: float = 0.0, follow: float = 1.0, material: int = Material.PROP
) -> Surface:
    """`shape` in one colour; gloss 0 means cloth."""
    points, triangles = shape
    return Surface(
        points=points,
        triangles=triangles,
        material=np.full(len(triangles), material, np.int32),
        rest=points,
        extra=np.tile(f32([*colour, gloss]), (len(points), 1)),
        follow=np.full(len(points), follow, np.float32),
        coverage=opaque(len(points)),
    )


def sheet(points: ArrayLike) -> Shape:
    """A surface through a grid of points (rows, columns, 3)."""
    grid = f32(points)
    return grid.reshape(-1, 3), grid_triangles(*grid.shape[:2])


def grid_triangles(rows: int, columns: int, closed: bool = False) -> Triangles:
    """Triangles of a row-major grid of vertices; `closed` joins the last row to the first."""
    row, column = np.meshgrid(np.arange(rows if closed else rows - 1), np.arange(columns - 1), indexing="ij")
    a = (row * columns + column).ravel()
    b = ((row + 1) % rows * columns + column).ravel()
    return np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)]).astype(np.int32)


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 8, closed: bool = False) -> Shape:
    """A tube of `radius` (one, or one a point) along `path` (n, 3)."""
    middle = f32(path)
    ahead = np.roll(middle, -1, axis=0) - np.roll(middle, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = middle[1] - middle[0], middle[-1] - middle[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    aside = np.cross(ahead, [0.31, 0.13, 0.94])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    third = np.cross(ahead, aside)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(angle)[None, :, None] * aside[:, None] + np.sin(angle)[None, :, None] * third[:, None]
    points = middle[:, None] + ring * np.broadcast_to(f32(radius), len(middle))[:, None, None]
    return f32(points.reshape(-1, 3)), grid_triangles(len(middle), sides + 1, closed)


def ball(centre: ArrayLike, radii: ArrayLike, steps: int = 12) -> Shape:
    """An ellipsoid."""
    down, around = np.meshgrid(np.linspace(0, np.pi, steps), np.linspace(0, 2 * np.pi, 2 * steps), indexing="ij")
    unit = np.stack([np.sin(down) * np.cos(around), np.cos(down), np.sin(down) * np.sin(around)], axis=2)
    return sheet(np.asarray(centre) + unit * np.asarray(radii))


@lru_cache(maxsize=64)
def noise_field(scale_x: float, scale_y: float, salt: int = 0) -> NDArray[np.float32]:
    """White noise blurred by (scale_x, scale_y) pixels, (512, 512), tileable, mean 0, deviation 1."""
    name = f"noise-{scale_x:g}-{scale_y:g}-{salt}"
    return prepared_arrays(name, lambda: {"field": _make_noise(scale_x, scale_y, salt)})["field"]


def _make_noise(scale_x: float, scale_y: float, salt: int) -> NDArray[np.float32]:
    white = np.random.default_rng([salt, 7_151]).standard_normal((NOISE_SIZE, NOISE_SIZE))
    waves = np.fft.fftfreq(NOISE_SIZE)
    blur = np.exp(-2 * np.pi**2 * ((waves[None] * scale_x) ** 2 + (waves[:, None] * scale_y) ** 2))
    smooth = np.fft.ifft2(np.fft.fft2(white) * blur).real
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def _spread_evenly(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace each value by its rank, so that the field is spread evenly over 0..1."""
    ranks = np.empty(values.size, np.float32)
    ranks[np.argsort(values, axis=None, kind="stable")] = np.linspace(0, 1, values.size, dtype=np.float32)
    return ranks.reshape(values.shape)


@lru_cache(maxsize=8)
def strand_texture(kind: str) -> NDArray[np.float32]:
    """Hair structure in 0..1, (512, 512): x runs across the strands, y along them."""
    return prepared_arrays(f"strands-{kind}", lambda: {"texture": _spread_evenly(_make_strands(kind))})["texture"]


def _make_strands(kind: str) -> NDArray[np.float32]:
    if kind == "curly":
        return noise_field(2.5, 2.5, 1) + 0.6 * noise_field(7.0, 7.0, 2)
    bend = 6.0 if kind == "wavy" else 1.5
    fine = noise_field(0.7, 40.0, 3) + 0.9 * noise_field(2.2, 70.0, 4) + 0.7 * noise_field(7.0, 90.0, 5)
    side = np.arange(NOISE_SIZE, dtype=np.float32)
    grid_x, grid_y = np.meshgrid(side, side)
    shift = bend * np.sin(2 * np.pi * 3 * grid_y / NOISE_SIZE) + bend * noise_field(30.0, 30.0, 6)
    moved = (grid_x + shift.astype(np.float32)) % NOISE_SIZE
    return sample_bilinear(fine, moved.ravel(), grid_y.ravel()).reshape(fine.shape)
