"""The painted face: one albedo map over the chart per person, age and beard. Colours are linear RGB."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from synthfaces import hair as hairs
from synthfaces import hair_growth
from synthfaces.chart import chart, spot, texture
from synthfaces.identity import Identity, Skin
from synthfaces.raster import blend
from synthfaces.surface import Floats, f32, smoothstep


@lru_cache(maxsize=8)
def paint_skin(person: Identity, age: float, stubble: float) -> Floats:
    """Albedo (h, w, 3) of `person` at `age` years with the beard grown by `stubble` (-1..1)."""
    albedo = _complexion(person.skin).copy()
    old = float(np.clip((age - 25) / 55, 0, 1))
    albedo *= (1 - old * _folds())[..., None]
    spots = old**2 * 0.5 * np.clip(texture(4, 4, 6, person.skin.texture) - 1.5, 0, 1)
    blend(albedo, spots, _tinted(person.skin, 0.65, 0.5, 0.42))
    hair = hairs.grey(person.hair, age)
    blend(albedo, hair_growth.hair_mask(person, age), hair * 0.85)
    blend(albedo, hair_growth.brow_mask(person.brow, person.skin.texture), hair * 0.5)
    if person.hair.beard:
        blend(albedo, hair_growth.beard_mask(person, stubble), hair * 0.8)
    return f32(np.clip(albedo, 0.003, 0.95))


def _tinted(skin: Skin, red: float, green: float, blue: float) -> Floats:
    return f32(skin.colour) * f32([red, green, blue])


@lru_cache(maxsize=2)
def _complexion(skin: Skin) -> Floats:
    """Bare young skin: uneven colour, redness, rings under the eyes, freckles and moles."""
    on = chart()
    offset = skin.texture
    light = 1 + 0.035 * skin.blotch * texture(18, 18, 1, offset) + 0.02 * texture(3, 3, 2, offset)
    light += 0.025 * texture(0.8, 0.8, 3, offset)
    light *= 1 - 0.28 * skin.eye_rings * spot(0.3, -0.2, 0.2, 0.09) - 0.12 * spot(0.3, 0.1, 0.22, 0.08)
    flush = (
        spot(0.45, -0.42, 0.24, 0.22) + 0.7 * spot(0.0, -0.36, 0.16, 0.14) + 0.3 * texture(10, 10, 4, offset)
    )
    red = 1 + (skin.redness * flush)[..., None] * f32([0.06, -0.16, -0.14])
    albedo = f32(skin.colour) * light[..., None] * red
    if skin.freckles:
        speckle = spot(0.25, -0.3, 0.45, 0.4) * np.clip(texture(1.2, 1.2, 5, offset) - 1.1, 0, 1.2)
        blend(albedo, skin.freckles * 0.55 * speckle, _tinted(skin, 0.6, 0.42, 0.3))
    for x, y, radius in skin.moles:
        mole = smoothstep(radius * 1.4, radius * 0.7, np.hypot(on.x - x, on.y - y)) * (on.z > -0.2)
        blend(albedo, 0.85 * mole, f32([0.05, 0.025, 0.018]))
    return f32(albedo)


@lru_cache(maxsize=1)
def _folds() -> Floats:
    """Lines of age (h, w), 0..1: forehead, from nose to mouth, crow's feet, beneath the eyes."""
    on = chart()
    wobble = 0.03 * texture(25, 7, 7, (0, 0))
    lines = np.clip(np.sin((on.y + wobble) * 62), 0, 1) ** 3
    forehead = (
        lines * smoothstep(0.36, 0.42, on.y) * smoothstep(0.66, 0.58, on.y) * smoothstep(0.5, 0.2, on.side)
    )
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
