"""Photo sessions: which person is photographed how often, and the encoded photos.

A session holds all photos of one person, so that shape and skin are computed once. It is small and can be pickled.
Everything random in it depends on its seed, its set and its numbers, so sessions can run in any order and in any
process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facerec.core import map_ordered, track
from facerec.imaging.alignment import similarity, warp
from facerec.imaging.images import encode_jpeg
from synthfaces.render import RenderedPhoto, render_photo
from synthfaces.sampling import CaptureConfig, sample_identity, sample_shot, stream
from synthfaces.subject import Identity, Shot

_JITTER = 0.009  # landmark error of a detector, share of the face's width
_STARTS = (
    "b", "br", "d", "dr", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "sh", "t", "tr", "v", "w", "z",
)  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "io")
_ENDS = ("", "l", "n", "r", "s", "m", "k", "th", "nd")
_BEHIND = CaptureConfig(yaw=30, face=(0.16, 0.24), shift=0.0)


@dataclass(frozen=True)
class Person:
    """Person number `index` of `world`; people of different worlds are never the same."""

    world: str
    index: int

    def identity(self, seed: int) -> Identity:
        """The person in the world of `seed`."""
        return sample_identity(f"{self.world}-{self.index:05d}", stream(seed, "identity", self.world, self.index))


@dataclass(frozen=True)
class Pose:
    """One photo of a session; yaw (degrees) and age (years) are drawn where None."""

    number: int
    yaw: float | None = None
    age: float | None = None


@dataclass(frozen=True)
class Session:
    """All photos of one person for one set: `size` pixels square, or aligned 112 x 112 crops of them."""

    seed: int
    set: str
    person: Person
    poses: tuple[Pose, ...]
    capture: CaptureConfig
    size: int
    aligned: bool = False
    bystanders: float = 0.0  # share of photos with a second person behind


@dataclass(frozen=True)
class EncodedPhoto:
    """An encoded photo with its truth: box (4,) and landmarks (5, 2) in its pixels."""

    jpeg: bytes
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]


def render_session(session: Session) -> list[EncodedPhoto]:
    """Take the photos of one session."""
    person = session.person.identity(session.seed)
    return [_take_photo(session, person, pose) for pose in session.poses]


def render_sessions(sessions: Sequence[Session], title: str) -> Iterator[list[EncodedPhoto]]:
    """The photos of every session in order, rendered by all local processes."""
    yield from track(map_ordered(render_session, sessions), title, total=len(sessions), unit="people")


def _take_photo(session: Session, person: Identity, pose: Pose) -> EncodedPhoto:
    names = (session.set, session.person.world, session.person.index, pose.number)
    rng = stream(session.seed, "photo", *names)
    shot = sample_shot(person, rng, session.capture, pose.yaw, pose.age)
    behind = None
    if rng.random() < session.bystanders:
        behind = _sample_bystander(session.seed, names, rng)
    taken = render_photo(person, shot, session.size, behind)
    if session.aligned:
        return _align_photo(taken, rng, shot.camera.quality)
    return EncodedPhoto(encode_jpeg(taken.image, shot.camera.quality), taken.box, taken.landmarks)


def _sample_bystander(seed: int, names: tuple[str | int, ...], rng: np.random.Generator) -> tuple[Identity, Shot]:
    """A smaller person at the edge of the photo, who is in no set."""
    person = sample_identity("bystander", stream(seed, "bystander", *names))
    shot = sample_shot(person, rng, _BEHIND)
    place = (float(rng.choice([0.1, 0.9])), float(rng.uniform(0.3, 0.5)))
    return person, replace(shot, camera=replace(shot.camera, centre=place))


def _align_photo(taken: RenderedPhoto, rng: np.random.Generator, quality: int) -> EncodedPhoto:
    width = taken.box[2] - taken.box[0]
    found = taken.landmarks + rng.normal(0, _JITTER * width, (5, 2))
    matrix = similarity(found[None])[0]
    points = taken.landmarks @ matrix[:, :2].T + matrix[:, 2]
    corners = np.array([0, 0, 111, 111], np.float32)
    return EncodedPhoto(encode_jpeg(warp(taken.image, matrix), max(quality, 85)), corners, points.astype(np.float32))


def sample_names(count: int, rng: Generator) -> list[str]:
    """`count` different names.

    >>> sample_names(2, np.random.default_rng(1))
    ['Lushio_Dreawen', 'Vogean_Kaina']
    """
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{_name_word(rng)}_{_name_word(rng)}"] = None
    return list(names)


def _name_word(rng: Generator) -> str:
    syllables = [str(rng.choice(_STARTS)) + str(rng.choice(_VOWELS)) for _ in range(2)]
    return ("".join(syllables) + str(rng.choice(_ENDS))).capitalize()
