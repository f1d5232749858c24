"""A photo of a person: shape, pose, projection, visibility, colour, light, camera.

`Sitter` holds what is computed once per person; `render` does the rest per photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from synthfaces import background, hair, mesh, noise, props, shading, skin
from synthfaces.background import develop
from synthfaces.identity import Identity
from synthfaces.raster import interpolate, rasterise, vertex_normals
from synthfaces.shot import Shot
from synthfaces.surface import Floats, Surface, ball, f32, join, opaque, smoothstep, solid

_SUPERSAMPLE = 1.5
_FACE_WIDTH = 1.42  # dm from cheek to cheek
_NECK = np.array([0.0, -1.0, -0.75], np.float32)  # where the head turns on the neck


@dataclass(frozen=True)
class RenderedPhoto:
    """A photo: RGB uint8 (h, w, 3), true landmarks (5, 2) and box x1, y1, x2, y2 in pixels."""

    image: NDArray[np.uint8]
    landmarks: Floats
    box: Floats


def neutral_points(person: Identity, age: float) -> Floats:
    """Vertices (v, 3) of the expressionless head at `age` years, origin between the eyes."""
    old = np.float32(np.clip((age - 25) / 65, 0, 1))
    young_head, old_head = _youth_and_age(person)
    return _recentre(young_head + old * (old_head - young_head))


@lru_cache(maxsize=2)
def _youth_and_age(person: Identity) -> Floats:
    """The head at 25 and at 90 years (2, v, 3); between them the model is linear."""
    model = mesh.load_head()
    weights = np.zeros((2, len(model.columns)), np.float32)
    for row, old in enumerate((0.0, 1.0)):
        for name, value in mesh.macro_weights(person.male, old, person.weight, person.ancestry).items():
            weights[row, model.columns[name]] = value
    for slider, value in zip(mesh.sliders(), person.shape, strict=True):
        for name in slider.positive if value > 0 else slider.negative:
            weights[:, model.columns[name]] += abs(value)
    return model.neutral + (weights @ model.basis).reshape(2, -1, 3)


def _expression(shot: Shot) -> Floats:
    """What the shot's expression adds to the vertices (v, 3)."""
    model = mesh.load_head()
    rows = [model.columns[name] for name, _ in shot.expression]
    weights = f32([weight for _, weight in shot.expression])
    return f32(weights @ model.basis[rows]).reshape(-1, 3)


def _recentre(points: Floats) -> Floats:
    eyes = [points[ids].mean(axis=0) for ids in mesh.load_head().eyes]
    return f32(points - (eyes[0] + eyes[1]) / 2)


def render(
    person: Identity, shot: Shot, size: int = 250, behind: tuple[Identity, Shot] | None = None
) -> RenderedPhoto:
    """Take the photo, `size` pixels square; `behind` is a second person in the background."""
    side = round(size * _SUPERSAMPLE)
    rng = np.random.default_rng(shot.seed)
    scene = background.paint_background(shot.background, side, np.array(shot.light.sky, np.float32), rng)
    if behind is not None:
        _expose(*behind, scene)
        scene = cv2.GaussianBlur(scene, (0, 0), side / 150)
    points = _expose(person, shot, scene)
    points[:, :2] = (points[:, :2] + 0.5) * (size / side) - 0.5  # supersampled pixels to those of the photo
    image = develop(scene, shot.camera, size, rng)
    return RenderedPhoto(image, _landmarks(points), _box(points, size))


def _expose(person: Identity, shot: Shot, scene: Floats) -> Floats:
    """Draw one person into the linear picture `scene` (s, s, 3); returns their screen coordinates."""
    side = len(scene)
    points = neutral_points(person, shot.age) + _expression(shot)
    surface = _scene(person, shot, points)
    posed = _pose(surface, shot)
    screen = _project(posed, shot, side)
    normals = vertex_normals(posed, surface.triangles)
    pixels = _visible(surface, posed, normals, screen, person.hair.kind, side)
    decade = round(shot.age / 10) * 10.0  # skin ages in steps, so that the painted face can be kept
    albedo = skin.paint_skin(person, decade, float(round(shot.stubble)))
    scene[pixels.covered] = shading.shade(person, shot, surface, posed, albedo, pixels)
    return screen


