"""Head hair as sheets over the scalp, cut by strand texture: hairlines, styles and lengths.

A sheet is the polar grid of `mesh.scalp_grid` lifted off the skin. Where the hair ends is a curve
end(azimuth), in degrees from the crown; below the ears, long styles hang down instead of following the
skin. Opacity falls to 0 over a few degrees before the end and is compared with the strand texture, so
that an edge is made of strands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthfaces import mesh
from synthfaces.subject import Hair
from synthfaces.surface import NOISE_SIZE, Floats, Material, Surface, f32, grid_triangles, noise_field, smoothstep

# The edge of the scalp: azimuth (0 forehead, 180 nape) and degrees from the crown.
_EDGE_AZIMUTH = np.array([0, 20, 34, 46, 56, 64, 71, 78, 86, 96, 108, 122, 150, 180])
_EDGE_POLAR = np.array([61, 61.5, 65, 74, 84, 97, 110, 105, 98, 99, 114, 130, 143, 145])
_HANG = 100.0  # degrees from the crown where long hair leaves the head
_REACH = 3.6  # dm from there to the last row of the grid


@dataclass(frozen=True)
class HairStyle:
    """Thickness (dm) on top, at the sides and at the back; `fringe` degrees over the forehead; `length` dm below the ears."""

    top: float
    side: float
    back: float
    edge: float = 18.0  # degrees in which the thickness grows from the hairline
    fringe: float = 0.0
    length: float = 0.0
    curtain: float = 62.0  # azimuth from which long hair hangs
    bun: bool = False


STYLES = {
    "crop": HairStyle(0.10, 0.05, 0.06, edge=12),
    "side": HairStyle(0.17, 0.08, 0.09, edge=12),
    "quiff": HairStyle(0.22, 0.06, 0.07, edge=9),
    "fringe": HairStyle(0.15, 0.09, 0.10, fringe=14),
    "back": HairStyle(0.16, 0.10, 0.18, edge=16),
    "afro": HairStyle(0.38, 0.34, 0.36, edge=20),
    "tied": HairStyle(0.07, 0.05, 0.07, edge=14, bun=True),
    "long": HairStyle(0.15, 0.14, 0.18, length=2.6),
    "shoulder": HairStyle(0.15, 0.15, 0.18, length=1.6),
    "bob": HairStyle(0.16, 0.18, 0.20, length=0.9),
    "fringed bob": HairStyle(0.16, 0.18, 0.20, fringe=16, length=0.8),
}  # "buzz" and "bald" have no sheet: they are painted on the scalp


def hairline(hair: Hair, age: float, azimuth: Floats) -> Floats:
    """Degrees from the crown at which the scalp ends, at `azimuth` (n,) radians, for a person of `age` years."""
    degrees = np.abs(np.degrees(azimuth))
    edge = np.interp(degrees, _EDGE_AZIMUTH, _EDGE_POLAR)
    front = np.clip(1 - degrees / 60, 0, 1)
    edge -= 60 * hair.hairline * np.minimum(front * 3, 1)
    edge += 80 * hair.peak * np.exp(-((degrees / 9) ** 2))
    bald = hair.recession * np.clip((age - 25) / 35, 0, 1)
    edge -= 26 * bald * np.exp(-(((degrees - 32) / 16) ** 2)) + 12 * bald * front
    return f32(edge)


def hair_sheets(hair: Hair, age: float, ruffle: float, points: Floats, hat: Floats | None) -> list[Surface]:
    """Hair of a head with vertices `points` (v, 3); under a `hat` (edge in degrees by azimuth) it lies flat."""
    if hair.style not in STYLES:
        return []
    style = STYLES[hair.style]
    grid = mesh.scalp_grid()
    azimuth, outward = grid.azimuth, grid.directions
    skin = mesh.scalp_points(points)
    degrees = np.degrees(grid.polar)
    end = _sheet_end(hair, style, age, azimuth)
    lift = _thickness(style, azimuth, degrees, end) * hair.volume * (1 + 0.15 * ruffle)
    if hat is not None:
        lift = np.where(degrees[None] < hat[:, None] + 10, np.minimum(lift, 0.03), lift)
    if style.length:
        around = np.abs(np.degrees(azimuth))[:, None]
        lift = lift + 0.09 * smoothstep(55, 95, around) * smoothstep(55, 105, degrees[None])
    waves = noise_field(10.0, 14.0, 21)
    rows = (np.arange(len(azimuth)) * 7 + int(97 * (1 + ruffle))) % NOISE_SIZE
    lift = lift * (1 + 0.16 * waves[rows][:, np.arange(len(degrees)) * 9])
    shells = []
    for extra_lift, most in ((0.0, 1.01), (0.022, 0.6)):
        placed = skin + outward * (lift + extra_lift * (lift > 0.02))[..., None]
        if style.length:
            placed = _hang_down(placed, azimuth, degrees, style)
        opacity = np.minimum((end[:, None] - degrees[None]) / 7.0, most)
        shells.append(_make_sheet(placed, azimuth, degrees, opacity))
    return shells


def bun_shape(hair: Hair, points: Floats) -> tuple[Floats, Floats] | None:
    """Centre and radii of the knot of tied hair, or None."""
    if hair.style not in STYLES or not STYLES[hair.style].bun:
        return None
    grid = mesh.scalp_grid()
    column, row = 0, int(np.argmin(np.abs(np.degrees(grid.polar) - 72)))
    centre = mesh.scalp_points(points)[column, row] + 0.22 * grid.directions[column, row]
    return f32(centre), hair.volume * f32([0.32, 0.3, 0.26])


def _sheet_end(hair: Hair, style: HairStyle, age: float, azimuth: Floats) -> Floats:
    """Where the sheet ends, degrees from the crown."""
    end = hairline(hair, age, azimuth)
    degrees = np.abs(np.degrees(azimuth))
    if style.fringe:
        end = np.maximum(end, 68 + style.fringe * smoothstep(58, 44, degrees) + 3 * np.sin(azimuth * 2 + hair.part))
    if style.length:
        hang = _HANG + style.length / _REACH * (150 - _HANG)
        end = np.where(degrees > style.curtain, np.maximum(end, hang), end)
    return f32(end)


def _thickness(style: HairStyle, azimuth: Floats, degrees: NDArray[np.float32], end: Floats) -> Floats:
    """Thickness (a, p) of the hair: by region, growing from the hairline inwards."""
    around = np.abs(np.degrees(azimuth))[:, None]
    low = style.side + (style.back - style.side) * smoothstep(95, 150, around)
    top = smoothstep(85, 45, degrees[None])
    thickness = low + (style.top - low) * top
    grown = smoothstep(0.0, style.edge, end[:, None] - degrees[None])
    return f32(thickness * (0.12 + 0.88 * grown))


def _hang_down(placed: Floats, azimuth: Floats, degrees: NDArray[np.float32], style: HairStyle) -> Floats:
    """Let the rows below the ears hang straight down, in front of or behind the shoulders."""
    around = np.abs(np.degrees(azimuth))
    start = int(np.searchsorted(degrees, _HANG))
    drop = (degrees[start:] - degrees[start]) / (150 - _HANG) * _REACH
    column = np.repeat(placed[:, start : start + 1], len(drop), axis=1)
    outer = smoothstep(style.curtain, style.curtain + 32, around)[:, None]
    column[..., 0] *= 1 + smoothstep(0.0, 0.8, drop)[None] * (0.24 * outer - 0.15)
    column[..., 1] -= drop
    front = smoothstep(110, 75, around)[:, None]
    column[..., 2] += smoothstep(0.9, 1.9, drop)[None] * (0.42 * front - 0.15 * (1 - front))
    hanging = smoothstep(style.curtain - 8, style.curtain, around)[:, None, None]
    result = placed.copy()
    result[:, start:] = column * hanging + placed[:, start:] * (1 - hanging)
    return result


def _make_sheet(placed: Floats, azimuth: Floats, degrees: NDArray[np.float32], opacity: Floats) -> Surface:
    columns, rows = placed.shape[:2]
    tangent = np.gradient(placed, axis=1)
    tangent /= np.linalg.norm(tangent, axis=2, keepdims=True) + 1e-9
    across = np.broadcast_to((azimuth * (3 * NOISE_SIZE / (2 * np.pi)) + 4 * NOISE_SIZE)[:, None], (columns, rows))
    along = np.broadcast_to((degrees * 4.0)[None], (columns, rows))
    triangles = grid_triangles(columns, rows)
    flat = columns * rows
    coordinates = np.stack([opacity, across, along], axis=2).reshape(flat, 3)
    return Surface(
        points=placed.reshape(flat, 3).astype(np.float32),
        triangles=triangles,
        material=np.full(len(triangles), Material.HAIR, np.int32),
        rest=np.stack([across, along, opacity], axis=2).reshape(flat, 3).astype(np.float32),
        extra=np.concatenate([tangent.reshape(flat, 3), np.ones((flat, 1))], axis=1).astype(np.float32),
        follow=np.ones(flat, np.float32),
        coverage=coordinates.astype(np.float32),
    )
