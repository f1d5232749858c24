"""The painted face: skin, the marks of age and short hair, as one albedo map for a person, an age and a beard.

The map lies on a chart, the neutral head unrolled onto a cylinder: columns are the angle around a vertical axis, rows
the height. What is painted depends on the place on the neutral face, so it moves with the skin when the face changes
its shape. Colours are linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthfaces import mesh
from synthfaces.hair import hairline
from synthfaces.raster import blend, interpolate, rasterise
from synthfaces.subject import Brow, Identity, Skin
from synthfaces.surface import Floats, Material, f32, noise_field, opaque, smoothstep, strand_texture

_DENSITY = 100.0  # texels a decimetre and a radian
_ANGLE = 2.1  # radians to each side
_TOP, _BOTTOM = 1.3, -1.5  # dm
_AXIS = -0.55  # z of the axis
_WIDTH, _HEIGHT = round(2 * _ANGLE * _DENSITY), round((_TOP - _BOTTOM) * _DENSITY)
CHART = f32([_AXIS, _ANGLE, _TOP, _DENSITY])
"""What `lighting.paint_pixels` needs to know of the chart."""
_PAINTED = {"bald": 0.22, "buzz": 0.8}  # how dark the scalp of styles without a sheet is
_CHEEK_X = (0.0, 0.2, 0.32, 0.45, 0.6, 0.75, 0.9)  # the upper edge of a full beard
_CHEEK_Y = (-0.76, -0.74, -0.72, -0.62, -0.42, -0.12, 0.02)


@lru_cache(maxsize=8)
def paint_skin(person: Identity, age: float, stubble: float) -> Floats:
    """Albedo (h, w, 3) of `person` at `age` years with the beard grown by `stubble` (-1..1)."""
    albedo = _complexion(person.skin).copy()
    old = float(np.clip((age - 25) / 55, 0, 1))
    albedo *= (1 - old * _folds())[..., None]
    spots = old**2 * 0.5 * np.clip(chart_noise(4, 4, 6, person.skin.texture) - 1.5, 0, 1)
    blend(albedo, spots, _tinted(person.skin, 0.65, 0.5, 0.42))
    hair = person.hair.colour_at_age(age)
    blend(albedo, _mask_hair(person, age), hair * 0.85)
    blend(albedo, _mask_brows(person.brow, person.skin.texture), hair * 0.5)
    if person.hair.beard:
        blend(albedo, _mask_beard(person, stubble), hair * 0.8)
    return f32(np.clip(albedo, 0.003, 0.95))


def _tinted(skin: Skin, red: float, green: float, blue: float) -> Floats:
    return f32(skin.colour) * f32([red, green, blue])


@lru_cache(maxsize=2)
def _complexion(skin: Skin) -> Floats:
    """Bare young skin: uneven colour, redness, rings under the eyes, freckles and moles."""
    on = face_chart()
    offset = skin.texture
    light = 1 + 0.035 * skin.blotch * chart_noise(18, 18, 1, offset) + 0.02 * chart_noise(3, 3, 2, offset)
    light += 0.025 * chart_noise(0.8, 0.8, 3, offset)
    light *= 1 - 0.28 * skin.eye_rings * face_spot(0.3, -0.2, 0.2, 0.09) - 0.12 * face_spot(0.3, 0.1, 0.22, 0.08)
    flush = (
        face_spot(0.45, -0.42, 0.24, 0.22)
        + 0.7 * face_spot(0.0, -0.36, 0.16, 0.14)
        + 0.3 * chart_noise(10, 10, 4, offset)
    )
    red = 1 + (skin.redness * flush)[..., None] * f32([0.06, -0.16, -0.14])
    albedo = f32(skin.colour) * light[..., None] * red
    if skin.freckles:
        speckle = face_spot(0.25, -0.3, 0.45, 0.4) * np.clip(chart_noise(1.2, 1.2, 5, offset) - 1.1, 0, 1.2)
        blend(albedo, skin.freckles * 0.55 * speckle, _tinted(skin, 0.6, 0.42, 0.3))
    for x, y, radius in skin.moles:
        mole = smoothstep(radius * 1.4, radius * 0.7, np.hypot(on.x - x, on.y - y)) * (on.z > -0.2)
        blend(albedo, 0.85 * mole, f32([0.05, 0.025, 0.018]))
    return f32(albedo)


@lru_cache(maxsize=1)
def _folds() -> Floats:
    """Lines of age (h, w), 0..1: forehead, from nose to mouth, crow's feet, beneath the eyes."""
    on = face_chart()
    wobble = 0.03 * chart_noise(25, 7, 7, (0, 0))
    lines = np.clip(np.sin((on.y + wobble) * 62), 0, 1) ** 3
    forehead = lines * smoothstep(0.36, 0.42, on.y) * smoothstep(0.66, 0.58, on.y) * smoothstep(0.5, 0.2, on.side)
    run = np.clip((-0.42 - on.y) / 0.36, 0, 1)
    groove = np.exp(-(((on.side - 0.19 - 0.17 * run) / 0.025) ** 2))
    nasolabial = groove * smoothstep(-0.40, -0.48, on.y) * smoothstep(-0.84, -0.74, on.y)
    angle, distance = np.arctan2(on.y + wobble, on.side - 0.40), np.hypot(on.y, on.side - 0.40)
    rays = np.clip(np.cos(angle * 9), 0, 1) ** 3 * ((np.abs(angle) < 0.8) & (on.side > 0.4))
    feet = rays * smoothstep(0.1, 0.15, distance) * smoothstep(0.32, 0.2, distance)
    under = np.exp(-(((on.y + 0.17 + 0.5 * (on.side - 0.3) ** 2) / 0.02) ** 2))
    bags = under * smoothstep(0.2, 0.1, np.abs(on.side - 0.3))
    folds = 0.25 * forehead + 0.4 * nasolabial + 0.25 * feet + 0.3 * bags
    return f32(folds * (on.z > -0.35))


