"""Alignment of faces: five landmarks -> similarity transform -> aligned crop.

The template is the usual five-point one of the 96x112 (width x height) crop; the 112x112 crop adds 8 to every x. The
transform is the least-squares similarity of Umeyama (PAMI 1991) without reflection. In the plane it has a closed form:
with landmarks and template as complex numbers z and w, centred on their means, the rotation and scale is
a = sum(conj(z) w) / sum(|z|^2).
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FacerecError, ParamsError

Size: TypeAlias = int | tuple[int, int]
"""An aligned crop's side in pixels, or its (height, width)."""

# Left eye, right eye, nose, left and right mouth corner, as seen in the 96x112 (width x height) crop.
TEMPLATE_96: NDArray[np.float64] = np.array(
    [
        (30.29459953, 51.69630051),
        (65.53179932, 51.50139999),
        (48.02519989, 71.73660278),
        (33.54930115, 92.3655014),
        (62.72990036, 92.20410156),
    ]
)
_RIGHT_8: NDArray[np.float64] = np.array((8.0, 0.0))
TEMPLATE: NDArray[np.float64] = TEMPLATE_96 + _RIGHT_8
TEMPLATE_96.flags.writeable = TEMPLATE.flags.writeable = False

_SMALLEST = 1e-9  # landmarks spread over less than this (pixels squared) are one point


class AlignmentError(FacerecError):
    """Landmarks that no similarity transform can bring to the template."""


class _Geometry(NamedTuple):
    """Where the five points lie in a crop of (height, width); `name` is stored with the faces."""

    name: str
    height: int
    width: int
    points: NDArray[np.float64]


# Whole multiples of these sizes scale their points; the first that fits is taken.
_GEOMETRIES = (
    _Geometry("arcface-112", 112, 112, TEMPLATE),
    _Geometry("arcface-128", 128, 128, TEMPLATE + _RIGHT_8),
    _Geometry("arcface-112x96", 112, 96, TEMPLATE_96),
)


def shape_of(size: Size) -> tuple[int, int]:
    """`size` as (height, width); ParamsError unless both are positive."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ParamsError(f"No crop is {height}x{width} (height x width); use positive sides, such as 112.")
    return height, width


def _geometry(size: Size) -> _Geometry:
    height, width = shape_of(size)
    for name, base_height, base_width, points in _GEOMETRIES:
        if height % base_height == 0 and height * base_width == width * base_height:
            return _Geometry(name, height, width, points * (height / base_height))
    side, divisor = min(height, width), gcd(height, width)
    edge = np.array([width - side, height - side]) / 2
    shape = "112" if height == width else f"{height // divisor}x{width // divisor}"
    return _Geometry(f"arcface-{shape}", height, width, TEMPLATE * (side / 112) + edge)


def template(size: Size = 112) -> NDArray[np.float64]:
    """The five template points (5, 2) in pixels of a crop of `size`.

    Squares of 112 k scale the 112 template by k, squares of 128 k scale it by k and add 8 k to x, as InsightFace
    does; (112 k, 96 k) crops scale the 96 template. Other sizes hold the 112 template in their largest centred square.
    """
    return _geometry(size).points


def template_name(size: Size = 112) -> str:
    """Name of a crop's geometry, stored with aligned faces; crops of one name differ in resolution alone.

    Squares of 128 k are "arcface-128", other squares "arcface-112", (112 k, 96 k) "arcface-112x96"; the rest is
    named by its shape, such as "arcface-4x3" for 160x120.
    """
    return _geometry(size).name


def _fit(landmarks: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Transforms (n, 2, 3) and which of them exist (n,); the others hold NaN or infinity."""
    source, wanted = (np.ascontiguousarray(p).view(complex)[..., 0] for p in (landmarks, target))
    with np.errstate(all="ignore"):
        source_mean, wanted_mean = source.mean(axis=-1, keepdims=True), wanted.mean()
        centred = source - source_mean
        spread = (centred.real**2 + centred.imag**2).sum(axis=-1)
        turn = (centred.conj() * (wanted - wanted_mean)).sum(axis=-1) / spread
        shift = wanted_mean - turn * source_mean[..., 0]
        matrix = np.stack([turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag], axis=-1)
        usable = np.isfinite(matrix).all(axis=-1) & (spread > _SMALLEST) & (np.abs(turn) > _SMALLEST)
    return matrix.reshape(-1, 2, 3), usable


