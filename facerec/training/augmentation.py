"""Augmentation of training faces: random numbers by (seed, epoch, index) on the host, image operations on the device.

Colour jitter as in torchvision's ColorJitter, in the order brightness, contrast, saturation. Low resolution and crop
as in Kim, Jain, Liu, "AdaFace", 2022, section 4: a face is resized to .2 to 1 of its side and back, or a box of
.2 to 1 of its area is kept and the rest made black. The affine map is the usual one, as torchvision's RandomAffine, with
bounds that suit aligned faces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facerec.params import Augment, Train

_FLIP = 1
_STREAMS = {"colour": (4, 3), "low_resolution": (5, 2), "crop": (6, 5), "affine": (7, 6)}
"""Random stream, other than the one for shuffling, and random numbers per face, by augmentation."""
_SMALLEST = 0.2  # share of the side left by low resolution, and of the area by a crop
_ASPECT = np.log(4 / 3)  # greatest width by height of a crop, and its inverse
_MAPPED = 0.8  # share of the faces that `affine` changes
_HALF_TURN, _SIZE, _STRETCH, _SHIFT = 0.176, 0.2, 0.1, 0.12
"""At most, with affine 1: tangent of half the angle, that is 20 degrees; shares of size and aspect; shares of half the
side."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


Draws = dict[str, NDArray[Any]]
"""The random numbers of an epoch by augmentation, one row per face: flip (n,) bool, and numbers in [0, 1) for colour
(n, 3) brightness, contrast, saturation; low_resolution (n, 2) whether, how small; crop (n, 5) whether, area, aspect,
top, left; affine (n, 6) whether, angle, size, aspect, right, down. Augmentations that are off are left out."""


def draw_augmentation(count: int, recipe: Train, epoch: int) -> Draws:
    """The random numbers for `count` faces in this epoch."""
    draws: Draws = {"flip": draw_flips(count, recipe.seed, epoch)} if recipe.flip else {}
    for name, (stream, columns) in _STREAMS.items():
        if getattr(recipe.augment, name):
            random = np.random.default_rng((recipe.seed, epoch, stream))
            draws[name] = random.random((count, columns), np.float32)
    return draws