def _mask_hair(person: Identity, age: float) -> Floats:
    """Where the hair of the head grows; soft and broken along the hairline."""
    on = face_chart()
    rough = chart_noise(0.6, 1.8, 8, person.skin.texture)
    edge = hairline(person.hair, age, on.azimuth[0])[None]  # the axis of the chart is that of the scalp
    grown = smoothstep(-4, 5, edge - on.polar + 1.5 * rough)
    return f32(_PAINTED.get(person.hair.style, 0.95) * grown * (0.94 + 0.06 * np.clip(rough, -1, 1)))


@lru_cache(maxsize=2)
def _mask_brows(brow: Brow, offset: tuple[int, int]) -> Floats:
    """Two arched, tapering strokes of short hairs."""
    on = face_chart()
    along = np.clip((on.side - brow.inner) / (brow.outer - brow.inner), -0.2, 1.2)
    arch = brow.arch * np.sin(np.clip(along, 0, 1) * (np.pi * 0.9))
    middle = brow.height + arch + brow.slant * (along - 0.5)
    half = brow.thickness * smoothstep(-0.08, 0.12, along) * (1.05 - 0.8 * np.clip(along, 0, 1) ** 1.3)
    fine = chart_noise(0.6, 1.2, 9, offset)
    off = np.abs(on.y - middle) / (half + 1e-4)
    weight = smoothstep(1.3, 0.5, off + 0.15 * fine) * smoothstep(1.05, 0.85, along) * (on.z > -0.3)
    return f32(brow.density * weight * np.clip(0.9 + 0.1 * fine, 0, 1))


def _mask_beard(person: Identity, stubble: float) -> Floats:
    """The beard of the person's kind, `stubble` (-1..1) shorter or longer than usual."""
    kind = person.hair.beard
    fine = chart_noise(0.55, 1.3, 10, person.skin.texture)
    full = 0.4 if kind == "stubble" else 0.95
    strength = np.clip(person.hair.beard_density * full * (1 + 0.2 * stubble) * (0.9 + 0.1 * fine), 0, 0.96)
    return f32(strength * _beard_area(kind) * (1 - np.clip(1.5 * face_chart().lips, 0, 1)))


