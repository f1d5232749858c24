"""The chart that faces are painted on: the neutral head unrolled onto a cylinder.

Columns are the angle around a vertical axis, rows the height. What is painted is a function of the
place on the neutral face, so it moves with the skin when the face changes its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthfaces import mesh, noise, surface
from synthfaces.raster import interpolate, rasterise
from synthfaces.surface import Floats, opaque

_DENSITY = 100.0  # texels a decimetre and a radian
_ANGLE = 2.1  # radians to each side
_TOP, _BOTTOM = 1.3, -1.5  # dm
_AXIS = -0.55  # z of the axis
_WIDTH, _HEIGHT = round(2 * _ANGLE * _DENSITY), round((_TOP - _BOTTOM) * _DENSITY)


@dataclass(frozen=True)
class Chart:
    """For every texel (h, w): place on the neutral head, |x|, place on the scalp, and the lips."""

    x: Floats
    y: Floats
    z: Floats
    side: Floats  # |x|
    azimuth: Floats  # radians, see mesh.polar
    polar: Floats  # degrees
    lips: Floats  # 0..1


def chart_place(rest: Floats) -> tuple[Floats, Floats]:
    """Column and row in the chart of rest positions (n, 3)."""
    angle = np.arctan2(rest[:, 0], rest[:, 2] - np.float32(_AXIS))
    return (angle + np.float32(_ANGLE)) * np.float32(_DENSITY), (np.float32(_TOP) - rest[:, 1]) * np.float32(
        _DENSITY
    )


@lru_cache(maxsize=1)
def chart() -> Chart:
    """Unroll the neutral head with the renderer itself: the outermost surface wins."""
    model = mesh.load_head()
    column, row = chart_place(model.neutral)
    radius = np.hypot(model.neutral[:, 0], model.neutral[:, 2] - _AXIS)
    screen = np.stack([column, row, 10 - radius], axis=1).astype(np.float32)
    ears = (model.masks[model.triangles, 2] > 0.3).any(axis=1)
    body = model.triangles[(model.material == surface.SKIN) & ~ears]
    body = body[np.ptp(column[body], axis=1) < _WIDTH / 4]  # not across the seam behind the head
    depth = np.full((_HEIGHT, _WIDTH), np.inf, np.float32)
    index = np.full((_HEIGHT, _WIDTH), -1, np.int32)
    weights = np.zeros((_HEIGHT, _WIDTH, 2), np.float32)
    solid = opaque(len(screen))
    rasterise(screen, body, solid, noise.strands("straight"), depth, index, weights)
    covered = index >= 0
    attributes = np.concatenate([model.neutral, model.masks[:, :1]], axis=1)
    values = _cylinder()
    values[covered] = interpolate(index, weights, body, attributes, int(covered.sum()))
    x, y, z, lips = (np.ascontiguousarray(part) for part in np.moveaxis(values, 2, 0))
    azimuth, polar = mesh.polar(values[..., :3].reshape(-1, 3))
    return Chart(x, y, z, np.abs(x), azimuth.reshape(x.shape), np.degrees(polar).reshape(x.shape), lips)


def _cylinder() -> Floats:
    """x, y, z and lips (h, w, 4) where no skin is met: a cylinder of 1 dm."""
    angle = np.arange(_WIDTH) / _DENSITY - _ANGLE
    height = _TOP - np.arange(_HEIGHT)[:, None] / _DENSITY
    parts = np.broadcast_arrays(np.sin(angle)[None], height, _AXIS + np.cos(angle)[None], 0.0)
    return np.stack(parts, axis=2).astype(np.float32)


def texture(scale_x: float, scale_y: float, salt: int, offset: tuple[int, int]) -> Floats:
    """Noise (h, w) over the chart, read at somebody's own `offset`."""
    rows = (np.arange(_HEIGHT) + offset[1]) % noise.SIZE
    columns = (np.arange(_WIDTH) + offset[0]) % noise.SIZE
    return noise.field(scale_x, scale_y, salt)[rows[:, None], columns[None]]


@lru_cache(maxsize=32)
def spot(x: float, y: float, wide: float, high: float) -> Floats:
    """A soft spot (h, w), 0..1, at (x, y) dm on both halves of the face."""
    on = chart()
    soft = np.exp(-(((on.side - x) / wide) ** 2) - ((on.y - y) / high) ** 2) * (on.z > -0.3)
    return soft.astype(np.float32)


def sample_albedo(albedo: Floats, rest: Floats) -> Floats:
    """Albedo (n, 3) at rest positions (n, 3)."""
    column, row = chart_place(rest)
    return noise.sample_bilinear(albedo, column, row, wrap=False)
