"""Eyeballs: where they look and what is seen of them."""

from __future__ import annotations

import numpy as np

from synthfaces import mesh
from synthfaces.identity import Colour
from synthfaces.surface import Floats, f32, smoothstep

_TURN = np.radians(24)  # how far eyes turn
_GIVE_UP = np.radians(50)  # a face turned further than this does not look at the camera


def gaze(posed: Floats, off: tuple[float, float]) -> Floats:
    """Unit line of sight (3,): to the camera but for `off` (degrees), as far as eyes turn."""
    model = mesh.load_head()
    forward = _unit(posed[model.pupils[0]].mean(axis=0) - posed[model.eyes[0]].mean(axis=0))
    yaw, pitch = np.radians(off)
    wish = _unit(f32([np.sin(yaw), np.sin(pitch), 1]))
    angle = float(np.arccos(np.clip(wish @ forward, -1, 1)))
    share = min(1.0, float(_TURN) / max(angle, 1e-6)) if angle < _GIVE_UP else 0.25
    return _unit(forward * (1 - share) + wish * share)


def albedo(iris: Colour, angle: Floats) -> Floats:
    """Albedo (n, 3) at `angle` (n,) radians from the line of sight: pupil, iris, limbus, white."""
    white = f32([0.62, 0.57, 0.54]) * (1 - 0.25 * smoothstep(0.7, 1.3, angle))[:, None]
    limbus = 1 - 0.75 * smoothstep(0.40, 0.47, angle)
    ring = f32(iris) * ((0.75 + 1.1 * smoothstep(0.18, 0.44, angle)) * limbus)[:, None]
    colour = white + smoothstep(0.50, 0.45, angle)[:, None] * (ring - white)
    return f32(colour * (1 - 0.97 * smoothstep(0.20, 0.16, angle))[:, None])


def _unit(vector: Floats) -> Floats:
    return f32(vector / np.linalg.norm(vector))