def _batch(landmarks: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim not in (2, 3) or points.shape[-2:] != (5, 2):
        raise AlignmentError(f"Landmarks must have shape (n, 5, 2) or (5, 2), not {points.shape}.")
    return points.reshape(-1, 5, 2)


def usable(landmarks: ArrayLike) -> NDArray[np.bool_]:
    """Which of the landmarks (n, 5, 2) a similarity can align: finite and not all at one point; (n,)."""
    return _fit(_batch(landmarks), TEMPLATE)[1]


def similarity(landmarks: ArrayLike, size: Size = 112) -> NDArray[np.float64]:
    """Similarity transforms that bring landmarks closest to the template of `size`.

    Computed in float64; float32 would move the matrix by 1.5e-4.

    Args:
        landmarks: (n, 5, 2) or (5, 2), pixels x, y in the photo: left eye, right eye, nose, left and right mouth
            corner as seen in the image.
        size: side of the crop in pixels, or its (height, width).

    Returns:
        (n, 2, 3) float64 from photo pixels to crop pixels; n = 1 for one face.

    Raises:
        AlignmentError: a face's landmarks are not finite or all at one point.

    Example:
        >>> similarity(template(112) * 2 + 10)[0, :, 2].round(6).tolist()  # half the size, moved by 5 pixels
        [-5.0, -5.0]
    """
    points = _batch(landmarks)
    matrices, fine = _fit(points, template(size))
    if not fine.all():
        face = int(np.flatnonzero(~fine)[0])
        raise AlignmentError(
            f"Face {face} cannot be aligned: its landmarks {points[face].round(2).tolist()} are not finite, "
            "coincide or have no direction; drop that face."
        )
    return matrices


def residuals(landmarks: ArrayLike, size: Size = 112) -> NDArray[np.float64]:
    """Mean distance (n,) in crop pixels of the aligned landmarks from the template."""
    points = _batch(landmarks)
    matrices = similarity(points, size)
    aligned = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    distances: NDArray[np.float64] = np.linalg.norm(aligned - template(size), axis=-1).mean(axis=-1)
    return distances


def upright(boxes: ArrayLike, size: Size = 112, margin: float = 0.0) -> NDArray[np.float64]:
    """Transforms (n, 2, 3) that bring boxes to the middle of a crop of `size`, without turning them.

    `boxes` (n, 4) or (4,): x1, y1, x2, y2 in photo pixels. A box, with width and height enlarged by the share `margin`,
    just fits into the crop. Raises AlignmentError for a box that is not finite or has no extent.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
    sides = (corners[:, 1] - corners[:, 0]) * (1 + margin)
    if not np.isfinite(corners).all() or not (sides > 0).all():
        raise AlignmentError("A crop needs boxes x1, y1, x2, y2 that are finite, with x1 < x2 and y1 < y2.")
    extent = np.array(shape_of(size)[::-1], dtype=np.float64)
    scales = (extent / sides).min(axis=1)
    matrices = np.zeros((len(corners), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scales
    matrices[:, :, 2] = (extent - 1) / 2 - scales[:, None] * corners.mean(axis=1)
    return matrices


def centre_square(shape: tuple[int, int]) -> NDArray[np.float64]:
    """The largest square box (4,) in the middle of a photo of `shape` (height, width)."""
    centre, half = np.array([shape[1] - 1, shape[0] - 1]) / 2, min(shape) / 2
    return np.concatenate([centre - half, centre + half])


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: Size = 112) -> NDArray[np.uint8]:
    """The crop of `size` that `matrix` cuts from a photo: bilinear, black outside the photo.

    Args:
        image: (h, w, 3) uint8.
        matrix: (2, 3), from photo pixels to crop pixels, as `similarity` gives.
        size: side of the crop in pixels, or its (height, width).

    Returns:
        (height, width, 3) uint8.

    Raises:
        AlignmentError: the matrix has another shape or is not finite.

    Example:
        >>> photo = np.full((250, 250, 3), 128, np.uint8)
        >>> warp(photo, similarity(2 * template(112))[0]).shape
        (112, 112, 3)
    """
    height, width = shape_of(size)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
        raise AlignmentError(f"A warp needs a finite (2, 3) matrix, not {matrix.tolist()}.")
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)
