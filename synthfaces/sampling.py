"""Drawing people and photos at random: identities, and shots as varied as a `CaptureConfig` allows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from synthfaces import mesh
from synthfaces.subject import OCCLUDERS, Brow, Camera, Clothes, Colour, Hair, Identity, Light, Shot, Skin

_SKIN_RAMP = np.array(  # sRGB, light to dark
    [(246, 215, 194), (236, 196, 168), (223, 176, 142), (198, 146, 110), (162, 110, 78), (120, 78, 54), (82, 52, 38)]
)  # fmt: skip
_HAIR = {  # sRGB
    "black": (22, 19, 18),
    "dark brown": (46, 32, 24),
    "brown": (82, 56, 38),
    "auburn": (110, 56, 34),
    "blond": (172, 134, 86),
    "red": (150, 78, 40),
}
_IRIS = {
    "dark": (42, 26, 16),
    "brown": (84, 54, 28),
    "hazel": (110, 88, 46),
    "green": (88, 108, 76),
    "blue": (84, 116, 146),
    "grey": (116, 126, 132),
}
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
_PAIRED = (  # expressions with a target for each side of the face
    "mouthSmile", "cheekSquint", "mouthUpperUp", "mouthLowerDown", "mouthStretch", "eyeWide",
    "mouthFrown", "browDown", "eyeSquint", "mouthPress", "browOuterUp", "eyeBlink",
)  # fmt: skip


@dataclass(frozen=True)
class CaptureConfig:
    """How much the photos of a set vary; angles in degrees."""

    yaw: float = 18.0  # standard deviation
    wide: float = 0.0  # share of photos with |yaw| anywhere up to 75 degrees
    pitch: float = 7.0
    roll: float = 6.0
    occlusion: float = 0.1  # share of photos with something on or in front of the face
    face: tuple[float, float] = (0.38, 0.46)  # width of the face as a share of the photo
    shift: float = 0.03  # standard deviation of the place of the face, share of the photo
    quality: tuple[int, int] = (75, 95)
    age_spread: float = 2.5  # years around the person's usual age


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A random generator that depends on `seed` and `names` and on nothing else.

    >>> int(stream(1, "identity", 7).integers(1000))
    484
    """
    digest = hashlib.sha256(repr(names).encode()).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    return np.random.default_rng([seed, *words])


def _linear_rgb(srgb: NDArray[np.float64] | tuple[int, int, int]) -> NDArray[np.float64]:
    """8-bit sRGB to linear 0..1 (gamma 2.2)."""
    result: NDArray[np.float64] = (np.asarray(srgb, np.float64) / 255) ** 2.2
    return result


def sample_identity(name: str, rng: Generator) -> Identity:
    """Draw a person from `rng`."""
    male = float(np.clip(rng.choice([0.06, 0.94]) + rng.normal(0, 0.08), 0, 1))
    ancestry = rng.dirichlet([0.45] * 3)
    is_male = male > 0.5
    age = float(rng.uniform(22, 62))
    hair = _sample_hair(rng, is_male, ancestry)
    return Identity(
        name=name,
        male=male,
        weight=float(np.clip(rng.normal(0.05, 0.4), -0.8, 0.9)),
        ancestry=(float(ancestry[0]), float(ancestry[1]), float(ancestry[2])),
        age=age,
        shape=_sample_shape(rng),
        skin=_sample_skin(rng, is_male, ancestry),
        brow=_sample_brow(rng, is_male),
        hair=hair,
        iris=_sample_iris(rng, ancestry),
        glasses=int(rng.integers(0, 4)) if rng.random() < 0.15 else -1,
    )


def _sample_shape(rng: Generator) -> tuple[float, ...]:
    """Slider weights: broad for features, narrow where a slider moves a whole part or breaks symmetry."""
    weights = []
    for slider in mesh.sliders():
        if not slider.negative:  # one of the outlines of the head
            weight = float(rng.uniform(0.2, 0.8)) if rng.random() < 0.25 else 0.0
        else:
            weight = float(np.clip(rng.normal(0, _slider_spread(slider.name)), -0.95, 0.95))
        weights.append(round(weight, 4))
    return tuple(weights)


def _slider_spread(name: str) -> float:
    if name.startswith("asym"):
        return 0.16
    if "forehead" in name:
        return 0.18
    if "eye-scale" in name or "eye-push" in name or name.startswith(("neck", "head/")):
        return 0.25
    if "mouth-scale" in name or "nose-scale" in name:
        return 0.28
    return 0.3 if "trans" in name or name.startswith("ears") or "height" in name else 0.38


