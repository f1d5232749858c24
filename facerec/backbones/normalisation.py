"""Batch normalisation and the PReLU after it as one operation, for training on a CPU, where memory sets the pace.

One after the other they take ten passes over a map in memory, forward and backward. This makes four, keeps one map less,
and gives the same bits for any number of threads: sums are those of each image, added in the order of the images.
Source of the formulas: Ioffe, Szegedy, "Batch Normalization", 2015, section 3; He et al., "Delving Deep into
Rectifiers", 2015, section 2.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from facerec.core import compiled

Array = NDArray[Any]


def is_plain(x: Tensor) -> bool:
    """Whether `x` is computed with as it is: float32 on a CPU, neither compiled nor cast."""
    cast = torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    return x.device.type == "cpu" and x.dtype == torch.float32 and not cast


def can_fuse(norm: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm2d]:
    """Whether `normalise` can stand for `norm` on `x`: a batch normalisation that learns, of maps with channels last."""
    return (
        isinstance(norm, nn.BatchNorm2d)
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and is_plain(x)
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() > x.shape[1]
    )


def normalise(x: Tensor, norm: nn.BatchNorm2d, slopes: Tensor | None) -> Tensor:
    """(b, c, h, w) -> the same shape: `norm` in training, then a PReLU with these slopes (c,), if any.

    Updates the running statistics of `norm`.
    """
    kept = torch.ones(x.shape[1]) if slopes is None else slopes
    outputs, mean, variance = _NormPReLU.apply(x, norm.weight, norm.bias, kept, norm.eps)
    share = norm.momentum or 0.0
    norm.get_buffer("num_batches_tracked").add_(1)
    norm.get_buffer("running_mean").lerp_(mean, share)
    norm.get_buffer("running_var").lerp_(variance, share)
    result: Tensor = outputs
    return result


class _NormPReLU(torch.autograd.Function):
    """Maps (b, c, h, w), scale, bias and slopes (c,) -> outputs, mean and unbiased variance of each channel."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slopes: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs = torch.empty_like(x)
        pixels = _by_pixel(x)
        found = _fit(_sums(_add_moments, pixels, 2), pixels.size, weight.numpy(), bias.numpy(), eps)
        mean, variance, ctx.deviation, *line = found
        ctx.line = *line, slopes.numpy(), mean
        _share(_apply, pixels, *ctx.line[:3], _by_pixel(outputs))
        ctx.save_for_backward(x, slopes)
        statistics = torch.from_numpy(mean), torch.from_numpy(variance)
        ctx.mark_non_differentiable(*statistics)
        return outputs, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, _ = ctx.saved_tensors
        pixels, above = _by_pixel(x), _by_pixel(gradient.contiguous(memory_format=torch.channels_last))
        sums = _sums(_add_gradients, pixels, 3, above, *ctx.line)
        *parameters, slant, offset = _descend(sums, pixels.size, ctx.line[0], ctx.deviation)
        inputs = torch.empty_like(x)
        _share(_return, pixels, above, *ctx.line, slant, offset, _by_pixel(inputs))
        return inputs, *map(torch.from_numpy, parameters), None


def _by_pixel(maps: Tensor) -> Array:
    """The memory of maps (b, c, h, w) with channels last as (b, h * w, c)."""
    batch, channels, height, width = maps.shape
    pixels: Array = maps.detach().permute(0, 2, 3, 1).view(batch, height * width, channels).numpy()
    return pixels


def _sums(loop: Callable[..., None], pixels: Array, count: int, *arguments: Array) -> Array:
    """(b, count, c) float64: what `loop` adds up for each image."""
    sums = np.zeros((len(pixels), count, pixels.shape[2]))
    _share(loop, pixels, *arguments, sums)
    return sums


_GRAIN = 100_000  # numbers; handing less to another thread takes as long as the work