def _scene(person: Identity, shot: Shot, points: Floats) -> Surface:
    model = mesh.load_head()
    count = len(points)
    body = Surface(
        points=points,
        triangles=model.triangles,
        material=model.material,
        rest=model.neutral,
        extra=model.masks,
        follow=smoothstep(-1.95, -0.95, model.neutral[:, 1] + 0.35 * (model.neutral[:, 2] + 0.6)),
        coverage=opaque(count),
    )
    parts = [body, *hair.sheets(person.hair, shot.age, shot.ruffle, points, props.hat_edge(shot.occluder))]
    knot = hair.bun(person.hair, points)
    if knot is not None:
        parts.append(solid(ball(*knot), 0.8 * hair.grey(person.hair, shot.age), 0.1))
    return join([*parts, *props.occluder(person, shot, points)])


def _pose(surface: Surface, shot: Shot) -> Floats:
    """Camera-space points (v, 3): the head turns on the neck, the shoulders follow in part."""
    turn = max(shot.turn, 0.75 * float(smoothstep(35, 60, abs(shot.yaw))))
    share = surface.follow
    yaw = np.radians(shot.yaw) * (turn + (1 - turn) * share)
    pitch, roll = np.radians(shot.pitch) * share, np.radians(shot.roll) * share
    x, y, z = (surface.points - _NECK).T
    x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    y, z = y * np.cos(pitch) + z * np.sin(pitch), z * np.cos(pitch) - y * np.sin(pitch)
    x, y = x * np.cos(roll) + y * np.sin(roll), y * np.cos(roll) - x * np.sin(roll)
    posed = f32(np.stack([x, y, z], axis=1))
    eyes = np.concatenate(mesh.load_head().eyes)
    target = posed[eyes].mean(axis=0) * 0.75 + posed[mesh.load_head().nose] * 0.25
    return f32(posed - target + f32([0, 0.12, 0.2]))


def _project(posed: Floats, shot: Shot, side: int) -> Floats:
    """Screen coordinates and depth (v, 3); pixel centres are integers."""
    view = shot.camera
    focal = view.face_width * side * view.distance / _FACE_WIDTH
    depth = view.distance - posed[:, 2]
    x = view.centre[0] * side - 0.5 + focal * posed[:, 0] / depth
    y = view.centre[1] * side - 0.5 - focal * posed[:, 1] / depth
    return np.stack([x, y, depth], axis=1).astype(np.float32)


def _visible(
    surface: Surface, posed: Floats, normals: Floats, screen: Floats, strands: str, side: int
) -> shading.Pixels:
    drawn = surface.drawn(screen)
    triangles, material = surface.triangles[drawn], surface.material[drawn]
    depth = np.full((side, side), np.inf, np.float32)
    index = np.full((side, side), -1, np.int32)
    weights = np.zeros((side, side, 2), np.float32)
    rasterise(screen, triangles, surface.coverage, noise.strands(strands), depth, index, weights)
    covered = index >= 0
    attributes = np.concatenate([normals, posed, surface.rest, surface.extra], axis=1)
    values = interpolate(index, weights, triangles, attributes, int(covered.sum()))
    return shading.Pixels(
        covered=covered,
        depth=depth,
        material=material[index[covered]],
        normal=values[:, 0:3] * _inverse_length(values[:, 0:3]),
        position=values[:, 3:6],
        rest=values[:, 6:9],
        extra=values[:, 9:13],
    )


def _inverse_length(vectors: Floats) -> Floats:
    """1 / length of vectors (n, 3), as (n, 1)."""
    squares = np.einsum("nk,nk->n", vectors, vectors)
    return f32(1 / np.sqrt(squares + 1e-12))[:, None]


def _landmarks(points: Floats) -> Floats:
    """The five landmarks of photo coordinates (v, 3)."""
    model = mesh.load_head()
    left, right = (points[ids, :2].mean(axis=0) for ids in model.pupils)
    corners = [points[vertex, :2] for vertex in model.mouth]
    return np.array([left, right, points[model.nose, :2], *corners], np.float32)


def _box(points: Floats, size: int) -> Floats:
    face = points[mesh.load_head().face, :2]
    return f32(np.clip([*face.min(axis=0), *face.max(axis=0)], 0, size - 1))
