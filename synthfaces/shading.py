"""The colour of visible pixels: material, key light with cast shadow, sky, ground, occlusion, gloss.

Diffuse light wraps a little around skin, further in red, which imitates scattering; gloss is
Blinn-Phong (1977), hair Kajiya-Kay (1989); ambient occlusion is read off the depth buffer (unsharp
masking the depth buffer, Luft et al. 2006).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synthfaces import chart, cloth, eyes, mesh, noise
from synthfaces import hair as hairs
from synthfaces.identity import Identity
from synthfaces.raster import illuminate, rasterise, shadow
from synthfaces.shot import Light, Shot
from synthfaces.surface import EYE, HAIR, LASH, POWER, PROP, SKIN, TEETH, TONGUE, WRAP, Floats, Surface, f32

_MAP = 208  # side of the shadow map, pixels
_RADIUS = 2.3  # dm around the face that the shadow map covers
_CAMERA = f32([0, 0, 1])
_MOUTH = {  # albedo and gloss of what is inside
    TEETH: ((0.62, 0.58, 0.50), 0.25),
    TONGUE: ((0.30, 0.09, 0.08), 0.15),
    LASH: ((0.02, 0.016, 0.014), 0.0),
}


@dataclass(frozen=True)
class Pixels:
    """The n covered pixels of a (h, w) picture in row-major order, all in camera space."""

    covered: NDArray[np.bool_]  # (h, w)
    depth: Floats  # (h, w)
    material: NDArray[np.int32]  # (n,)
    normal: Floats  # (n, 3)
    position: Floats  # (n, 3)
    rest: Floats  # (n, 3)
    extra: Floats  # (n, 4)


@dataclass(frozen=True)
class Look:
    """What the materials are at each pixel: albedo (n, 3), strength of gloss (n,), normal (n, 3)."""

    albedo: Floats
    gloss: Floats
    normal: Floats


def shade(
    person: Identity, shot: Shot, surface: Surface, posed: Floats, skin: Floats, pixels: Pixels
) -> Floats:
    """Linear RGB (n, 3) of the covered pixels; `skin` is the painted face of `person`."""
    count = len(pixels.material)
    facing = np.where(pixels.normal[:, 2:] < -0.15, -pixels.normal, pixels.normal)
    look = Look(np.empty((count, 3), np.float32), np.zeros(count, np.float32), facing)
    _skin(person, shot, skin, pixels, look)
    _eyes(person, shot, posed, pixels, look)
    _mouth(pixels, look)
    _props(pixels, look)
    _hair(person, shot, pixels, look)
    lit, open_sky = _key_shadow(surface, posed, shot.light, pixels), _occlusion(pixels, shot)
    surfaces = (look.albedo, look.normal, look.gloss, pixels.material, POWER, WRAP)
    return f32(illuminate(*surfaces, lit, open_sky, *(f32(part) for part in astuple(shot.light))))


def _skin(person: Identity, shot: Shot, skin: Floats, pixels: Pixels, look: Look) -> None:
    """Face, neck and whatever is worn below it."""
    chosen = np.flatnonzero(pixels.material == SKIN)
    rest, masks = pixels.rest[chosen], pixels.extra[chosen]
    colour = chart.sample_albedo(skin, rest)
    gloss = np.full(len(chosen), 0.055, np.float32)
    parts = np.flatnonzero(masks @ np.ones(4, np.float32) > 0)
    colour[parts] = _features(person, colour[parts], rest[parts], masks[parts])
    gloss[parts] += 0.05 * masks[parts, 0]
    low = np.flatnonzero(rest[:, 1] < -1.2)
    below = cloth.depth(shot.clothes, rest[low])
    worn, below = low[below > 0], below[below > 0]
    colour[worn] = cloth.colour(shot.clothes, rest[worn], below)
    gloss[worn] = 0
    look.albedo[chosen] = colour
    look.gloss[chosen] = gloss


def _features(person: Identity, colour: Floats, rest: Floats, masks: Floats) -> Floats:
    """Lips, eyelids, ears and the inside of the mouth on skin of `colour` (n, 3)."""
    lips = np.clip(masks[:, :1] * 1.2 - 0.1, 0, 1)
    lines = (
        1
        + 0.06 * noise.sample_bilinear(noise.field(1.2, 6.0, 12), rest[:, 0] * 220, rest[:, 1] * 150)[:, None]
    )
    colour = colour + lips * 0.75 * (f32(person.skin.lips) * lines - colour)
    colour *= (1 - 0.10 * masks[:, 1:2]) * (1 + masks[:, 2:3] * f32([0.04, -0.08, -0.08]))
    return f32(colour + masks[:, 3:4] * (1 - lips) * (f32([0.10, 0.025, 0.025]) - colour))


def _eyes(person: Identity, shot: Shot, posed: Floats, pixels: Pixels, look: Look) -> None:
    """Both eyeballs, as perfect spheres whatever their mesh is."""
    balls = np.flatnonzero(pixels.material == EYE)
    sight = eyes.gaze(posed, shot.gaze)
    for vertices in mesh.load_head().eyes:
        offset = pixels.position[balls] - posed[vertices].mean(axis=0)
        near = np.flatnonzero(np.einsum("nk,nk->n", offset, offset) < 0.06)
        chosen = balls[near]
        outward = offset[near] / np.linalg.norm(offset[near], axis=1, keepdims=True)
        look.albedo[chosen] = eyes.albedo(person.iris, np.arccos(np.clip(outward @ sight, -1, 1)))
        look.normal[chosen] = outward
        look.gloss[chosen] = 0.9


def _mouth(pixels: Pixels, look: Look) -> None:
    for material, (colour, gloss) in _MOUTH.items():
        chosen = pixels.material == material
        look.albedo[chosen] = colour
        look.gloss[chosen] = gloss


def _props(pixels: Pixels, look: Look) -> None:
    """Things of one colour; those without gloss are woven."""
    chosen = np.flatnonzero(pixels.material >= PROP)
    rest, extra = pixels.rest[chosen], pixels.extra[chosen]
    threads = noise.sample_bilinear(
        noise.field(1.5, 4.0, 33), rest[:, 0] * 150, rest[:, 1] * 150 + rest[:, 2] * 90
    )
    look.albedo[chosen] = extra[:, :3] * np.where(extra[:, 3] < 0.05, 1 + 0.1 * threads, 1)[:, None]
    look.gloss[chosen] = extra[:, 3]


def _hair(person: Identity, shot: Shot, pixels: Pixels, look: Look) -> None:
    """Strands: lightness from the strand texture, a soft highlight across them (Kajiya-Kay)."""
    chosen = np.flatnonzero(pixels.material == HAIR)
    rest, tangent = pixels.rest[chosen], pixels.extra[chosen, :3]
    strand = noise.sample_bilinear(noise.strands(person.hair.kind), rest[:, 0], rest[:, 1])
    half = f32(shot.light.direction) + _CAMERA
    along = tangent @ (half / np.linalg.norm(half)) / (np.linalg.norm(tangent, axis=1) + 1e-6)
    across = np.sqrt(np.clip(1 - along**2, 0, 1))
    shine = (0.05 if person.hair.kind == "curly" else 0.16) * across**28 * (0.4 + 0.8 * strand)
    colour = hairs.grey(person.hair, shot.age)
    look.albedo[chosen] = colour * (0.45 + 0.8 * strand)[:, None] + (shine * (0.2 + colour.mean()))[:, None]


def _key_shadow(surface: Surface, posed: Floats, light: Light, pixels: Pixels) -> Floats:
    """Share (n,) of the key light that reaches each pixel, from a depth map seen from the light."""
    ahead = f32(light.direction)
    aside = np.cross([0, 1, 0], ahead)
    aside /= np.linalg.norm(aside)
    frame = f32(np.stack([aside, np.cross(ahead, aside), ahead], axis=1))
    scale, start = f32([_MAP / 2 / _RADIUS, -_MAP / 2 / _RADIUS, -1]), f32([_MAP / 2, _MAP / 2, 20])
    depth = np.full((_MAP, _MAP), np.inf, np.float32)
    index = np.full((_MAP, _MAP), -1, np.int32)
    weights = np.zeros((_MAP, _MAP, 2), np.float32)
    screen = f32((posed @ frame) * scale + start)
    triangles = surface.triangles[surface.drawn(screen) & (surface.material != LASH)]
    rasterise(screen, triangles, surface.coverage, noise.strands("straight"), depth, index, weights)
    x, y, z = ((pixels.position @ frame) * scale + start).T
    return f32(shadow(depth, x, y, z, 0.06))


def _occlusion(pixels: Pixels, shot: Shot) -> Floats:
    """Share (n,) of ambient light: pixels that lie behind their surroundings get less."""
    small = pixels.depth[::4, ::4]
    seen = np.isfinite(small).astype(np.float32)
    depth = np.where(seen > 0, small, 0).astype(np.float32)
    scale = shot.camera.face_width * len(small) / 1.42  # pixels a dm
    dark = np.zeros_like(depth)
    for radius, gain in ((0.07, 2.2), (0.28, 0.9)):
        around = cv2.GaussianBlur(depth, (0, 0), radius * scale)
        total = cv2.GaussianBlur(seen, (0, 0), radius * scale)
        dark += gain * np.clip(depth - around / np.maximum(total, 1e-3), 0, 0.25)
    large = cv2.resize(dark * seen, pixels.depth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    turned = np.clip(1.4 * np.abs(pixels.normal[:, 2]), 0, 1)  # slopes seen edge-on are no cavities
    return f32(1 - np.clip(large[pixels.covered] * turned, 0, 0.7))
