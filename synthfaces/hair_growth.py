"""Hair painted on the skin: scalp, eyebrows and beards, as weights (h, w) over the chart."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from synthfaces import hair as hairs
from synthfaces.chart import chart, texture
from synthfaces.identity import Brow, Identity
from synthfaces.surface import Floats, f32, smoothstep

_PAINTED = {"bald": 0.22, "buzz": 0.8}  # how dark the scalp of styles without a sheet is
_CHEEK_X = (0.0, 0.2, 0.32, 0.45, 0.6, 0.75, 0.9)  # the upper edge of a full beard
_CHEEK_Y = (-0.76, -0.74, -0.72, -0.62, -0.42, -0.12, 0.02)


def hair_mask(person: Identity, age: float) -> Floats:
    """Where the hair of the head grows; soft and broken along the hairline."""
    on = chart()
    rough = texture(0.6, 1.8, 8, person.skin.texture)
    edge = hairs.hairline(person.hair, age, on.azimuth[0])[None]  # the axis of the chart is that of the scalp
    grown = smoothstep(-4, 5, edge - on.polar + 1.5 * rough)
    return f32(_PAINTED.get(person.hair.style, 0.95) * grown * (0.94 + 0.06 * np.clip(rough, -1, 1)))


def brow_mask(brow: Brow, offset: tuple[int, int]) -> Floats:
    """Two arched, tapering strokes of short hairs."""
    on = chart()
    along = np.clip((on.side - brow.inner) / (brow.outer - brow.inner), -0.2, 1.2)
    arch = brow.arch * np.sin(np.clip(along, 0, 1) * (np.pi * 0.9))
    middle = brow.height + arch + brow.slant * (along - 0.5)
    half = brow.thickness * smoothstep(-0.08, 0.12, along) * (1.05 - 0.8 * np.clip(along, 0, 1) ** 1.3)
    fine = texture(0.6, 1.2, 9, offset)
    off = np.abs(on.y - middle) / (half + 1e-4)
    weight = smoothstep(1.3, 0.5, off + 0.15 * fine) * smoothstep(1.05, 0.85, along) * (on.z > -0.3)
    return f32(brow.density * weight * np.clip(0.9 + 0.1 * fine, 0, 1))


def beard_mask(person: Identity, stubble: float) -> Floats:
    """The beard of the person's kind, `stubble` (-1..1) shorter or longer than usual."""
    kind = person.hair.beard
    fine = texture(0.55, 1.3, 10, person.skin.texture)
    full = 0.4 if kind == "stubble" else 0.95
    strength = np.clip(person.hair.beard_density * full * (1 + 0.2 * stubble) * (0.9 + 0.1 * fine), 0, 0.96)
    return f32(strength * _beard_area(kind) * (1 - np.clip(1.5 * chart().lips, 0, 1)))


@lru_cache(maxsize=8)
def _beard_area(kind: str) -> Floats:
    on = chart()
    blur = 0.04 * texture(5, 5, 11, (0, 0))
    y, side = on.y + blur, on.side + blur
    front = smoothstep(-0.2, 0.0, on.z)
    lip = smoothstep(0.095, 0.03, np.abs(y + 0.555 + 0.35 * side**2)) * smoothstep(0.36, 0.24, side) * front
    if kind == "moustache":
        return lip
    if kind == "goatee":
        chin = smoothstep(0.36, 0.22, side) * smoothstep(-0.74, -0.84, y) * smoothstep(-1.36, -1.16, y)
        corner = (
            np.exp(-(((on.side - 0.31) / 0.05) ** 2)) * smoothstep(-0.5, -0.6, y) * smoothstep(-1, -0.8, y)
        )
        return f32(np.maximum.reduce([chin * front, lip, corner * front]))
    cheek = np.interp(on.side, _CHEEK_X, _CHEEK_Y).astype(np.float32)
    jaw = smoothstep(0.05, -0.12, y - cheek) * smoothstep(-1.32, -1.1, y) * smoothstep(-0.6, -0.45, on.z)
    return f32(np.maximum(jaw, lip))