def _share(loop: Callable[..., None], *arguments: Array) -> None:
    """Run `loop(first, last, *arguments)` over the images of the first argument, in up to as many threads as torch has."""
    images = len(arguments[0])
    threads = max(1, min(torch.get_num_threads(), images, arguments[0].size // _GRAIN))
    mine, *others = pairwise(images * part // threads for part in range(threads + 1))
    running = [_threads(os.getpid()).submit(loop, *part, *arguments) for part in others]
    loop(*mine, *arguments)
    for each in running:
        each.result()


@cache
def _threads(_process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of its parent do not live on in it."""
    return ThreadPoolExecutor(thread_name_prefix="normalisation")


@compiled
def _add_moments(first: int, last: int, x: Array, sums: Array) -> None:
    """Sum and sum of squares of each channel of an image, (b, 2, c)."""
    for image in range(first, last):
        total, squares = sums[image, 0], sums[image, 1]
        for pixel in range(x.shape[1]):
            for channel in range(x.shape[2]):
                value = np.float64(x[image, pixel, channel])
                total[channel] += value
                squares[channel] += value * value


@compiled
def _fit(sums: Array, size: int, weight: Array, bias: Array, eps: float) -> tuple[Array, ...]:
    """Of each channel: mean, unbiased variance, deviation (float64), and the factor and shift that normalise it."""
    channels = sums.shape[2]
    count = size // channels
    found = np.empty((4, channels), np.float32)
    deviation = np.empty(channels)
    for channel in range(channels):
        total, squares = 0.0, 0.0
        for image in range(sums.shape[0]):  # in this order, whatever thread made them
            total += sums[image, 0, channel]
            squares += sums[image, 1, channel]
        mean = total / count
        variance = max(squares / count - mean * mean, 0.0)
        deviation[channel] = np.sqrt(variance + eps)
        factor = weight[channel] / deviation[channel]
        found[0, channel], found[1, channel] = mean, variance * (count / (count - 1))
        found[2, channel], found[3, channel] = factor, bias[channel] - mean * factor
    return found[0], found[1], deviation, found[2], found[3]


@compiled
def _descend(sums: Array, size: int, factor: Array, deviation: Array) -> tuple[Array, ...]:
    """Of each channel: gradients of scale, bias and slope, and how those of x depend on x - mean, and their offset."""
    channels = sums.shape[2]
    count = size // channels
    found = np.empty((5, channels), np.float32)
    for channel in range(channels):
        bias, product, slope = 0.0, 0.0, 0.0
        for image in range(sums.shape[0]):
            bias += sums[image, 0, channel]
            product += sums[image, 1, channel]
            slope += sums[image, 2, channel]
        found[0, channel], found[1, channel], found[2, channel] = product / deviation[channel], bias, slope
        found[3, channel] = -factor[channel] * product / (deviation[channel] * deviation[channel] * count)
        found[4, channel] = -factor[channel] * bias / count
    return found[0], found[1], found[2], found[3], found[4]


@compiled
def _apply(first: int, last: int, x: Array, factor: Array, shift: Array, slopes: Array, outputs: Array) -> None:
    """The normalised and activated maps."""
    for image in range(first, last):
        for pixel in range(x.shape[1]):
            for channel in range(x.shape[2]):
                value = x[image, pixel, channel] * factor[channel] + shift[channel]
                outputs[image, pixel, channel] = value if value > 0 else value * slopes[channel]


_BLOCK = 64  # pixels whose sums are made in float32


@compiled
def _add_gradients(
    first: int, last: int, x: Array, above: Array, factor: Array, shift: Array, slopes: Array, mean: Array, sums: Array
) -> None:
    """Sums over each channel of an image, (b, 3, c): of the inner gradient, of it times x - mean, of the slope's."""
    channels = x.shape[2]
    block = np.empty((3, channels), np.float32)
    for image in range(first, last):
        for start in range(0, x.shape[1], _BLOCK):
            block[:] = 0
            for pixel in range(start, min(start + _BLOCK, x.shape[1])):
                for channel in range(channels):
                    value = x[image, pixel, channel]
                    normal = value * factor[channel] + shift[channel]
                    gradient = above[image, pixel, channel]
                    inner = gradient if normal > 0 else gradient * slopes[channel]
                    block[0, channel] += inner
                    block[1, channel] += inner * (value - mean[channel])
                    block[2, channel] += np.float32(0) if normal > 0 else gradient * normal
            for row in range(3):
                for channel in range(channels):
                    sums[image, row, channel] += block[row, channel]


@compiled
def _return(
    first: int,
    last: int,
    x: Array,
    above: Array,
    factor: Array,
    shift: Array,
    slopes: Array,
    mean: Array,
    slant: Array,
    offset: Array,
    inputs: Array,
) -> None:
    """The gradient of x, from that of the outputs, and how mean and variance move with x."""
    for image in range(first, last):
        for pixel in range(x.shape[1]):
            for channel in range(x.shape[2]):
                value = x[image, pixel, channel]
                normal = value * factor[channel] + shift[channel]
                gradient = above[image, pixel, channel]
                inner = gradient if normal > 0 else gradient * slopes[channel]
                moved = (value - mean[channel]) * slant[channel] + offset[channel]
                inputs[image, pixel, channel] = inner * factor[channel] + moved
