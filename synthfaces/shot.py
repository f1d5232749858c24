"""What happens in one photo: pose, light, expression, age, background, occlusion, camera, JPEG.

A `Mood` says how wild a set is; `sample` draws a `Shot` from it. Angles are degrees: positive yaw turns
the face to the right of the image, positive pitch lifts it, positive roll tilts it clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from synthfaces.identity import Colour, Identity

OCCLUDERS = ("glasses", "sunglasses", "beanie", "cap", "scarf", "microphone", "hand")


@dataclass(frozen=True)
class CaptureConfig:
    """Ranges of a set of photos."""

    yaw: float = 18.0  # standard deviation
    wide: float = 0.0  # share of photos with |yaw| anywhere up to 75 degrees
    pitch: float = 7.0
    roll: float = 6.0
    occlusion: float = 0.1  # share of photos with something on or before the face
    face: tuple[float, float] = (0.38, 0.46)  # width of the face as a share of the photo
    shift: float = 0.03  # standard deviation of the place of the face, share of the photo
    quality: tuple[int, int] = (75, 95)
    age_spread: float = 2.5  # years around the person's usual age


@dataclass(frozen=True)
class Light:
    """A key light, a sky and a ground: direction (unit vector towards the light) and linear colours."""

    direction: tuple[float, float, float]
    key: Colour
    sky: Colour
    ground: Colour


@dataclass(frozen=True)
class Camera:
    """Where the face is and what the camera does to it; lengths as shares of the photo's side."""

    face_width: float
    centre: tuple[float, float]
    distance: float  # dm from the face: nearer means stronger perspective
    exposure: float
    blur: float  # standard deviation, share of the photo's side
    noise: float  # standard deviation, 0..1
    white: Colour
    quality: int


@dataclass(frozen=True)
class Clothes:
    """What is worn: "crew", "scoop", "vneck", "polo", "turtleneck" or "suit", its colours and where the neckline is."""

    kind: str
    colour: Colour
    second: Colour
    neckline: float
    pattern: int  # 0 plain, 1 stripes, 2 checks


@dataclass(frozen=True)
class Shot:
    """One photo of one person. `seed` feeds the noise of background, camera and strands."""

    yaw: float
    pitch: float
    roll: float
    turn: float  # share of the yaw that the shoulders follow
    gaze: tuple[float, float]  # degrees off the camera
    expression: tuple[tuple[str, float], ...]  # target name, weight
    age: float
    stubble: float  # change of the beard, -1..1
    ruffle: float  # change of hair volume, -1..1
    light: Light
    clothes: Clothes
    background: int  # index into background.KINDS
    occluder: str  # "" or one of OCCLUDERS
    accessory: Colour
    camera: Camera
    seed: int


def sample_shot(
    person: Identity, rng: Generator, mood: CaptureConfig, yaw: float | None = None, age: float | None = None
) -> Shot:
    """Draw a photo of `person`; `yaw` (degrees) and `age` (years) override the draw."""
    drawn_yaw = (
        rng.uniform(-75, 75) if rng.random() < mood.wide else np.clip(rng.normal(0, mood.yaw), -55, 55)
    )
    drawn_age = person.age + np.clip(rng.normal(0, mood.age_spread), -12, 12)
    return Shot(
        yaw=float(drawn_yaw if yaw is None else yaw),
        pitch=float(np.clip(rng.normal(0, mood.pitch), -22, 22)),
        roll=float(np.clip(rng.normal(0, mood.roll), -25, 25)),
        turn=float(rng.uniform(0.3, 0.9)),
        gaze=(float(rng.normal(0, 5)), float(rng.normal(0, 3))),
        expression=_expression(rng),
        age=float(drawn_age if age is None else age),
        stubble=float(rng.uniform(-1, 1)),
        ruffle=float(rng.uniform(-1, 1)),
        light=_light(rng),
        clothes=_clothes(rng, person.male > 0.5),
        background=int(rng.integers(0, 5)),
        occluder=_occluder(person, rng, mood),
        accessory=_muted(rng),
        camera=_camera(rng, mood),
        seed=int(rng.integers(1 << 31)),
    )


def _occluder(person: Identity, rng: Generator, mood: CaptureConfig) -> str:
    if person.glasses >= 0 and rng.random() < 0.8:
        return "glasses"
    chances = np.array([0.22, 0.12, 0.16, 0.14, 0.14, 0.12, 0.10])
    return str(rng.choice(OCCLUDERS, p=chances)) if rng.random() < mood.occlusion else ""


