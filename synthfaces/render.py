"""A photo of a person: shape, pose, projection, background and camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from synthfaces import hair, mesh, props, shading
from synthfaces.lighting import digitise, expose, film_curve, turn_points
from synthfaces.subject import Camera, Identity, Shot
from synthfaces.surface import Floats, Surface, ball, f32, join_surfaces, opaque, smoothstep, solid

_SUPERSAMPLE = 1.5
_FACE_WIDTH = 1.42  # dm from cheek to cheek
_NECK = np.array([0.0, -1.0, -0.75], np.float32)  # where the head turns on the neck
BACKGROUNDS = ("studio", "outdoors", "room", "lights", "wall")
_SIDE = 72  # pixels of a background before it is enlarged


@dataclass(frozen=True)
class RenderedPhoto:
    """A photo: RGB uint8 (h, w, 3), true landmarks (5, 2) and box x1, y1, x2, y2 in pixels."""

    image: NDArray[np.uint8]
    landmarks: Floats
    box: Floats


def neutral_points(person: Identity, age: float) -> Floats:
    """Vertices (v, 3) of the expressionless head at `age` years, origin between the eyes."""
    old = np.float32(np.clip((age - 25) / 65, 0, 1))
    young_head, old_head = _shape_at_25_and_90(person)
    return _centre_on_eyes(young_head + old * (old_head - young_head))


@lru_cache(maxsize=2)
def _shape_at_25_and_90(person: Identity) -> Floats:
    """The head at 25 and at 90 years (2, v, 3); between them the model is linear."""
    model = mesh.load_head()
    weights: dict[str, float] = {}
    for slider, value in zip(mesh.sliders(), person.shape, strict=True):
        for name in slider.positive if value > 0 else slider.negative:
            weights[name] = weights.get(name, 0.0) + abs(value)
    own = model.moved(model.neutral, weights)
    ages = (mesh.macro_weights(person.male, old, person.weight, person.ancestry) for old in (0.0, 1.0))
    return np.stack([model.moved(own, macro) for macro in ages])


def _centre_on_eyes(points: Floats) -> Floats:
    eyes = [points[ids].mean(axis=0) for ids in mesh.load_head().eyes]
    return f32(points - (eyes[0] + eyes[1]) / 2)


def render_photo(
    person: Identity, shot: Shot, size: int = 250, behind: tuple[Identity, Shot] | None = None
) -> RenderedPhoto:
    """Take the photo, `size` pixels square; `behind` is a second person in the background."""
    side = round(size * _SUPERSAMPLE)
    rng = np.random.default_rng(shot.seed)
    scene = _paint_background(shot.background, side, np.array(shot.light.sky, np.float32), rng)
    if behind is not None:
        _draw_person(*behind, scene)
        scene = cv2.GaussianBlur(scene, (0, 0), side / 150)
    points = _draw_person(person, shot, scene)
    points[:, :2] = (points[:, :2] + 0.5) * (size / side) - 0.5  # supersampled pixels to those of the photo
    image = _develop(scene, shot.camera, size, rng)
    return RenderedPhoto(image, _find_landmarks(points), _find_box(points, size))


def _draw_person(person: Identity, shot: Shot, scene: Floats) -> Floats:
    """Draw one person into the linear picture `scene` (s, s, 3); returns their screen coordinates."""
    side = len(scene)
    points = mesh.load_head().moved(neutral_points(person, shot.age), dict(shot.expression))
    surface = _assemble_surface(person, shot, points)
    posed = _pose_surface(surface, shot)
    screen = _project_points(posed, shot, side)
    shading.draw_surface(person, shot, surface, posed, screen, scene)
    return screen


def _assemble_surface(person: Identity, shot: Shot, points: Floats) -> Surface:
    """The head and shoulders with vertices `points` (v, 3), and the hair and things on them."""
    model = mesh.load_head()
    body = Surface(
        points=points,
        triangles=model.triangles,
        material=model.material,
        rest=model.neutral,
        extra=model.masks,
        follow=smoothstep(-1.95, -0.95, model.neutral[:, 1] + 0.35 * (model.neutral[:, 2] + 0.6)),
        coverage=opaque(len(points)),
    )
    hat = props.hat_edge(shot.occluder)
    parts = [body, *hair.hair_sheets(person.hair, shot.age, shot.ruffle, points, hat)]
    knot = hair.bun_shape(person.hair, points)
    if knot is not None:
        parts.append(solid(ball(*knot), 0.8 * person.hair.colour_at_age(shot.age), 0.1))
    return join_surfaces([*parts, *props.occluder_surfaces(person, shot, points)])


def _pose_surface(surface: Surface, shot: Shot) -> Floats:
    """Camera-space points (v, 3): the head turns on the neck, the shoulders follow in part."""
    turn = max(shot.turn, 0.75 * float(smoothstep(35, 60, abs(shot.yaw))))
    posed = turn_points(surface.points, surface.follow, _NECK, np.radians([shot.yaw, shot.pitch, shot.roll]), turn)
    eyes = np.concatenate(mesh.load_head().eyes)
    target = posed[eyes].mean(axis=0) * 0.75 + posed[mesh.load_head().nose] * 0.25
    return f32(posed - target + f32([0, 0.12, 0.2]))


def _project_points(posed: Floats, shot: Shot, side: int) -> Floats:
    """Screen coordinates and depth (v, 3); pixel centres are integers."""
    view = shot.camera
    focal = view.face_width * side * view.distance / _FACE_WIDTH
    depth = view.distance - posed[:, 2]
    x = view.centre[0] * side - 0.5 + focal * posed[:, 0] / depth
    y = view.centre[1] * side - 0.5 - focal * posed[:, 1] / depth
    return np.stack([x, y, depth], axis=1).astype(np.float32)


def _find_landmarks(points: Floats) -> Floats:
    """The five landmarks of photo coordinates (v, 3)."""
    model = mesh.load_head()
    left, right = (points[ids, :2].mean(axis=0) for ids in model.pupils)
    corners = [points[vertex, :2] for vertex in model.mouth]
    return np.array([left, right, points[model.nose, :2], *corners], np.float32)


def _find_box(points: Floats, size: int) -> Floats:
    face = points[mesh.load_head().face, :2]
    return f32(np.clip([*face.min(axis=0), *face.max(axis=0)], 0, size - 1))


def _paint_background(kind: int, size: int, light: Floats, rng: Generator) -> Floats:
    """A blurred background (size, size, 3), linear RGB, lit by the ambient colour `light` (3,)."""
    name = BACKGROUNDS[kind]
    base = _sample_tone(rng, 0.03, 0.55)
    height, width = np.mgrid[0 : 1 : _SIDE * 1j, 0 : 1 : _SIDE * 1j].astype(np.float32)
    image = np.broadcast_to(base, (_SIDE, _SIDE, 3)).copy()
    if name in ("studio", "wall"):
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.7)
        glow = np.exp(-((width - x) ** 2 + (height - y) ** 2) / rng.uniform(0.2, 0.9))
        image *= (0.55 + 0.75 * glow)[..., None]
    elif name == "outdoors":
        horizon = rng.uniform(0.25, 0.75)
        sky = np.array([0.55, 0.66, 0.82]) * rng.uniform(0.6, 1.2)
        land = np.array([0.16, 0.20, 0.10]) * rng.uniform(0.4, 1.8)
        wave = 0.08 * np.sin(width * rng.uniform(5, 14) + rng.uniform(0, 6))
        image = np.where((height + wave > horizon)[..., None], land, sky).astype(np.float32)
        image = _paint_discs(image, rng, 14, 1.0)
    elif name == "room":
        image = _paint_boxes(image, rng)
    else:
        image = _paint_discs(image * 0.5, rng, 22, 1.6)
    blur = float(rng.uniform(1.2, 4.5))
    image = cv2.GaussianBlur(f32(image), (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    image = cv2.resize(image * light.mean() * 1.6, (size, size), interpolation=cv2.INTER_CUBIC)
    return f32(np.clip(image, 0.004, 1.2))


def _sample_tone(rng: Generator, dark: float, bright: float) -> Floats:
    """A colour of little saturation."""
    hue = rng.uniform(0, 2 * np.pi) + np.array([0, 2.094, 4.189])
    return f32(rng.uniform(dark, bright) * (1 + rng.uniform(0, 0.25) * np.cos(hue)))


def _paint_discs(image: Floats, rng: Generator, count: int, gain: float) -> Floats:
    """Round spots of light and shade, as an open lens shows them."""
    canvas = np.ascontiguousarray(image, np.float32)
    for _ in range(count):
        centre = (int(rng.integers(_SIDE)), int(rng.integers(_SIDE)))
        tone = _sample_tone(rng, 0.02, 0.5) * gain
        layer = canvas.copy()
        cv2.circle(layer, centre, int(rng.integers(2, 9)), tuple(float(v) for v in tone), -1)
        canvas = canvas + 0.55 * (layer - canvas)
    return canvas


def _paint_boxes(image: Floats, rng: Generator) -> Floats:
    """Upright rectangles: windows, doors, shelves."""
    canvas = np.ascontiguousarray(image, np.float32)
    for _ in range(int(rng.integers(3, 8))):
        x, y = (int(v) for v in rng.integers(-10, _SIDE, 2))
        wide, high = int(rng.integers(6, 34)), int(rng.integers(10, 60))
        tone = _sample_tone(rng, 0.02, 0.6)
        cv2.rectangle(canvas, (x, y), (x + wide, y + high), tuple(float(v) for v in tone), -1)
    return canvas


def _develop(scene: Floats, camera: Camera, size: int, rng: Generator) -> NDArray[np.uint8]:
    """Turn linear light (s, s, 3) into an sRGB photo, `size` pixels square."""
    small = cv2.resize(scene, (size, size), interpolation=cv2.INTER_AREA)
    expose(small, f32(camera.white) * np.float32(camera.exposure * 1.25), film_curve())
    image = cv2.GaussianBlur(small, (0, 0), camera.blur * size)
    return digitise(image, int(rng.integers(2**63)), camera.noise)
