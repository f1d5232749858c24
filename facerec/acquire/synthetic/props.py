"""Things worn on or held before the face: hats, scarves, microphones, hands (and glasses, see eyewear)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facerec.acquire.synthetic import eyewear, mesh
from facerec.acquire.synthetic.identity import Identity
from facerec.acquire.synthetic.photo import Shot
from facerec.acquire.synthetic.surface import Floats, Surface, ball, f32, sheet, solid, tube

_HAT_AZIMUTH = (0, 50, 90, 130, 180)
_HAT_EDGE = {"beanie": (62, 76, 92, 108, 112), "cap": (64, 74, 88, 96, 98)}  # degrees from the crown
_HAT_ROWS = 22


def hat_edge(occluder: str) -> Floats | None:
    """Where a hat ends, degrees from the crown for every column of a hair sheet; None without a hat."""
    if occluder not in _HAT_EDGE:
        return None
    return f32(np.interp(np.abs(np.degrees(mesh.scalp().azimuth)), _HAT_AZIMUTH, _HAT_EDGE[occluder]))


def build(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    """Surfaces of the shot's occluder for a head with vertices `points` (v, 3)."""
    builders: dict[str, Callable[[Identity, Shot, Floats], list[Surface]]] = {
        "glasses": _glasses,
        "sunglasses": _glasses,
        "beanie": _hat,
        "cap": _hat,
        "scarf": _scarf,
        "microphone": _microphone,
        "hand": _hand,
    }
    return builders[shot.occluder](person, shot, points) if shot.occluder else []


def _glasses(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    own = person.glasses if person.glasses >= 0 else shot.seed
    return eyewear.build(eyewear.FRAMES[own % len(eyewear.FRAMES)], points, shot.occluder == "sunglasses")


def _hat(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    """Cloth over the scalp down to the edge; a beanie has a hem, a cap a brim."""
    edge = hat_edge(shot.occluder)
    assert edge is not None
    grid = mesh.scalp()
    angle = np.linspace(0.03, 1, _HAT_ROWS) * np.radians(edge)[:, None]
    place = np.clip(np.interp(angle, grid.polar, np.arange(len(grid.polar))), 0, len(grid.polar) - 1.001)
    row, share = place.astype(int), (place % 1)[..., None]
    column = np.arange(len(edge))[:, None]
    skin = mesh.on_scalp(points)
    outward = grid.directions[column, row] * (1 - share) + grid.directions[column, row + 1] * share
    base = skin[column, row] * (1 - share) + skin[column, row + 1] * share
    beanie = shot.occluder == "beanie"
    thickness = np.where(np.arange(_HAT_ROWS) < 18, 0.16, 0.2) if beanie else np.full(_HAT_ROWS, 0.18)
    cloth = base + outward * thickness[:, None]
    parts = [solid(sheet(cloth), shot.accessory)]
    return parts if beanie else [*parts, _brim(f32(cloth), shot)]


def _brim(cloth: Floats, shot: Shot) -> Surface:
    azimuth = mesh.scalp().azimuth
    front = np.abs(azimuth) < 1.15
    around = azimuth[front]
    reach = 0.75 * np.sqrt(np.clip(np.cos(around * 1.35), 0, 1))[:, None] * np.linspace(0, 1, 8)
    forward = np.stack([0.25 * np.sin(around), np.full(len(around), -0.18), np.ones(len(around))], axis=1)
    return solid(sheet(cloth[front, -1:] + reach[..., None] * forward[:, None]), shot.accessory)


def _scarf(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    """Two thick turns around the neck."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    parts = []
    for height, radius, thick in ((-1.62, 0.62, 0.26), (-1.4, 0.56, 0.24)):
        sway = 0.05 * np.sin(3 * angle + shot.seed % 7) + 0.08 * np.cos(angle + 2)
        turn = [radius * np.sin(angle), height + sway, (radius + 0.03) * np.cos(angle) - 0.62]
        thickness = thick * (1 + 0.10 * np.sin(5 * angle + shot.seed % 11))
        parts.append(solid(tube(np.stack(turn, 1), thickness, 14, closed=True), shot.accessory, follow=0.35))
    return parts


def _microphone(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    side = 1 if shot.seed % 2 else -1
    top = (0.16 * side, -1.22, 0.85)
    stem = np.linspace(top, (0.75 * side, -3.4, 1.3), 8)
    return [
        solid(ball(top, (0.19, 0.2, 0.19)), (0.02, 0.02, 0.022), 0.25, follow=0.3),
        solid(tube(stem, 0.1), (0.015, 0.015, 0.016), 0.5, follow=0.3),
    ]


def _hand(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    """Four fingers along the jaw, the back of the hand below, and a sleeve."""
    side = 1 if shot.seed % 2 else -1
    corner = points[mesh.head().mouth[int(side > 0)]]
    share = np.linspace(0, 1, 9)[:, None]
    radius = 0.085 * np.sqrt(np.clip(1 - np.linspace(-0.2, 1, 9) ** 6, 0.02, 1))
    parts = []
    for finger, length in enumerate((0.62, 0.72, 0.68, 0.52)):
        root = corner + f32([side * (0.28 - 0.17 * finger), -0.72, 0.05 + 0.03 * finger])
        tip = root + f32([side * 0.16, length, -0.02 + 0.02 * finger])
        path = root * (1 - share) + tip * share + f32([0, 0, 0.14]) * np.sin(np.pi * share)
        parts.append(solid(tube(path, radius, 10), person.skin.colour, 0.1))
    palm = corner + f32([side * 0.05, -0.98, 0.02])
    parts.append(solid(ball(palm, (0.42, 0.42, 0.15)), person.skin.colour, 0.1))
    arm = np.linspace(palm, palm + f32([side * 0.5, -2.6, 0]), 6)
    return [*parts, solid(tube(arm, 0.3, 12), shot.clothes.colour, follow=0.5)]
