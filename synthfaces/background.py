"""What is behind people: out of focus, muted, painted small and enlarged."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from synthfaces.shot import Camera
from synthfaces.surface import Floats, f32

KINDS = ("studio", "outdoors", "room", "lights", "wall")
_SIDE = 72


def paint_background(kind: int, size: int, light: Floats, rng: Generator) -> Floats:
    """A background (size, size, 3), linear RGB, lit by the ambient colour `light` (3,)."""
    name = KINDS[kind]
    base = _tone(rng, 0.03, 0.55)
    height, width = np.mgrid[0 : 1 : _SIDE * 1j, 0 : 1 : _SIDE * 1j].astype(np.float32)
    image = np.broadcast_to(base, (_SIDE, _SIDE, 3)).copy()
    if name in ("studio", "wall"):
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.7)
        glow = np.exp(-((width - x) ** 2 + (height - y) ** 2) / rng.uniform(0.2, 0.9))
        image *= (0.55 + 0.75 * glow)[..., None]
    elif name == "outdoors":
        horizon = rng.uniform(0.25, 0.75)
        sky, land = (
            np.array([0.55, 0.66, 0.82]) * rng.uniform(0.6, 1.2),
            np.array([0.16, 0.20, 0.10]) * rng.uniform(0.4, 1.8),
        )
        wave = 0.08 * np.sin(width * rng.uniform(5, 14) + rng.uniform(0, 6))
        image = np.where((height + wave > horizon)[..., None], land, sky).astype(np.float32)
        image = _discs(image, rng, 14, 1.0)
    elif name == "room":
        image = _boxes(image, rng)
    else:
        image = _discs(image * 0.5, rng, 22, 1.6)
    image = cv2.GaussianBlur(
        image.astype(np.float32), (0, 0), float(rng.uniform(1.2, 4.5)), borderType=cv2.BORDER_REPLICATE
    )
    image = cv2.resize(image * light.mean() * 1.6, (size, size), interpolation=cv2.INTER_CUBIC)
    return f32(np.clip(image, 0.004, 1.2))


def _tone(rng: Generator, dark: float, bright: float) -> Floats:
    """A colour of little saturation."""
    hue = rng.uniform(0, 2 * np.pi) + np.array([0, 2.094, 4.189])
    return f32(rng.uniform(dark, bright) * (1 + rng.uniform(0, 0.25) * np.cos(hue)))


def _discs(image: Floats, rng: Generator, count: int, gain: float) -> Floats:
    """Round spots of light and shade, as an open lens draws them."""
    canvas = np.ascontiguousarray(image, np.float32)
    for _ in range(count):
        centre = (int(rng.integers(_SIDE)), int(rng.integers(_SIDE)))
        tone = _tone(rng, 0.02, 0.5) * gain
        layer = canvas.copy()
        cv2.circle(layer, centre, int(rng.integers(2, 9)), tuple(float(v) for v in tone), -1)
        canvas = canvas + 0.55 * (layer - canvas)
    return canvas


def _boxes(image: Floats, rng: Generator) -> Floats:
    """Upright rectangles: windows, doors, shelves."""
    canvas = np.ascontiguousarray(image, np.float32)
    for _ in range(int(rng.integers(3, 8))):
        x, y = (int(v) for v in rng.integers(-10, _SIDE, 2))
        wide, high = int(rng.integers(6, 34)), int(rng.integers(10, 60))
        tone = _tone(rng, 0.02, 0.6)
        cv2.rectangle(canvas, (x, y), (x + wide, y + high), tuple(float(v) for v in tone), -1)
    return canvas


def develop(scene: Floats, camera: Camera, size: int, rng: Generator) -> NDArray[np.uint8]:
    """Turn linear light (s, s, 3) into an sRGB photo, `size` pixels square."""
    small = cv2.resize(scene, (size, size), interpolation=cv2.INTER_AREA)
    light = np.maximum(small, 0) * (np.array(camera.white, np.float32) * np.float32(camera.exposure * 1.25))
    tone = 1 - np.exp(-light * (1 + 0.35 * light))  # a film-like shoulder
    image = np.power(tone, np.float32(1 / 2.2))
    image = cv2.GaussianBlur(image, (0, 0), camera.blur * size)
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(camera.noise)
    result: NDArray[np.uint8] = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return result
