"""Digests of what each library computes: `python -m tests.arithmetic` prints them as JSON.

Each is sensitive to the setting that holds its library to one way, so tests/test_portable.py can see that setting fail.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable

from facerec import use_portable_arithmetic

use_portable_arithmetic()

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from facerec import heads
from facerec.backbones.layers import PReLU
from facerec.params import Train
from facerec.training.step import create_optimiser

_RNG = np.random.default_rng(7)
_VALUES = _RNG.uniform(0.01, 4, 20_000)
_SQUARE = _RNG.standard_normal((150, 150))


def numpy_elementary() -> list[NDArray[np.floating]]:
    narrow = _VALUES.astype(np.float32)
    functions = (np.exp, np.log, np.sin, np.cos, np.tanh, np.arctan, np.cbrt)
    return [function(each) for each in (_VALUES, narrow) for function in functions] + [
        np.power(_VALUES, 0.37),
        np.power(narrow, np.float32(1 / 2.2)),
        np.arccos(_VALUES / 4),
        np.sqrt(narrow),
        np.add.reduce(narrow, keepdims=True),
    ]


def numpy_sorting() -> list[NDArray[np.floating]]:
    whole = (_VALUES * 1000).astype(np.int64)
    return [np.sort(_VALUES), np.unique(whole), np.argsort(whole), np.argpartition(whole, 50)]


def openblas() -> list[NDArray[np.floating]]:
    narrow = _SQUARE.astype(np.float32)
    large = _RNG.standard_normal((1000, 512)).astype(np.float32)
    return [
        large @ large.T,
        _SQUARE @ _SQUARE,
        narrow @ narrow,
        narrow[:3] @ narrow,
        np.linalg.inv(_SQUARE),
        *np.linalg.svd(_SQUARE),
    ]


def torch_elementary() -> list[torch.Tensor]:
    narrow = torch.from_numpy(_VALUES.astype(np.float32))
    functions = (torch.exp, torch.log, torch.tanh, torch.sigmoid, torch.rsqrt, torch.sin)
    return [function(narrow) for function in functions] + [
        narrow.sum(),
        torch.softmax(narrow.reshape(100, 200), 1),
        functional.normalize(narrow.reshape(100, 200)),
    ]


def torch_mkl() -> list[torch.Tensor]:
    square = torch.from_numpy(_SQUARE.astype(np.float32))
    wide = torch.from_numpy(_VALUES / 4)
    return [square @ square, functional.linear(square[:40], square), torch.exp(wide), torch.log(wide)]


def torch_training() -> list[torch.Tensor]:
    torch.manual_seed(3)
    torch.set_num_threads(2)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, 2, 1, bias=False),
        torch.nn.BatchNorm2d(16),
        PReLU(16),
        torch.nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False),
        torch.nn.Conv2d(16, 32, 1, bias=False),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 14 * 14, 24),
    ).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, nesterov=True)
    for _ in range(3):
        loss = functional.cross_entropy(network(torch.randn(16, 3, 28, 28)), torch.arange(16))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(1)
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def every_head() -> list[torch.Tensor]:
    """Loss and gradient of each head, and an update of its centres by each optimiser."""
    torch.manual_seed(5)
    labels = torch.arange(24) % 8
    found = []
    for name in heads.HEADS:
        head = heads.build_head(name, dim=32, classes=8)
        embeddings = torch.randn(24, 32, requires_grad=True)
        loss = head(embeddings, labels)
        loss.backward()
        found += [loss, embeddings.grad]
        centres = list(head.parameters())
        for recipe in (Train(optimiser="sgd"), Train(optimiser="adamw")) if centres else ():
            create_optimiser(torch.nn.Linear(32, 8), head, recipe).step()
            found += centres
    return found


def opencv() -> list[NDArray[np.floating]]:
    picture = _RNG.integers(0, 256, (97, 131, 3), dtype=np.uint8)
    exact = picture.astype(np.float32) / 255
    matrix = np.array([[0.8, 0.13, 3.1], [-0.13, 0.8, 9.7]])
    sizes = ((64, 48), (40, 40), (200, 150))
    methods = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    resized = [
        cv2.resize(each, size, interpolation=how) for each in (picture, exact) for size in sizes for how in methods
    ]
    blurred = [cv2.GaussianBlur(each, (0, 0), 1.7) for each in (picture, exact)]
    warped = [cv2.warpAffine(each, matrix, (112, 112)) for each in (picture, exact)]
    encoded = cv2.imencode(".jpg", picture)[1]
    return [*resized, *blurred, *warped, encoded, cv2.imdecode(encoded, 1), cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)]


PROBES: tuple[Callable[[], list], ...] = (
    numpy_elementary,
    numpy_sorting,
    openblas,
    torch_elementary,
    torch_mkl,
    torch_training,
    every_head,
    opencv,
)


def digests() -> dict[str, str]:
    found = {}
    for probe in PROBES:
        for place, values in enumerate(probe()):
            array = np.ascontiguousarray(values.detach().numpy() if isinstance(values, torch.Tensor) else values)
            found[f"{probe.__name__} {place}"] = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    return found


def main() -> None:
    json.dump(digests(), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
