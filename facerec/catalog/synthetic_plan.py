"""What a verification benchmark compares: people, photos and pairs, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from numpy.random import Generator

from synthfaces.sampling import stream
from synthfaces.studio import Pose

FOLDS = 10
Rule = Callable[[Generator], tuple[Pose, ...]]
"""Draws four photos of a person: the first ones of pairs (numbers 0, 1), then the second ones (2, 3)."""


def draw_ordinary(rng: Generator) -> tuple[Pose, ...]:
    """Four ordinary photos."""
    return tuple(Pose(number) for number in range(4))


def draw_age_gap(rng: Generator) -> tuple[Pose, ...]:
    """Two young and two old photos, at least 30 years apart."""
    ages = (*rng.uniform(22, 36, 2), *rng.uniform(67, 82, 2))
    return tuple(Pose(number, age=float(age)) for number, age in enumerate(ages))


def draw_profiles(rng: Generator) -> tuple[Pose, ...]:
    """Two frontal photos (|yaw| < 10 degrees) and two profiles (65 to 90)."""
    front, side = rng.uniform(-9.5, 9.5, 2), rng.uniform(66, 88, 2) * rng.choice([-1, 1], 2)
    return tuple(Pose(number, yaw=float(yaw)) for number, yaw in enumerate((*front, *side)))


Photo = tuple[int, int]
"""Person and photo number of a benchmark, from 0."""


@dataclass(frozen=True)
class Plan:
    """A benchmark of `count` pairs (a multiple of 20) in ten folds, each with people of its own.

    A same pair is a first and a second photo of one person, a different pair a first photo of one and a
    second photo of another person of the fold; no pair occurs twice.
    """

    seed: int
    world: str
    count: int
    rule: Rule = draw_ordinary

    @property
    def half(self) -> int:
        """Same pairs a fold, and as many different ones."""
        return self.count // (2 * FOLDS)

    @property
    def fold_people(self) -> int:
        """People a fold: about three of the four same pairs of each are used."""
        return max(2, -(-self.half // 3))

    @property
    def people(self) -> int:
        """People of all folds."""
        return FOLDS * self.fold_people

    def poses(self, person: int) -> tuple[Pose, ...]:
        """The four photos of `person`."""
        return self.rule(stream(self.seed, "poses", self.world, person))

    def pairs(self) -> Iterator[tuple[Photo, Photo, bool]]:
        """First photo, second photo and whether they show one person; a fold's same pairs come first."""
        for fold in range(FOLDS):
            rng = stream(self.seed, "pairs", self.world, fold)
            members = range(fold * self.fold_people, (fold + 1) * self.fold_people)
            for same in (True, False):
                choices = [
                    ((a, first), (b, second), same)
                    for a in members
                    for b in members
                    for first in (0, 1)
                    for second in (2, 3)
                    if (a == b) == same
                ]
                yield from (choices[place] for place in sorted(rng.permutation(len(choices))[: self.half]))
