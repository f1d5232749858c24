"""Drawn faces with known landmarks: enough of a face for a detector, and nobody's photo."""

import cv2
import numpy as np

Image = np.ndarray
Colour = tuple[float, float, float]

HAIR, DARK, WHITE, LIPS, MOUTH = (50, 35, 25), (40, 25, 20), (235, 230, 225), (170, 70, 70), (90, 30, 30)


class Easel:
    """Paints ellipses in the coordinates of a face: origin between eyes and mouth, unit = its width."""

    def __init__(self, image: Image, width: float, centre: tuple[float, float], roll: float) -> None:
        self.image, self.width, self.centre, self.roll = image, width, np.array(centre), roll

    def place(self, x: float, y: float) -> np.ndarray:
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return self.centre + self.width * np.array([cos * x - sin * y, sin * x + cos * y])

    def ellipse(self, x: float, y: float, half_width: float, half_height: float, colour: Colour) -> None:
        centre = tuple(int(value * 16) for value in self.place(x, y))
        axes = int(half_width * self.width * 16), int(half_height * self.width * 16)
        angle = np.degrees(self.roll)
        cv2.ellipse(self.image, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA, 4)


def background(height: int, width: int) -> Image:
    columns = np.arange(width, dtype=np.float32)[None, :, None]
    return np.full((height, width, 3), (90, 110, 130), np.float32) + (columns - width / 2) * 0.2


def paint(easel: Easel, skin: Colour) -> np.ndarray:
    """Paint one face; returns its landmarks (5, 2)."""
    easel.ellipse(0, -0.12, 0.60, 0.78, HAIR)
    easel.ellipse(0, 0.05, 0.5, 0.68, skin)
    for side in (-1, 1):
        easel.ellipse(side * 0.22, -0.1, 0.115, 0.055, WHITE)
        easel.ellipse(side * 0.22, -0.1, 0.055, 0.055, DARK)
        easel.ellipse(side * 0.22, -0.22, 0.13, 0.025, DARK)
    easel.ellipse(0, 0.14, 0.09, 0.05, tuple(0.8 * value for value in skin))
    easel.ellipse(0, 0.02, 0.035, 0.14, tuple(min(255.0, 1.05 * value) for value in skin))
    for side in (-1, 1):
        easel.ellipse(side * 0.05, 0.16, 0.022, 0.015, DARK)
    easel.ellipse(0, 0.36, 0.19, 0.055, LIPS)
    easel.ellipse(0, 0.36, 0.17, 0.012, MOUTH)
    return np.array([easel.place(*p) for p in ((-0.22, -0.1), (0.22, -0.1), (0, 0.13), (-0.19, 0.36), (0.19, 0.36))])


def photo(
    *faces: dict, height: int = 200, width: int = 200, skin: Colour = (214, 170, 140)
) -> tuple[Image, np.ndarray]:
    """An RGB uint8 photo and the landmarks (n, 5, 2) of its faces, each given as width, centre, roll."""
    image = background(height, width)
    landmarks = []
    for face in faces:
        options = {"width": 80.0, "centre": (100.0, 100.0), "roll": 0.0, **face}
        landmarks.append(paint(Easel(image, **options), skin))
    blurred = cv2.GaussianBlur(image, (0, 0), 1.2)
    return np.clip(blurred, 0, 255).astype(np.uint8), np.array(landmarks).reshape(-1, 5, 2)
