"""Glasses and sunglasses, fitted to the eyes, nose and ears of a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerec.acquire.synthetic import materials, mesh
from facerec.acquire.synthetic.identity import Colour
from facerec.acquire.synthetic.surface import Floats, Surface, f32, solid, tube

_DARK = (0.012, 0.012, 0.014)


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


def build(frame: Frame, points: Floats, dark: bool) -> list[Surface]:
    """Rims, temples and bridge for a head with vertices `points` (v, 3); `dark` adds black lenses."""
    rims = [_rim(frame, points, side) for side in (0, 1)]
    parts = [solid(tube(rim, frame.rim, 6, closed=True), frame.colour, 0.6) for rim in rims]
    breadth = float(np.abs(points[mesh.head().face, 0]).max()) + 0.06
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
    model = mesh.head()
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
    return solid((np.concatenate([rim, centre]), fan), _DARK, 1.0, material=materials.LENS)
