"""Compiled loops of the renderer over the covered pixels of a photo: normals, skin, illumination, shadows, development.

Single precision is kept as numpy keeps it: a constant is a float32, so that each loop has the bits of the array
operations that its docstring names.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facerec.core import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
_STEPS = 2048  # of the film curve


@compiled
def facing_normals(values: Floats) -> Floats:
    """The first three of `values` (n, k) as unit normals (n, 3); those turned away from the camera are reversed."""
    one, tiny, away = np.float32(1), np.float32(1e-12), np.float32(-0.15)
    normals = np.empty((len(values), 3), np.float32)
    for n in range(len(values)):
        x, y, z = values[n, 0], values[n, 1], values[n, 2]
        scale = one / np.sqrt(x * x + y * y + z * z + tiny)
        x, y, z = x * scale, y * scale, z * scale
        if z < away:
            x, y, z = -x, -y, -z
        normals[n, 0], normals[n, 1], normals[n, 2] = x, y, z
    return normals


@compiled
def paint_pixels(
    painted: Floats,
    rest: Floats,
    masks: Floats,
    material: Ints,
    skin: int,
    chart: Floats,
    albedo: Floats,
    gloss: Floats,
) -> NDArray[np.uint8]:
    """Write `albedo` (n, 3) and `gloss` (n,) of the pixels whose `material` is `skin`, out of the chart `painted` (h, w, 3).

    `rest` (n, 3) are their places on the neutral head, `masks` (n, 4) the painted parts; `chart` is the axis, angle, top
    and density of the chart. Returns what each pixel (n,) is besides: 1 where a mask is above 0, 2 where the place is as
    low as clothes may be, 3 where both are so.
    """
    height, width = painted.shape[:2]
    axis, turn, top, density, low = chart[0], chart[1], chart[2], chart[3], np.float32(-1.2)
    a1, a3, a5 = np.float32(0.999866), np.float32(-0.3302995), np.float32(0.180141)
    a7, a9 = np.float32(-0.085133), np.float32(0.0208351)
    quarter, tiny = np.float32(math.pi / 2), np.float32(1e-12)
    kind = np.zeros(len(rest), np.uint8)
    for n in range(len(rest)):
        if material[n] != skin:
            continue
        aside, ahead = rest[n, 0], rest[n, 2] - axis
        small, large = min(abs(aside), abs(ahead)), max(abs(aside), abs(ahead), tiny)
        ratio = small / large  # arctan to within 1e-5: Abramowitz and Stegun 1964, 4.4.47
        square = ratio * ratio
        angle = ratio * (a1 + square * (a3 + square * (a5 + square * (a7 + square * a9))))
        if abs(aside) > abs(ahead):
            angle = quarter - angle
        if ahead < 0:
            angle = quarter + quarter - angle
        column = ((angle if aside >= 0 else -angle) + turn) * density
        row = (top - rest[n, 1]) * density
        left, upper = np.floor(column), np.floor(row)
        right_share, lower_share = column - left, row - upper
        x0, y0 = int(left), int(upper)
        x1, y1 = min(max(x0 + 1, 0), width - 1), min(max(y0 + 1, 0), height - 1)
        x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
        for k in range(3):
            above = painted[y0, x0, k] + (painted[y0, x1, k] - painted[y0, x0, k]) * right_share
            below = painted[y1, x0, k] + (painted[y1, x1, k] - painted[y1, x0, k]) * right_share
            albedo[n, k] = above + (below - above) * lower_share
        gloss[n] = 0.055
        if masks[n, 0] + masks[n, 1] + masks[n, 2] + masks[n, 3] > 0:
            kind[n] += 1
        if rest[n, 1] < low:
            kind[n] += 2
    return kind


@compiled
def illuminate(
    albedo: Floats,
    normal: Floats,
    gloss: Floats,
    material: Ints,
    power: Ints,
    wrap: Floats,
    lit: Floats,
    open_sky: Floats,
    direction: Floats,
    key: Floats,
    sky: Floats,
    ground: Floats,
    covered: NDArray[np.bool_],
    scene: Floats,
) -> None:
    """Write linear RGB to the n `covered` (h, w) pixels of `scene` (h, w, 3): wrapped diffuse key light, sky and ground, Blinn-Phong gloss, a faint rim.

    `power` (m,) and `wrap` (m, 3) are those of each `material`. `direction`, `key`, `sky`, `ground` (3,) are the light;
    `lit` (n,) and `open_sky` (n,) are the shares of key and ambient light that arrive; the camera is far away along +z.
    """
    hx, hy, hz = direction[0], direction[1], direction[2] + 1
    length = np.sqrt(hx * hx + hy * hy + hz * hz)
    n = -1
    for place in range(covered.size):
        y, x = place // covered.shape[1], place % covered.shape[1]
        if not covered[y, x]:
            continue
        n += 1
        nx, ny, nz = normal[n, 0], normal[n, 1], normal[n, 2]
        facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
        up = 0.5 + 0.5 * ny
        mirror = max((nx * hx + ny * hy + nz * hz) / length, 0.0)
        kind = material[n]
        shine = 0.0
        if gloss[n] > 0:
            glare, square, exponent = 1.0, float(mirror), power[kind]
            while exponent > 0:  # mirror ** power by squaring
                if exponent & 1:
                    glare *= square
                square *= square
                exponent >>= 1
            shine = gloss[n] * glare * (0.15 + 0.85 * lit[n]) + 0.04 * (1 - max(nz, 0.0)) ** 4 * open_sky[n]
        for k in range(3):
            diffuse = max((facing + wrap[kind, k]) / (1 + wrap[kind, k]), 0.0) * lit[n]
            ambient = (sky[k] * up + ground[k] * (1 - up)) * open_sky[n]
            scene[y, x, k] = albedo[n, k] * (key[k] * diffuse + ambient) + shine * key[k]


@compiled
def shadow(depth: Floats, places: Floats, scale: Floats, start: Floats, bias: float) -> Floats:
    """Share of light 0..1 that reaches `places` (n, 3), times `scale` (3,) plus `start` (3,) on a light's depth map.

    It is the share of a window of 5 x 5 pixels whose surface is not nearer to the light by `bias`.
    """
    height, width = depth.shape
    lit = np.empty(len(places), np.float32)
    for n in range(len(places)):
        x, y, z = (
            places[n, 0] * scale[0] + start[0],
            places[n, 1] * scale[1] + start[1],
            places[n, 2] * scale[2] + start[2],
        )
        column, row, nearest = int(x + 0.5), int(y + 0.5), z - bias
        seen = 0
        if 2 <= row < height - 2 and 2 <= column < width - 2:
            for r in range(row - 2, row + 3):
                for c in range(column - 2, column + 3):
                    seen += depth[r, c] > nearest
        else:
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    r, c = min(max(row + dy, 0), height - 1), min(max(column + dx, 0), width - 1)
                    seen += depth[r, c] > nearest
        lit[n] = seen / 25
    return lit


@lru_cache(maxsize=1)
def film_curve() -> Floats:
    """Tones (n + 1,) of film, (1 - exp(-l (1 + .35 l))) ** (1 / 2.2), at n equal steps of the square root of l from 0 to 2."""
    light = np.linspace(0, 2, _STEPS + 1) ** 2
    return np.array([(1 - math.exp(-value * (1 + 0.35 * value))) ** (1 / 2.2) for value in light], np.float32)


@compiled
def expose(light: Floats, white: Floats, curve: Floats) -> None:
    """Turn linear light (h, w, 3) into film tones in place: those of `film_curve` for l = max(light, 0) white."""
    steps, zero, last = np.float32((len(curve) - 1) / 2), np.float32(0), len(curve) - 2
    for y in range(light.shape[0]):
        for x in range(light.shape[1]):
            for k in range(3):
                place = np.sqrt(max(light[y, x, k], zero) * white[k]) * steps
                step = min(int(place), last)
                share = min(place - np.float32(step), np.float32(1))
                light[y, x, k] = curve[step] + (curve[step + 1] - curve[step]) * share


@compiled
def digitise(tones: Floats, seed: int, strength: float) -> NDArray[np.uint8]:
    """Bytes (h, w, 3) of tones in 0..1 with noise of the standard deviation `strength` added.

    The noise is the sum of the four quarters of a random number of SplitMix64 (Steele, Lea and Flood 2014), which is
    close to a normal distribution.
    """
    most, half = np.float32(255), np.float32(0.5)
    share, middle = np.float32(strength / math.sqrt((65536.0**2 - 1) / 3)), np.float32(2 * 65535)
    step, first, second = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
    quarter, state = np.uint64(0xFFFF), np.uint64(seed)
    image = np.empty(tones.shape, np.uint8)
    for y in range(tones.shape[0]):
        for x in range(tones.shape[1]):
            for k in range(3):
                state += step
                bits = (state ^ (state >> np.uint64(30))) * first
                bits = (bits ^ (bits >> np.uint64(27))) * second
                bits ^= bits >> np.uint64(31)
                total = (bits & quarter) + ((bits >> np.uint64(16)) & quarter)
                total += ((bits >> np.uint64(32)) & quarter) + (bits >> np.uint64(48))
                value = (tones[y, x, k] + (np.float32(np.int64(total)) - middle) * share) * most + half
                image[y, x, k] = np.uint8(min(max(value, np.float32(0)), most))
    return image


@compiled
def turn_points(points: Floats, share: Floats, neck: Floats, angles: NDArray[np.float64], turn: float) -> Floats:
    """`points` (v, 3) relative to `neck` (3,), turned by `angles` (yaw, pitch, roll in radians) as far as `share` (v,).

    Of the yaw, at least `turn` is taken. Neighbours mostly have the same share, and so the same sines.
    """
    part, rest = np.float32(turn), np.float32(1 - turn)
    turned = np.empty(points.shape, np.float32)
    last = np.float32(np.nan)
    sin_yaw = cos_yaw = sin_pitch = cos_pitch = sin_roll = cos_roll = 0.0
    for n in range(len(points)):
        if share[n] != last:
            last = share[n]
            yaw, pitch, roll = angles[0] * float(part + rest * last), angles[1] * float(last), angles[2] * float(last)
            sin_yaw, cos_yaw = math.sin(yaw), math.cos(yaw)
            sin_pitch, cos_pitch = math.sin(pitch), math.cos(pitch)
            sin_roll, cos_roll = math.sin(roll), math.cos(roll)
        x, y, z = (float(points[n, 0] - neck[0]), float(points[n, 1] - neck[1]), float(points[n, 2] - neck[2]))
        x, z = x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw
        y, z = y * cos_pitch + z * sin_pitch, z * cos_pitch - y * sin_pitch
        x, y = x * cos_roll + y * sin_roll, y * cos_roll - x * sin_roll
        turned[n, 0], turned[n, 1], turned[n, 2] = x, y, z
    return turned
