"""Which pixels of a photo show a surface, and their colour: material, light with cast shadow, occlusion, gloss.

Diffuse light wraps a little around skin, further in red, which imitates scattering; gloss is
Blinn-Phong (1977), hair Kajiya-Kay (1989); ambient occlusion is read off the depth buffer (unsharp
masking the depth buffer, Luft et al. 2006).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synthfaces import mesh, skin
from synthfaces.lighting import facing_normals, illuminate, paint_pixels, shadow
from synthfaces.raster import ALWAYS, NEVER, TOWARDS_VIEWER, interpolate, rasterise, sample_bilinear, vertex_normals
from synthfaces.subject import Clothes, Colour, Identity, Light, Shot
from synthfaces.surface import POWER, WRAP, Floats, Material, Surface, f32, noise_field, smoothstep, strand_texture

_TURN = np.radians(24)  # how far eyes turn
_GIVE_UP = np.radians(50)  # a face turned further than this does not look at the camera
_MAP = 208  # side of the shadow map, pixels
_RADIUS = 2.3  # dm around the face that the shadow map covers
_CAMERA = f32([0, 0, 1])
_SHOWS = np.full(len(Material), ALWAYS, np.int32)  # what the camera sees, by material: skin is closed
_SHOWS[Material.SKIN] = TOWARDS_VIEWER
_CASTS = _SHOWS.copy()  # what casts shadows
_CASTS[Material.LASH] = NEVER
_MOUTH = {  # albedo and gloss of what is inside
    Material.TEETH: ((0.62, 0.58, 0.50), 0.25),
    Material.TONGUE: ((0.30, 0.09, 0.08), 0.15),
    Material.LASH: ((0.02, 0.016, 0.014), 0.0),
}


@dataclass(frozen=True)
class Pixels:
    """The n covered pixels of a (h, w) picture in row-major order, all in camera space."""

    covered: NDArray[np.bool_]  # (h, w)
    depth: Floats  # (h, w)
    material: NDArray[np.int32]  # (n,)
    normal: Floats  # (n, 3), towards the camera
    position: Floats  # (n, 3)
    rest: Floats  # (n, 3)
    extra: Floats  # (n, 4)


@dataclass(frozen=True)
class Look:
    """What the materials are at each pixel: albedo (n, 3), strength of gloss (n,), normal (n, 3)."""

    albedo: Floats
    gloss: Floats
    normal: Floats


def draw_surface(person: Identity, shot: Shot, surface: Surface, posed: Floats, screen: Floats, scene: Floats) -> None:
    """Draw `surface`, at `posed` (v, 3) in camera space and `screen` (v, 3), into the linear picture `scene` (s, s, 3)."""
    pixels = _find_visible(surface, posed, screen, person.hair.kind, len(scene))
    count = len(pixels.material)
    open_sky = _occlusion(pixels, shot)  # before the eyes get normals of their own
    look = Look(np.empty((count, 3), np.float32), np.zeros(count, np.float32), pixels.normal)
    _shade_skin(person, shot, pixels, look)
    _shade_eyes(person, shot, posed, pixels, look)
    _shade_mouth(pixels, look)
    _shade_props(pixels, look)
    _shade_hair(person, shot, pixels, look)
    lit = _key_shadow(surface, posed, shot.light, pixels)
    surfaces = (look.albedo, look.normal, look.gloss, pixels.material, POWER, WRAP)
    direction, key, sky, ground = (f32(part) for part in astuple(shot.light))
    illuminate(*surfaces, lit, open_sky, direction, key, sky, ground, pixels.covered, scene)


def _shade_skin(person: Identity, shot: Shot, pixels: Pixels, look: Look) -> None:
    """Face, neck and whatever is worn below it."""
    rest, masks = pixels.rest, pixels.extra
    decade = round(shot.age / 10) * 10.0  # skin ages in steps, so that the painted face can be kept
    painted = skin.paint_skin(person, decade, float(round(shot.stubble)) if person.hair.beard else 0.0)
    kind = paint_pixels(painted, rest, masks, pixels.material, int(Material.SKIN), skin.CHART, look.albedo, look.gloss)
    parts = np.flatnonzero(kind & 1)
    look.albedo[parts] = _shade_features(person, look.albedo[parts], rest[parts], masks[parts])
    look.gloss[parts] += 0.05 * masks[parts, 0]
    low = np.flatnonzero(kind & 2)
    below = _depth_below_neckline(shot.clothes, rest[low])
    worn, below = low[below > 0], below[below > 0]
    look.albedo[worn] = _colour_cloth(shot.clothes, rest[worn], below)
    look.gloss[worn] = 0


def _shade_features(person: Identity, colour: Floats, rest: Floats, masks: Floats) -> Floats:
    """Lips, eyelids, ears and the inside of the mouth on skin of `colour` (n, 3)."""
    lips = np.clip(masks[:, :1] * 1.2 - 0.1, 0, 1)
    lines = 1 + 0.06 * sample_bilinear(noise_field(1.2, 6.0, 12), rest[:, 0] * 220, rest[:, 1] * 150)[:, None]
    colour = colour + lips * 0.75 * (f32(person.skin.lips) * lines - colour)
    colour *= (1 - 0.10 * masks[:, 1:2]) * (1 + masks[:, 2:3] * f32([0.04, -0.08, -0.08]))
    return f32(colour + masks[:, 3:4] * (1 - lips) * (f32([0.10, 0.025, 0.025]) - colour))


def _shade_eyes(person: Identity, shot: Shot, posed: Floats, pixels: Pixels, look: Look) -> None:
    """Both eyeballs, as perfect spheres whatever their mesh is."""
    balls = np.flatnonzero(pixels.material == Material.EYE)
    sight = _line_of_sight(posed, shot.gaze)
    for vertices in mesh.load_head().eyes:
        offset = pixels.position[balls] - posed[vertices].mean(axis=0)
        near = np.flatnonzero(np.einsum("nk,nk->n", offset, offset) < 0.06)
        chosen = balls[near]
        outward = offset[near] / np.linalg.norm(offset[near], axis=1, keepdims=True)
        look.albedo[chosen] = _colour_eye(person.iris, np.arccos(np.clip(outward @ sight, -1, 1)))
        look.normal[chosen] = outward
        look.gloss[chosen] = 0.9


def _shade_mouth(pixels: Pixels, look: Look) -> None:
    for material, (colour, gloss) in _MOUTH.items():
        chosen = pixels.material == material
        look.albedo[chosen] = colour
        look.gloss[chosen] = gloss


def _shade_props(pixels: Pixels, look: Look) -> None:
    """Things of one colour; those without gloss are woven."""
    chosen = np.flatnonzero(pixels.material >= Material.PROP)
    rest, extra = pixels.rest[chosen], pixels.extra[chosen]
    threads = sample_bilinear(noise_field(1.5, 4.0, 33), rest[:, 0] * 150, rest[:, 1] * 150 + rest[:, 2] * 90)
    look.albedo[chosen] = extra[:, :3] * np.where(extra[:, 3] < 0.05, 1 + 0.1 * threads, 1)[:, None]
    look.gloss[chosen] = extra[:, 3]


def _shade_hair(person: Identity, shot: Shot, pixels: Pixels, look: Look) -> None:
    """Strands: lightness from the strand texture, a soft highlight across them (Kajiya-Kay)."""
    chosen = np.flatnonzero(pixels.material == Material.HAIR)
    rest, tangent = pixels.rest[chosen], pixels.extra[chosen, :3]
    strand = sample_bilinear(strand_texture(person.hair.kind), rest[:, 0], rest[:, 1])
    half = f32(shot.light.direction) + _CAMERA
    along = tangent @ (half / np.linalg.norm(half)) / (np.linalg.norm(tangent, axis=1) + 1e-6)
    across = np.sqrt(np.clip(1 - along**2, 0, 1))
    shine = (0.05 if person.hair.kind == "curly" else 0.16) * across**28 * (0.4 + 0.8 * strand)
    colour = person.hair.colour_at_age(shot.age)
    look.albedo[chosen] = colour * (0.45 + 0.8 * strand)[:, None] + (shine * (0.2 + colour.mean()))[:, None]


def _key_shadow(surface: Surface, posed: Floats, light: Light, pixels: Pixels) -> Floats:
    """Share (n,) of the key light that reaches each pixel, from a depth map seen from the light."""
    ahead = f32(light.direction)
    aside = np.cross([0, 1, 0], ahead)
    aside /= np.linalg.norm(aside)
    frame = f32(np.stack([aside, np.cross(ahead, aside), ahead], axis=1))
    scale, start = f32([_MAP / 2 / _RADIUS, -_MAP / 2 / _RADIUS, -1]), f32([_MAP / 2, _MAP / 2, 20])
    screen = f32((posed @ frame) * scale + start)
    drawn, strands = (surface.material, _CASTS), strand_texture("straight")
    depth, _, _ = rasterise(screen, surface.triangles, surface.coverage, strands, (_MAP, _MAP), drawn)
    return shadow(depth, pixels.position @ frame, scale, start, 0.06)


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


def _find_visible(surface: Surface, posed: Floats, screen: Floats, strands: str, side: int) -> Pixels:
    """The pixels of a picture `side` wide that show `surface`, whose hair is of texture `strands`."""
    triangles, drawn = surface.triangles, (surface.material, _SHOWS)
    depth, index, weights = rasterise(screen, triangles, surface.coverage, strand_texture(strands), (side, side), drawn)
    covered = index >= 0
    normals = vertex_normals(posed, triangles)
    attributes = np.concatenate([normals, posed, surface.rest, surface.extra], axis=1)
    values = interpolate(index, weights, triangles, attributes, int(np.count_nonzero(covered)))
    return Pixels(
        covered=covered,
        depth=depth,
        material=surface.material[index[covered]],
        normal=facing_normals(values),
        position=values[:, 3:6],
        rest=values[:, 6:9],
        extra=values[:, 9:13],
    )


def _line_of_sight(posed: Floats, off: tuple[float, float]) -> Floats:
    """Unit line of sight (3,): to the camera but for `off` (degrees), as far as eyes turn."""
    model = mesh.load_head()
    forward = _unit(posed[model.pupils[0]].mean(axis=0) - posed[model.eyes[0]].mean(axis=0))
    yaw, pitch = np.radians(off)
    wish = _unit(f32([np.sin(yaw), np.sin(pitch), 1]))
    angle = float(np.arccos(np.clip(wish @ forward, -1, 1)))
    share = min(1.0, float(_TURN) / max(angle, 1e-6)) if angle < _GIVE_UP else 0.25
    return _unit(forward * (1 - share) + wish * share)


def _colour_eye(iris: Colour, angle: Floats) -> Floats:
    """Albedo (n, 3) at `angle` (n,) radians from the line of sight: pupil, iris, limbus, white."""
    white = f32([0.62, 0.57, 0.54]) * (1 - 0.25 * smoothstep(0.7, 1.3, angle))[:, None]
    limbus = 1 - 0.75 * smoothstep(0.40, 0.47, angle)
    ring = f32(iris) * ((0.75 + 1.1 * smoothstep(0.18, 0.44, angle)) * limbus)[:, None]
    colour = white + smoothstep(0.50, 0.45, angle)[:, None] * (ring - white)
    return f32(colour * (1 - 0.97 * smoothstep(0.20, 0.16, angle))[:, None])


def _unit(vector: Floats) -> Floats:
    return f32(vector / np.linalg.norm(vector))


def _depth_below_neckline(clothes: Clothes, rest: Floats) -> Floats:
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


def _colour_cloth(clothes: Clothes, rest: Floats, below: Floats) -> Floats:
    """Linear albedo (n, 3) of covered points `below` the neckline (dm)."""
    x, y = rest[:, 0], rest[:, 1]
    colour = _colour_suit if clothes.kind == "suit" else _colour_knitwear
    base = colour(clothes, rest, below)
    weave = sample_bilinear(noise_field(1.2, 1.2, 31), x * 180, y * 180)
    folds = sample_bilinear(noise_field(9, 26, 32), x * 60 + y * 18, y * 60)
    hem = 0.6 + 0.4 * smoothstep(-0.01, 0.03, below)
    return f32(np.clip(base * (hem * (1 + 0.03 * weave + 0.10 * folds))[:, None], 0.004, 0.9))


def _colour_knitwear(clothes: Clothes, rest: Floats, below: Floats) -> Floats:
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


def _colour_suit(clothes: Clothes, rest: Floats, below: Floats) -> Floats:
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
