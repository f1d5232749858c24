"""Clothes as functions of the place on the body: which garment covers a point and in what colour."""

from __future__ import annotations

import numpy as np

from synthfaces import noise
from synthfaces.shot import Clothes
from synthfaces.surface import Floats, f32, smoothstep


def depth(clothes: Clothes, rest: Floats) -> Floats:
    """How far (dm) rest positions (n, 3) lie below the neckline; negative where skin shows."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    plane = -1.93 + 0.06 * clothes.neckline + 0.55 * (-0.4 - z) + 0.5 * smoothstep(0.4, 1.0, x) - y
    front = smoothstep(-0.95, -0.6, z)
    if clothes.kind == "scoop":
        plane -= (0.45 + 0.15 * clothes.neckline) * np.exp(-((x / 0.62) ** 2)) * front
    elif clothes.kind == "vneck":
        plane -= (0.75 + 0.2 * clothes.neckline) * np.clip(1 - x / 0.45, 0, 1) * front
    elif clothes.kind == "polo":
        plane += 0.16 - 0.55 * np.clip(1 - x / 0.16, 0, 1) * front
    else:
        plane += {"crew": 0.0, "turtleneck": 0.42, "suit": 0.22}[clothes.kind]
    return f32(plane)


def colour(clothes: Clothes, rest: Floats, below: Floats) -> Floats:
    """Linear albedo (n, 3) of covered points `below` the neckline (dm)."""
    x, y = rest[:, 0], rest[:, 1]
    base = _suit(clothes, rest, below) if clothes.kind == "suit" else _knitwear(clothes, rest, below)
    weave = noise.sample_bilinear(noise.field(1.2, 1.2, 31), x * 180, y * 180)
    folds = noise.sample_bilinear(noise.field(9, 26, 32), x * 60 + y * 18, y * 60)
    hem = 0.6 + 0.4 * smoothstep(-0.01, 0.03, below)
    return f32(np.clip(base * (hem * (1 + 0.03 * weave + 0.10 * folds))[:, None], 0.004, 0.9))


def _knitwear(clothes: Clothes, rest: Floats, below: Floats) -> Floats:
    """One colour, stripes or checks, with a darker band along the neckline."""
    base = np.tile(f32(clothes.colour), (len(rest), 1))
    if clothes.pattern == 1:
        base[np.sin(rest[:, 1] * 26) > 0.25] = 0.5 * (f32(clothes.second) + f32(clothes.colour))
    elif clothes.pattern == 2:
        checks = np.sign(np.sin(rest[:, :2] * 24))
        base *= ((0.75 + 0.25 * checks[:, :1]) * (0.85 + 0.15 * checks[:, 1:])).astype(np.float32)
    band = (below > 0.2) & (below < 0.24) if clothes.kind == "polo" else below < 0.09
    base[band] *= 0.7 if clothes.kind == "polo" else 0.82
    return base


def _suit(clothes: Clothes, rest: Floats, below: Floats) -> Floats:
    """Jacket with lapels over a light shirt with a collar and, mostly, a tie."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    result = np.tile(f32(clothes.colour), (len(rest), 1))
    opening = np.clip((y + 3.7) / 1.5, 0, 1) * 0.52
    inside = ((x < opening) & (z > -0.9)) | (below < 0.2)
    result[inside] = f32([0.72, 0.74, 0.78]) * (0.75 + 0.25 * f32(clothes.second) ** 0.4)
    result[~inside & (x > opening + 0.27) & (x < opening + 0.3) & (z > -0.9)] *= 0.5  # edge of the lapel
    collar = np.abs(below - 0.24 - 0.25 * np.clip(1 - x / 0.45, 0, 1)) < 0.015
    result[inside & collar] *= 0.6
    if clothes.neckline > -0.6:
        tie = (z > -0.7) & (below > 0.2) & (x < 0.075 + 0.05 * np.clip(-2.1 - y, 0, 1))
        result[inside & tie] = f32(clothes.second) * 0.6
    return result
