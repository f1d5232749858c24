"""Who somebody is: everything about a person that does not change from photo to photo.

Shape weights follow MakeHuman's ranges (-1..1); colours are linear RGB albedos in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from synthfaces import mesh

Colour = tuple[float, float, float]

_SKIN_RAMP = np.array(  # sRGB, light to dark
    [
        [246, 215, 194],
        [236, 196, 168],
        [223, 176, 142],
        [198, 146, 110],
        [162, 110, 78],
        [120, 78, 54],
        [82, 52, 38],
    ]
)
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


@dataclass(frozen=True)
class Skin:
    """Colour of the skin and what is written on it; positions are (x, y) dm on the face."""

    colour: Colour
    redness: float  # of cheeks and nose
    lips: Colour
    blotch: float  # strength of uneven colour
    freckles: float  # 0..1
    moles: tuple[tuple[float, float, float], ...]  # x, y, radius
    eye_rings: float  # darkness under the eyes
    texture: tuple[int, int]  # offset into the shared noise


@dataclass(frozen=True)
class Brow:
    """Eyebrow: half thickness, height above the eye, arch, slant, inner and outer end (dm), density 0..1."""

    thickness: float
    height: float
    arch: float
    slant: float
    inner: float
    outer: float
    density: float


@dataclass(frozen=True)
class Hair:
    """Head hair and beard as they grow on this person."""

    colour: Colour
    kind: str  # "straight", "wavy" or "curly": the strand texture
    style: str  # a name of hair.STYLES
    hairline: float  # dm the forehead hairline sits higher (+) or lower (-)
    peak: float  # widow's peak
    recession: float  # how bald the temples get with age, 0..1
    volume: float  # factor on the thickness of the style
    part: float  # azimuth of the parting, radians
    grey_age: float  # years at which half of the hair is grey
    beard: str  # a name of materials.BEARDS, "" for none
    beard_density: float


@dataclass(frozen=True)
class Identity:
    """One person: `shape` holds target weights by slider index; `age` is the usual age in years."""

    name: str
    male: float
    weight: float
    ancestry: tuple[float, float, float]
    age: float
    shape: tuple[float, ...]
    skin: Skin
    brow: Brow
    hair: Hair
    iris: Colour
    glasses: int  # -1, or the frame worn in most photos


def linear(srgb: NDArray[np.float64] | tuple[int, int, int]) -> NDArray[np.float64]:
    """8-bit sRGB to linear 0..1 (gamma 2.2)."""
    result: NDArray[np.float64] = (np.asarray(srgb, np.float64) / 255) ** 2.2
    return result


def sample_identity(name: str, rng: Generator) -> Identity:
    """Draw a person from `rng`."""
    male = float(np.clip(rng.choice([0.06, 0.94]) + rng.normal(0, 0.08), 0, 1))
    ancestry = rng.dirichlet([0.45] * 3)
    is_male = male > 0.5
    age = float(rng.uniform(22, 62))
    hair = _hair(rng, is_male, ancestry)
    return Identity(
        name=name,
        male=male,
        weight=float(np.clip(rng.normal(0.05, 0.4), -0.8, 0.9)),
        ancestry=(float(ancestry[0]), float(ancestry[1]), float(ancestry[2])),
        age=age,
        shape=_shape(rng),
        skin=_skin(rng, is_male, ancestry),
        brow=_brow(rng, is_male),
        hair=hair,
        iris=_iris(rng, ancestry),
        glasses=int(rng.integers(0, 4)) if rng.random() < 0.15 else -1,
    )


def _shape(rng: Generator) -> tuple[float, ...]:
    """Slider weights: broad for features, narrow where a slider moves a whole part or bends symmetry."""
    weights = []
    for slider in mesh.sliders():
        if not slider.negative:  # one of the outlines of the head
            weight = float(rng.uniform(0.2, 0.8)) if rng.random() < 0.25 else 0.0
        else:
            weight = float(np.clip(rng.normal(0, _spread(slider.name)), -0.95, 0.95))
        weights.append(round(weight, 4))
    return tuple(weights)


def _spread(name: str) -> float:
    if name.startswith("asym"):
        return 0.16
    if "forehead" in name:
        return 0.18
    if "eye-scale" in name or "eye-push" in name or name.startswith(("neck", "head/")):
        return 0.25
    if "mouth-scale" in name or "nose-scale" in name:
        return 0.28
    return 0.3 if "trans" in name or name.startswith("ears") or "height" in name else 0.38


def _skin(rng: Generator, male: bool, ancestry: NDArray[np.float64]) -> Skin:
    african, asian, caucasian = ancestry
    depth = np.clip(0.86 * african + 0.34 * asian + 0.14 * caucasian + rng.normal(0, 0.09), 0.0, 1.0)
    place = depth * (len(_SKIN_RAMP) - 1)
    low = min(int(place), len(_SKIN_RAMP) - 2)
    srgb = _SKIN_RAMP[low] + (place - low) * (_SKIN_RAMP[low + 1] - _SKIN_RAMP[low])
    colour = linear(srgb * (1 + np.array([0.02, 0.0, -0.03]) * rng.normal()))
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


def _brow(rng: Generator, male: bool) -> Brow:
    return Brow(
        thickness=float(rng.uniform(0.042, 0.066) if male else rng.uniform(0.03, 0.05)),
        height=float(rng.uniform(0.215, 0.275)),
        arch=float(rng.uniform(0.005, 0.055)),
        slant=float(rng.uniform(-0.06, 0.02)),
        inner=float(rng.uniform(0.09, 0.17)),
        outer=float(rng.uniform(0.55, 0.66)),
        density=float(rng.uniform(0.65, 0.97)),
    )


def _hair(rng: Generator, male: bool, ancestry: NDArray[np.float64]) -> Hair:
    african, asian, caucasian = ancestry
    chances = np.array(
        [
            0.15 + 2 * (african + asian),
            0.5,
            0.1 + 0.7 * caucasian,
            0.25 * caucasian,
            0.6 * caucasian,
            0.2 * caucasian,
        ]
    )
    colour = linear(_HAIR[str(rng.choice(list(_HAIR), p=chances / chances.sum()))]) * rng.uniform(0.8, 1.3)
    curly = rng.random() < 0.05 + 0.9 * african
    kind = "curly" if curly else str(rng.choice(["straight", "wavy"]))
    if male:
        styles = (
            ["afro", "crop", "buzz", "crop"] if curly else ["crop", "side", "quiff", "buzz", "fringe", "back"]
        )
        style = "bald" if rng.random() < 0.06 else str(rng.choice(styles))
    else:
        styles = (
            ["afro", "long", "tied", "crop"]
            if curly
            else ["long", "bob", "fringed bob", "tied", "shoulder", "side"]
        )
        style = str(rng.choice(styles))
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


def _iris(rng: Generator, ancestry: NDArray[np.float64]) -> Colour:
    african, asian, caucasian = ancestry
    chances = np.array(
        [
            0.2 + 2 * african + 2 * asian,
            0.5,
            0.3 * caucasian,
            0.2 * caucasian,
            0.5 * caucasian,
            0.2 * caucasian,
        ]
    )
    return _rgb(
        linear(_IRIS[str(rng.choice(list(_IRIS), p=chances / chances.sum()))]) * rng.uniform(0.85, 1.2)
    )


def _rgb(colour: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(colour, 0.002, 0.95)
    return float(red), float(green), float(blue)
