"""A made-up template benchmark in the exact form of the published lists of IJB-B and IJB-C, small."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class World:
    """Faces with the number of their template and medium, who the templates show, and the pairs."""

    features: np.ndarray
    template: np.ndarray
    medium: np.ndarray
    scores: np.ndarray
    subjects: dict[int, int]
    galleries: dict[str, list[int]]
    probes: list[int]
    pairs: list[tuple[int, int, bool]]

    @property
    def names(self) -> list[str]:
        return [f"{number}.jpg" for number in range(1, len(self.features) + 1)]

    @property
    def same(self) -> np.ndarray:
        return np.array([same for *_, same in self.pairs])


def make_world(seed: int = 0, people: int = 24, dim: int = 8, noise: float = 0.7) -> World:
    """Each person has a gallery template, half of them in G1 and half in G2, and two probe templates.

    Templates hold photos and frames of videos; videos appear in several templates, numbers have gaps, and faces are in no
    order. Pairs are all of G1 and G2 with the probes that a rule of thumb leaves.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, dim))
    numbers = rng.permutation(5 * people)[: 3 * people] + 1
    subjects = {int(numbers[3 * who + which]): 100 + who for who in range(people) for which in range(3)}
    rows, template, medium = [], [], []
    for number, subject in subjects.items():
        for video in range(rng.integers(1, 4)):
            for _ in range(rng.choice([1, 1, 2, 5])):
                rows.append(centres[subject - 100] + noise * rng.normal(size=dim))
                template.append(number)
                medium.append(10 * subject + video)
    order = rng.permutation(len(rows))
    gallery = [int(numbers[3 * who]) for who in range(people)]
    probes = [int(numbers[3 * who + which]) for who in range(people) for which in (1, 2)]
    pairs = [
        (one, other, subjects[one] == subjects[other])
        for one in gallery
        for other in probes
        if subjects[one] == subjects[other] or (one * other) % 3
    ]
    return World(
        features=(np.array(rows)[order] * rng.uniform(5, 20, size=(len(rows), 1))).astype(np.float32),
        template=np.array(template)[order],
        medium=np.array(medium)[order],
        scores=rng.uniform(0.3, 1, size=len(rows)).round(6).astype(np.float32),
        subjects=subjects,
        galleries={"G1": gallery[: people // 2], "G2": gallery[people // 2 :]},
        probes=probes,
        pairs=pairs,
    )


def write_lists(world: World, folder: Path, name: str = "ijbc") -> Path:
    """Write the lists into `folder`, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    faces = list(zip(world.names, world.template.tolist(), world.medium.tolist(), world.scores.tolist(), strict=True))
    points = "30.5 51.25 65.5 51.0 48.0 71.5 33.5 92.25 62.5 92.0"
    lines = {
        "face_tid_mid.txt": [f"{photo} {template} {medium}" for photo, template, medium, _ in faces],
        "name_5pts_score.txt": [f"{photo} {points} {score:.6f}" for photo, *_, score in faces],
        "template_pair_label.txt": [f"{one} {other} {int(same)}" for one, other, same in world.pairs],
    }
    for kind, chosen in {
        **{f"gallery_{key}": value for key, value in world.galleries.items()},
        "probe_mixed": world.probes,
    }.items():
        rows = [
            f"{t},{world.subjects[t]},img/{photo},77,1,2,3,4" for t in chosen for photo, own, *_ in faces if own == t
        ]
        header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"
        lines[f"1N_{kind}.csv"] = [header, *rows]
    for kind, written in lines.items():
        (folder / f"{name}_{kind}").write_text("\n".join(written) + "\n")
    return folder


def pool_by_hand(world: World, weights: np.ndarray) -> dict[int, np.ndarray]:
    """Unit vectors by template, one template and medium after another, in the way the published code does it."""
    found = {}
    for number in np.unique(world.template).tolist():
        total = np.zeros(world.features.shape[1])
        inside = world.template == number
        for medium in np.unique(world.medium[inside]):
            frames = inside & (world.medium == medium)
            total += (world.features[frames].astype(np.float64) * weights[frames, None]).mean(axis=0)
        found[number] = total / np.sqrt((total**2).sum())
    return found