def _sample_skin(rng: Generator, male: bool, ancestry: NDArray[np.float64]) -> Skin:
    african, asian, caucasian = ancestry
    depth = np.clip(0.86 * african + 0.34 * asian + 0.14 * caucasian + rng.normal(0, 0.09), 0.0, 1.0)
    place = depth * (len(_SKIN_RAMP) - 1)
    low = min(int(place), len(_SKIN_RAMP) - 2)
    srgb = _SKIN_RAMP[low] + (place - low) * (_SKIN_RAMP[low + 1] - _SKIN_RAMP[low])
    colour = _linear_rgb(srgb * (1 + np.array([0.02, 0.0, -0.03]) * rng.normal()))
    tint = np.array([0.92, 0.52, 0.52]) if male else np.array([1.0, 0.40, 0.42])
    lips = colour * (1 - rng.uniform(0.35, 0.95) * (1 - tint * rng.uniform(0.85, 1.05)))
    moles = tuple(
        (float(rng.uniform(-0.55, 0.55)), float(rng.uniform(-1.0, 0.55)), float(rng.uniform(0.014, 0.03)))
        for _ in range(int(rng.choice([0, 0, 1, 1, 2, 4])))
    )
    return Skin(
        colour=_rgb(colour),
        redness=float(rng.uniform(0.1, 0.9) * (1 - 0.6 * depth)),
        lips=_rgb(lips),
        blotch=float(rng.uniform(0.3, 1.0)),
        freckles=float(rng.uniform(0.3, 1) if depth < 0.35 and rng.random() < 0.22 else 0),
        moles=moles,
        eye_rings=float(rng.uniform(0.0, 0.8)),
        texture=(int(rng.integers(512)), int(rng.integers(512))),
    )


def _sample_brow(rng: Generator, male: bool) -> Brow:
    return Brow(
        thickness=float(rng.uniform(0.042, 0.066) if male else rng.uniform(0.03, 0.05)),
        height=float(rng.uniform(0.215, 0.275)),
        arch=float(rng.uniform(0.005, 0.055)),
        slant=float(rng.uniform(-0.06, 0.02)),
        inner=float(rng.uniform(0.09, 0.17)),
        outer=float(rng.uniform(0.55, 0.66)),
        density=float(rng.uniform(0.65, 0.97)),
    )


def _sample_hair(rng: Generator, male: bool, ancestry: NDArray[np.float64]) -> Hair:
    african, asian, caucasian = ancestry
    rest = (0.5, 0.1 + 0.7 * caucasian, 0.25 * caucasian, 0.6 * caucasian, 0.2 * caucasian)
    chances = np.array([0.15 + 2 * (african + asian), *rest])
    name = str(rng.choice(list(_HAIR), p=chances / chances.sum()))
    colour = _linear_rgb(_HAIR[name]) * rng.uniform(0.8, 1.3)
    curly = rng.random() < 0.05 + 0.9 * african
    kind = "curly" if curly else str(rng.choice(["straight", "wavy"]))
    if male:
        styles = "afro crop buzz crop" if curly else "crop side quiff buzz fringe back"
        style = "bald" if rng.random() < 0.06 else str(rng.choice(styles.split()))
    else:
        straight = ["long", "bob", "fringed bob", "tied", "shoulder", "side"]
        style = str(rng.choice(["afro", "long", "tied", "crop"] if curly else straight))
    beards = ["", "", "", "stubble", "stubble", "full", "goatee", "moustache"]
    return Hair(
        colour=_rgb(colour),
        kind=kind,
        style=style,
        hairline=float(rng.uniform(-0.06, 0.12)),
        peak=float(max(0, rng.normal(0.0, 0.04))),
        recession=float(rng.uniform(0, 1) if male else rng.uniform(0, 0.15)),
        volume=float(rng.uniform(0.75, 1.25)),
        part=float(rng.choice([-0.6, -0.4, 0.4, 0.6])),
        grey_age=float(rng.uniform(55, 85)),
        beard=str(rng.choice(beards)) if male else "",
        beard_density=float(rng.uniform(0.55, 0.95)),
    )


def _sample_iris(rng: Generator, ancestry: NDArray[np.float64]) -> Colour:
    african, asian, caucasian = ancestry
    rest = (0.5, 0.3 * caucasian, 0.2 * caucasian, 0.5 * caucasian, 0.2 * caucasian)
    chances = np.array([0.2 + 2 * african + 2 * asian, *rest])
    colour = str(rng.choice(list(_IRIS), p=chances / chances.sum()))
    return _rgb(_linear_rgb(_IRIS[colour]) * rng.uniform(0.85, 1.2))


