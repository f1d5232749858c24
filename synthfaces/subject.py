"""What a photo shows: the person, who stays the same from photo to photo, and all that one shot varies.

Shape weights follow MakeHuman's ranges (-1..1); colours are linear RGB albedos in 0..1. Angles are degrees: positive
yaw turns the face to the right of the image, positive pitch lifts it, positive roll tilts it clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
OCCLUDERS = ("glasses", "sunglasses", "beanie", "cap", "scarf", "microphone", "hand")


@dataclass(frozen=True)
class Skin:
    """Colour and marks of the skin; positions are (x, y) dm on the face."""

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
    beard: str  # "stubble", "full", "goatee", "moustache", or "" for none
    beard_density: float

    def colour_at_age(self, age: float) -> NDArray[np.float32]:
        """Colour (3,) at `age` years: it fades to grey around `grey_age`."""
        share = 1 / (1 + np.exp(-(age - self.grey_age) / 8))
        mixed = np.array(self.colour) * (1 - share) + np.array([0.42, 0.42, 0.41]) * share
        return np.asarray(mixed, np.float32)


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
    background: int  # index into render.BACKGROUNDS
    occluder: str  # "" or one of OCCLUDERS
    accessory: Colour
    camera: Camera
    seed: int
