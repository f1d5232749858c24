"""Random changes of a training face, drawn on the host by (seed, epoch, index), applied on the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_STREAM = 1  # apart from the stream that shuffles


def flips(count: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which of `count` faces are mirrored in this epoch, (count,)."""
    return np.random.default_rng((seed, epoch, _STREAM)).random(count) < 0.5


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Images (b, h, w, 3) with those mirrored left to right that `chosen` (b,) marks."""
    return torch.where(chosen[:, None, None, None], images.flip(2), images)