def _rgb(colour: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(colour, 0.002, 0.95)
    return float(red), float(green), float(blue)


def sample_shot(
    person: Identity, rng: Generator, capture: CaptureConfig, yaw: float | None = None, age: float | None = None
) -> Shot:
    """Draw a photo of `person`; `yaw` (degrees) and `age` (years) are not drawn where given."""
    drawn_yaw = rng.uniform(-75, 75) if rng.random() < capture.wide else np.clip(rng.normal(0, capture.yaw), -55, 55)
    drawn_age = person.age + np.clip(rng.normal(0, capture.age_spread), -12, 12)
    return Shot(
        yaw=float(drawn_yaw if yaw is None else yaw),
        pitch=float(np.clip(rng.normal(0, capture.pitch), -22, 22)),
        roll=float(np.clip(rng.normal(0, capture.roll), -25, 25)),
        turn=float(rng.uniform(0.3, 0.9)),
        gaze=(float(rng.normal(0, 5)), float(rng.normal(0, 3))),
        expression=_sample_expression(rng),
        age=float(drawn_age if age is None else age),
        stubble=float(rng.uniform(-1, 1)),
        ruffle=float(rng.uniform(-1, 1)),
        light=_sample_light(rng),
        clothes=_sample_clothes(rng, person.male > 0.5),
        background=int(rng.integers(0, 5)),
        occluder=_sample_occluder(person, rng, capture),
        accessory=_sample_cloth_colour(rng),
        camera=_sample_camera(rng, capture),
        seed=int(rng.integers(1 << 31)),
    )


def _sample_occluder(person: Identity, rng: Generator, capture: CaptureConfig) -> str:
    if person.glasses >= 0 and rng.random() < 0.8:
        return "glasses"
    chances = np.array([0.22, 0.12, 0.16, 0.14, 0.14, 0.12, 0.10])
    return str(rng.choice(OCCLUDERS, p=chances)) if rng.random() < capture.occlusion else ""


def _sample_expression(rng: Generator) -> tuple[tuple[str, float], ...]:
    chances = np.array([0.24, 0.2, 0.14, 0.1, 0.07, 0.05, 0.05, 0.05, 0.03, 0.05, 0.02])
    weights: dict[str, float] = {}
    for name, strength in _EXPRESSIONS[int(rng.choice(len(_EXPRESSIONS), p=chances))].items():
        value = strength * rng.uniform(0.6, 1.15)
        for target in (f"{name}Left", f"{name}Right") if name in _PAIRED else (name,):
            weights[target] = round(float(value * rng.uniform(0.88, 1.0)), 4)
    return tuple(sorted(weights.items()))


def _sample_light(rng: Generator) -> Light:
    side, height = rng.normal(0, 0.55), rng.uniform(0.05, 0.9)
    direction = np.array([side, height, 1.0]) / np.linalg.norm([side, height, 1.0])
    warmth = rng.normal(0, 0.05)
    tint = np.array([1 + warmth, 1.0, 1 - 1.3 * warmth])
    key = rng.uniform(0.75, 1.15) * tint
    ambient = rng.uniform(0.3, 0.55)
    sky, ground = ambient * (2 - tint), 0.6 * ambient * tint
    return Light(_triple(direction), _triple(key), _triple(sky), _triple(ground))


def _sample_clothes(rng: Generator, male: bool) -> Clothes:
    kinds = "crew vneck suit suit polo turtleneck" if male else "crew scoop vneck suit turtleneck scoop"
    kind = str(rng.choice(kinds.split()))
    colour = _sample_cloth_colour(rng)
    if kind == "suit":
        colour = _triple(np.array([0.03, 0.034, 0.045]) * rng.uniform(0.5, 3.0))
    return Clothes(kind, colour, _sample_cloth_colour(rng), float(rng.uniform(-1, 1)), int(rng.choice([0, 0, 0, 1, 2])))


def _sample_cloth_colour(rng: Generator) -> Colour:
    """A colour as cloth has it: any lightness, little saturation."""
    grey = rng.uniform(0.02, 0.75) ** 1.3
    hue = rng.uniform(0, 2 * np.pi) + np.array([0, 2.094, 4.189])
    return _triple(np.clip(grey * (1 + rng.uniform(0.05, 0.55) * np.cos(hue)), 0.01, 0.85))


def _sample_camera(rng: Generator, capture: CaptureConfig) -> Camera:
    sharp = rng.random() < 0.7
    white = 1 + rng.normal(0, 0.025, 3)
    return Camera(
        face_width=float(rng.uniform(*capture.face)),
        centre=(0.5 + float(rng.normal(0, capture.shift)), 0.5 + float(rng.normal(0, capture.shift))),
        distance=float(rng.uniform(9, 25)),
        exposure=float(rng.uniform(0.85, 1.2)),
        blur=float(0.0015 if sharp else rng.uniform(0.002, 0.005)),
        noise=float(rng.uniform(0.004, 0.016)),
        white=_triple(white),
        quality=int(rng.integers(capture.quality[0], capture.quality[1] + 1)),
    )


def _triple(values: NDArray[np.floating[Any]]) -> Colour:
    first, second, third = (float(value) for value in values)
    return first, second, third