def draw_flips(count: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which of `count` faces are mirrored in this epoch, (count,) bool."""
    return np.random.default_rng((seed, epoch, _FLIP)).random(count) < 0.5


def augment_faces(images: Tensor, draws: Draws, indices: NDArray[np.int64], augment: Augment) -> Tensor:
    """Augment images (b, h, w, 3) uint8 RGB of the faces `indices`; float32 in 0..255 if more than mirrored."""
    mine = {name: values[indices] for name, values in draws.items()}
    if "flip" in mine:
        images = mirror_faces(images, torch.from_numpy(mine["flip"]).to(images.device))
    if "affine" in mine:
        images = map_faces(images, mine["affine"], augment.affine)
    if "crop" in mine:
        images = crop_faces(images, mine["crop"], augment.crop)
    if "low_resolution" in mine:
        images = lower_resolution(images, mine["low_resolution"], augment.low_resolution)
    if "colour" in mine:
        factors = 1 + augment.colour * (2 * mine["colour"] - 1)
        images = jitter_colour(images, torch.from_numpy(factors).to(images.device))
    return images


def mirror_faces(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror those of the images (b, h, w, 3) left to right that `chosen` (b,) marks."""
    return torch.where(chosen[:, None, None, None], images.flip(2), images)


def jitter_colour(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply brightness, contrast and saturation of images (b, h, w, 3) by `factors` (b, 3); float32 in 0..255."""
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    pixels = (images.float() * brightness).clamp(0, 255)
    pixels = _blend(pixels, _grey(pixels).mean((1, 2, 3), keepdim=True), contrast)
    return _blend(pixels, _grey(pixels), saturation)


def map_faces(images: Tensor, draws: NDArray[np.float32], amount: float) -> Tensor:
    """Turn, resize, stretch and move four of five images (b, h, w, 3), by `draws` (b, 6); float32, outside it is black.

    Only plain arithmetic makes the maps, no sine, so that they have the same bits on every machine.
    """
    height, width = images.shape[1:3]
    drawn = amount * (2 * draws[:, 1:] - 1) * (draws[:, :1] < _MAPPED)
    half, size, aspect = _HALF_TURN * drawn[:, 0], 1 + _SIZE * drawn[:, 1], 1 + _STRETCH * drawn[:, 2]
    cosine, sine = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    right, down = _SHIFT * drawn[:, 3], _SHIFT * drawn[:, 4]
    rows = [[cosine * size * aspect, -sine * size, right], [sine * size, cosine * size / aspect, down]]
    maps = torch.from_numpy(np.array(rows, np.float32)).to(images.device)[..., None, None]  # (2, 3, b, 1, 1)
    x, y = (torch.arange(1 - side, side, 2, device=images.device) / side for side in (width, height))
    across, along = (row[0] * x + row[1] * y[:, None] + row[2] for row in maps)  # shares of half the side
    return _read_between(images, (across + 1) * (width / 2) - 0.5, (along + 1) * (height / 2) - 0.5)


def _read_between(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear values of images (b, h, w, 3) at the pixels x, y (b, h, w); float32, 0 outside.

    As torch's grid_sample, whose loop over gathered pixels emulators of processors cannot run.
    """
    height, width = images.shape[1:3]
    framed = functional.pad(images, (0, 0, 1, 2, 1, 2)).float()  # so that no corner of a pixel lies outside
    left, top = x.floor().clamp(-1, width), y.floor().clamp(-1, height)
    right_share, lower_share = (x - left).clamp(0, 1), (y - top).clamp(0, 1)
    face = torch.arange(len(images), device=images.device)[:, None, None]
    corner = ((face * framed.shape[1] + top.int() + 1) * framed.shape[2] + left.int() + 1).flatten()
    pixels = framed.flatten(0, 2)
    total = torch.zeros((corner.numel(), 3), device=images.device)
    for down, share_y in ((0, 1 - lower_share), (framed.shape[2], lower_share)):
        for right, share_x in ((0, 1 - right_share), (1, right_share)):
            total += pixels.index_select(0, corner + (down + right)) * (share_x * share_y).reshape(-1, 1)
    return total.reshape(images.shape)


def crop_faces(images: Tensor, draws: NDArray[np.float32], share: float) -> Tensor:
    """Keep only a box of a `share` of the images (b, h, w, 3), by `draws` (b, 5); the rest of it becomes black."""
    height, width = images.shape[1:3]
    area, aspect = _SMALLEST + (1 - _SMALLEST) * draws[:, 1], np.exp(_ASPECT * (2 * draws[:, 2] - 1))
    high, wide = (np.minimum(np.sqrt(area * by), 1.0) for by in (1 / aspect, aspect))
    whole = draws[:, 0] >= share
    high[whole] = wide[whole] = 1.0
    top, left = (1 - high) * draws[:, 3], (1 - wide) * draws[:, 4]
    rows = _inside(height, top, high)
    columns = _inside(width, left, wide)
    shown = torch.from_numpy(rows[:, :, None] & columns[:, None, :]).to(images.device)
    return images * shown[..., None]


def lower_resolution(images: Tensor, draws: NDArray[np.float32], share: float) -> Tensor:
    """Resize a `share` of the images (b, h, w, 3) down and back, by `draws` (b, 2); float32."""
    pixels = images.float()
    for place in np.flatnonzero(draws[:, 0] < share).tolist():
        scale = _SMALLEST + (1 - _SMALLEST) * float(draws[place, 1])
        sides = [max(1, round(side * scale)) for side in images.shape[1:3]]
        face = pixels[place].permute(2, 0, 1)[None]
        small = functional.interpolate(face, size=sides, mode="bilinear", antialias=True)
        again = functional.interpolate(small, size=images.shape[1:3], mode="bilinear")
        pixels[place] = again[0].permute(1, 2, 0)
    return pixels


def _inside(side: int, start: NDArray[np.floating], length: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(b, side) bool: pixels within start .. start + length, both (b,) shares of the side."""
    first, last = (np.round(side * edge)[:, None] for edge in (start, start + length))
    pixels = np.arange(side)[None]
    inside: NDArray[np.bool_] = (pixels >= first) & (pixels < np.maximum(last, first + 1))
    return inside


def _grey(pixels: Tensor) -> Tensor:
    return (pixels * torch.tensor(_GREY, device=pixels.device)).sum(-1, keepdim=True)


def _blend(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * pixels + (1 - factor) * other).clamp(0, 255)
