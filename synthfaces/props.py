"""What covers a face in part: glasses, hats, scarves, microphones, hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synthfaces import mesh
from synthfaces.subject import Colour, Identity, Shot
from synthfaces.surface import Floats, Material, Surface, ball, f32, sheet, solid, tube

_HAT_AZIMUTH = (0, 50, 90, 130, 180)
_HAT_EDGE = {"beanie": (62, 76, 92, 108, 112), "cap": (64, 74, 88, 96, 98)}  # degrees from the crown
_HAT_ROWS = 22


def hat_edge(occluder: str) -> Floats | None:
    """Where a hat ends, degrees from the crown for every column of a hair sheet; None without a hat."""
    if occluder not in _HAT_EDGE:
        return None
    return f32(np.interp(np.abs(np.degrees(mesh.scalp_grid().azimuth)), _HAT_AZIMUTH, _HAT_EDGE[occluder]))


def occluder_surfaces(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
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
    return spectacles(FRAMES[own % len(FRAMES)], points, shot.occluder == "sunglasses")


def _hat(person: Identity, shot: Shot, points: Floats) -> list[Surface]:
    """Cloth over the scalp down to the edge; a beanie has a hem, a cap a brim."""
    edge = hat_edge(shot.occluder)
    assert edge is not None
    grid = mesh.scalp_grid()
    angle = np.linspace(0.03, 1, _HAT_ROWS) * np.radians(edge)[:, None]
    place = np.clip(np.interp(angle, grid.polar, np.arange(len(grid.polar))), 0, len(grid.polar) - 1.001)
    row, share = place.astype(int), (place % 1)[..., None]
    column = np.arange(len(edge))[:, None]
    skin = mesh.scalp_points(points)
    outward = grid.directions[column, row] * (1 - share) + grid.directions[column, row + 1] * share
    base = skin[column, row] * (1 - share) + skin[column, row + 1] * share
    beanie = shot.occluder == "beanie"
    thickness = np.where(np.arange(_HAT_ROWS) < 18, 0.16, 0.2) if beanie else np.full(_HAT_ROWS, 0.18)
    cloth = base + outward * thickness[:, None]
    parts = [solid(sheet(cloth), shot.accessory)]
    return parts if beanie else [*parts, _brim(f32(cloth), shot)]


def _brim(cloth: Floats, shot: Shot) -> Surface:
    azimuth = mesh.scalp_grid().azimuth
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
    corner = points[mesh.load_head().mouth[int(side > 0)]]
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


@dataclass(frozen=True)
class Frame:
    """Half width and height of a lens (dm), its roundness (1 ellipse, 0 box), rim radius (dm) and colour."""

    width: float
    height: float
    roundness: float
    rim: float
    colour: Colour


FRAMES = (
    Frame(0.29, 0.21, 0.5, 0.024, (0.012, 0.012, 0.014)),
    Frame(0.27, 0.23, 1.0, 0.014, (0.06, 0.028, 0.014)),
    Frame(0.30, 0.17, 0.4, 0.024, (0.2, 0.19, 0.17)),
    Frame(0.31, 0.24, 0.7, 0.014, (0.1, 0.06, 0.02)),
)


def spectacles(frame: Frame, points: Floats, dark: bool) -> list[Surface]:
    """Rims, temples and bridge for a head with vertices `points` (v, 3); `dark` adds black lenses."""
    rims = [_rim(frame, points, side) for side in (0, 1)]
    parts = [solid(tube(rim, frame.rim, 6, closed=True), frame.colour, 0.6) for rim in rims]
    breadth = float(np.abs(points[mesh.load_head().face, 0]).max()) + 0.06
    for side, rim in zip((-1, 1), rims, strict=True):
        hinge = rim[np.argmax(side * rim[:, 0])]
        temple = np.linspace(hinge, [side * breadth, hinge[1] + 0.04, -0.62], 8)
        parts.append(solid(tube(temple, frame.rim), frame.colour, 0.6))
    bridge = np.linspace(rims[0][np.argmax(rims[0][:, 0])], rims[1][np.argmin(rims[1][:, 0])], 5)
    bridge[:, 1] += 0.04 + 0.05 * np.sin(np.linspace(0, np.pi, 5))
    parts.append(solid(tube(bridge, frame.rim), frame.colour, 0.6))
    return [*parts, *(_lens(rim) for rim in rims if dark)]


def _rim(frame: Frame, points: Floats, side: int) -> Floats:
    """A superellipse (28, 3) before one eye, bent around the face."""
    model = mesh.load_head()
    eye = points[model.pupils[side]].mean(axis=0)
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    across, up = np.cos(angle), np.sin(angle)
    x = 1.06 * eye[0] + frame.width * np.sign(across) * np.abs(across) ** frame.roundness
    y = eye[1] - 0.03 + frame.height * np.sign(up) * np.abs(up) ** frame.roundness
    front = max(float(points[model.nose, 2]) - 0.14, float(eye[2]) + 0.12)
    return f32(np.stack([x, y, front - 0.28 * x**2], axis=1))


def _lens(rim: Floats) -> Surface:
    centre = rim.mean(axis=0, keepdims=True) + f32([0, 0, 0.03])
    ring = np.arange(len(rim))
    fan = np.stack([np.full(len(rim), len(rim)), ring, (ring + 1) % len(rim)], axis=1).astype(np.int32)
    return solid((np.concatenate([rim, centre]), fan), (0.012, 0.012, 0.014), 1.0, material=Material.LENS)