_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {"mouthSmile": 0.15},
    {"mouthSmile": 0.55, "cheekSquint": 0.3},
    {"mouthSmile": 0.8, "cheekSquint": 0.5, "mouthUpperUp": 0.35, "jawOpen": 0.10, "mouthLowerDown": 0.2},
    {"mouthSmile": 0.75, "mouthStretch": 0.25, "jawOpen": 0.2, "mouthUpperUp": 0.4, "mouthLowerDown": 0.3},
    {"jawOpen": 0.22, "mouthFunnel": 0.2},
    {"jawOpen": 0.35, "browInnerUp": 0.5, "eyeWide": 0.3},
    {"mouthFrown": 0.4, "browDown": 0.25},
    {"browDown": 0.45, "eyeSquint": 0.4, "mouthPress": 0.3},
    {"mouthPucker": 0.45},
    {"browInnerUp": 0.5, "browOuterUp": 0.5},
    {"eyeBlink": 0.85},
)
_PAIRED = (
    "mouthSmile",
    "cheekSquint",
    "mouthUpperUp",
    "mouthLowerDown",
    "mouthStretch",
    "eyeWide",
    "mouthFrown",
    "browDown",
    "eyeSquint",
    "mouthPress",
    "browOuterUp",
    "eyeBlink",
)


def _expression(rng: Generator) -> tuple[tuple[str, float], ...]:
    chances = np.array([0.24, 0.2, 0.14, 0.1, 0.07, 0.05, 0.05, 0.05, 0.03, 0.05, 0.02])
    weights: dict[str, float] = {}
    for name, strength in _EXPRESSIONS[int(rng.choice(len(_EXPRESSIONS), p=chances))].items():
        value = strength * rng.uniform(0.6, 1.15)
        for target in (f"{name}Left", f"{name}Right") if name in _PAIRED else (name,):
            weights[target] = round(float(value * rng.uniform(0.88, 1.0)), 4)
    return tuple(sorted(weights.items()))


def _light(rng: Generator) -> Light:
    side, height = rng.normal(0, 0.55), rng.uniform(0.05, 0.9)
    direction = np.array([side, height, 1.0]) / np.linalg.norm([side, height, 1.0])
    warmth = rng.normal(0, 0.05)
    tint = np.array([1 + warmth, 1.0, 1 - 1.3 * warmth])
    key = rng.uniform(0.75, 1.15) * tint
    ambient = rng.uniform(0.3, 0.55)
    sky, ground = ambient * (2 - tint), 0.6 * ambient * tint
    return Light(_tuple(direction), _tuple(key), _tuple(sky), _tuple(ground))


def _clothes(rng: Generator, male: bool) -> Clothes:
    kinds = (
        ["crew", "vneck", "suit", "suit", "polo", "turtleneck"]
        if male
        else ["crew", "scoop", "vneck", "suit", "turtleneck", "scoop"]
    )
    kind = str(rng.choice(kinds))
    colour = _muted(rng)
    if kind == "suit":
        colour = _tuple(np.array([0.03, 0.034, 0.045]) * rng.uniform(0.5, 3.0))
    return Clothes(kind, colour, _muted(rng), float(rng.uniform(-1, 1)), int(rng.choice([0, 0, 0, 1, 2])))


def _muted(rng: Generator) -> Colour:
    """A colour as cloth has it: any lightness, little saturation."""
    grey = rng.uniform(0.02, 0.75) ** 1.3
    hue = rng.uniform(0, 2 * np.pi) + np.array([0, 2.094, 4.189])
    return _tuple(np.clip(grey * (1 + rng.uniform(0.05, 0.55) * np.cos(hue)), 0.01, 0.85))


def _camera(rng: Generator, mood: CaptureConfig) -> Camera:
    sharp = rng.random() < 0.7
    white = 1 + rng.normal(0, 0.025, 3)
    return Camera(
        face_width=float(rng.uniform(*mood.face)),
        centre=(0.5 + float(rng.normal(0, mood.shift)), 0.5 + float(rng.normal(0, mood.shift))),
        distance=float(rng.uniform(9, 25)),
        exposure=float(rng.uniform(0.85, 1.2)),
        blur=float(0.0015 if sharp else rng.uniform(0.002, 0.005)),
        noise=float(rng.uniform(0.004, 0.016)),
        white=_tuple(white),
        quality=int(rng.integers(mood.quality[0], mood.quality[1] + 1)),
    )


def _tuple(values: NDArray[np.floating[Any]]) -> Colour:
    first, second, third = (float(value) for value in values)
    return first, second, third
