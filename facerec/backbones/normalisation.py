"""Batch normalisation and the PReLU after it as one operation, for training on a CPU, where memory sets the pace.

torch passes over a map in memory some 23 times for both, forward and backward; this does so 10 times, keeps one map less,
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
    statistics, share = dict(norm.named_buffers()), norm.momentum or 0.0
    statistics["num_batches_tracked"].add_(1)
    statistics["running_mean"].lerp_(mean, share)
    statistics["running_var"].lerp_(variance, share)
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
        count = pixels.shape[0] * pixels.shape[1]
        sums = _sums(_add_moments, pixels, 2)
        mean = sums[0] / count
        variance = np.maximum(sums[1] / count - mean * mean, 0)
        factor = weight.numpy() / np.sqrt(variance + eps)
        line = _narrow(factor), _narrow(bias.numpy() - mean * factor), slopes.numpy()
        _share(_apply, pixels, *line, _by_pixel(outputs))
        ctx.save_for_backward(x, slopes)
        ctx.line, ctx.mean, ctx.factor, ctx.variance = line, _narrow(mean), factor, variance + eps
        statistics = [torch.from_numpy(_narrow(each)) for each in (mean, variance * (count / (count - 1)))]
        ctx.mark_non_differentiable(*statistics)
        return outputs, statistics[0], statistics[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, _ = ctx.saved_tensors
        pixels, above = _by_pixel(x), _by_pixel(gradient.contiguous(memory_format=torch.channels_last))
        count = pixels.shape[0] * pixels.shape[1]
        biases, products, slopes = _sums(_add_gradients, pixels, 3, above, *ctx.line, ctx.mean)
        slant = _narrow(-ctx.factor * products / (ctx.variance * count))
        offset = _narrow(-ctx.factor * biases / count)
        inputs = torch.empty_like(x)
        _share(_return, pixels, above, *ctx.line, ctx.mean, slant, offset, _by_pixel(inputs))
        parameters = (products / np.sqrt(ctx.variance), biases, slopes)
        return inputs, *(torch.from_numpy(_narrow(each)) for each in parameters), None


def _narrow(values: Array) -> Array:
    return values.astype(np.float32)


def _by_pixel(maps: Tensor) -> Array:
    """The memory of maps (b, c, h, w) with channels last as (b, h * w, c)."""
    batch, channels, height, width = maps.shape
    pixels: Array = maps.detach().permute(0, 2, 3, 1).view(batch, height * width, channels).numpy()
    return pixels


def _sums(loop: Callable[..., None], pixels: Array, count: int, *arguments: Array) -> Array:
    """(count, c) float64: what `loop` adds up for each image, over all images in their order."""
    sums = np.zeros((len(pixels), count, pixels.shape[2]))
    _share(loop, pixels, *arguments, sums)
    total: Array = sums.sum(0)
    return total


def _share(loop: Callable[..., None], *arguments: Array) -> None:
    """Run `loop(first, last, *arguments)` over the images of the first argument, in as many threads as torch has."""
    images = len(arguments[0])
    threads = min(torch.get_num_threads(), images)
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
