"""From light to a photo: exposure, tone curve, lens blur, sensor noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facerec.acquire.synthetic.photo import Camera
from facerec.acquire.synthetic.surface import Floats


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