@lru_cache(maxsize=8)
def _beard_area(kind: str) -> Floats:
    on = face_chart()
    blur = 0.04 * chart_noise(5, 5, 11, (0, 0))
    y, side = on.y + blur, on.side + blur
    front = smoothstep(-0.2, 0.0, on.z)
    lip = smoothstep(0.095, 0.03, np.abs(y + 0.555 + 0.35 * side**2)) * smoothstep(0.36, 0.24, side) * front
    if kind == "moustache":
        return lip
    if kind == "goatee":
        chin = smoothstep(0.36, 0.22, side) * smoothstep(-0.74, -0.84, y) * smoothstep(-1.36, -1.16, y)
        corner = np.exp(-(((on.side - 0.31) / 0.05) ** 2)) * smoothstep(-0.5, -0.6, y) * smoothstep(-1, -0.8, y)
        return f32(np.maximum.reduce([chin * front, lip, corner * front]))
    cheek = np.interp(on.side, _CHEEK_X, _CHEEK_Y).astype(np.float32)
    jaw = smoothstep(0.05, -0.12, y - cheek) * smoothstep(-1.32, -1.1, y) * smoothstep(-0.6, -0.45, on.z)
    return f32(np.maximum(jaw, lip))


@dataclass(frozen=True)
class Chart:
    """For every texel (h, w): place on the neutral head, |x|, place on the scalp, and the lips."""

    x: Floats
    y: Floats
    z: Floats
    side: Floats  # |x|
    azimuth: Floats  # radians, see mesh.scalp_angles
    polar: Floats  # degrees
    lips: Floats  # 0..1


def chart_place(rest: Floats) -> tuple[Floats, Floats]:
    """Column and row in the chart of rest positions (n, 3)."""
    angle = np.arctan2(rest[:, 0], rest[:, 2] - np.float32(_AXIS))
    density = np.float32(_DENSITY)
    return (angle + np.float32(_ANGLE)) * density, (np.float32(_TOP) - rest[:, 1]) * density


@lru_cache(maxsize=1)
def face_chart() -> Chart:
    """Unroll the neutral head with the renderer itself: the outermost surface wins."""
    model = mesh.load_head()
    column, row = chart_place(model.neutral)
    radius = np.hypot(model.neutral[:, 0], model.neutral[:, 2] - _AXIS)
    screen = np.stack([column, row, 10 - radius], axis=1).astype(np.float32)
    ears = (model.masks[model.triangles, 2] > 0.3).any(axis=1)
    body = model.triangles[(model.material == Material.SKIN) & ~ears]
    body = body[np.ptp(column[body], axis=1) < _WIDTH / 4]  # not across the seam behind the head
    solid = opaque(len(screen))
    _, index, weights = rasterise(screen, body, solid, strand_texture("straight"), (_HEIGHT, _WIDTH))
    covered = index >= 0
    attributes = np.concatenate([model.neutral, model.masks[:, :1]], axis=1)
    values = _cylinder()
    values[covered] = interpolate(index, weights, body, attributes, int(covered.sum()))
    x, y, z, lips = (np.ascontiguousarray(part) for part in np.moveaxis(values, 2, 0))
    azimuth, polar = mesh.scalp_angles(values[..., :3].reshape(-1, 3))
    return Chart(x, y, z, np.abs(x), azimuth.reshape(x.shape), np.degrees(polar).reshape(x.shape), lips)


def _cylinder() -> Floats:
    """x, y, z and lips (h, w, 4) where no skin is met: a cylinder of 1 dm."""
    angle = np.arange(_WIDTH) / _DENSITY - _ANGLE
    height = _TOP - np.arange(_HEIGHT)[:, None] / _DENSITY
    parts = np.broadcast_arrays(np.sin(angle)[None], height, _AXIS + np.cos(angle)[None], 0.0)
    return np.stack(parts, axis=2).astype(np.float32)


def chart_noise(scale_x: float, scale_y: float, salt: int, offset: tuple[int, int]) -> Floats:
    """Noise (h, w) over the chart, read at the `offset` of a person."""
    rows, columns = np.arange(_HEIGHT) + offset[1], np.arange(_WIDTH) + offset[0]
    return noise_field(scale_x, scale_y, salt).take(rows, 0, mode="wrap").take(columns, 1, mode="wrap")


@lru_cache(maxsize=32)
def face_spot(x: float, y: float, wide: float, high: float) -> Floats:
    """A soft spot (h, w), 0..1, at (x, y) dm on both halves of the face."""
    on = face_chart()
    soft = np.exp(-(((on.side - x) / wide) ** 2) - ((on.y - y) / high) ** 2) * (on.z > -0.3)
    return f32(soft)
