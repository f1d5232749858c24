"""Small face sets and recipes shared by the tests of training, embedding and export."""

from pathlib import Path

import numpy as np
from torch import nn

from facerec.backbones.layers import PReLU
from facerec.imaging.images import encode_jpeg
from facerec.params import Backbone, HeadParams, Schedule, Train
from facerec.store import shard_writing, shards

SIZE = (32, 32)  # small, so that the tests are fast
TEMPLATE = "arcface-32"


class Small(nn.Sequential):
    """A network of few tensors with a part of every kind, for tests of what happens to a network, whichever it is."""

    def __init__(self, dim: int, size: tuple[int, int] = SIZE, width: float = 1.0) -> None:
        channels = max(1, int(8 * width))
        super().__init__(
            nn.Conv2d(3, channels, 4, 4, bias=False),
            nn.BatchNorm2d(channels),
            PReLU(channels),
            nn.Flatten(),
            nn.Linear(channels * (size[0] // 4) * (size[1] // 4), dim),
        )


TINY = Backbone(name="mobilefacenet", dim=16, width=0.125)


def faces_of(identity: int, count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Faces that are easy to tell apart: a pattern an identity, noise a photo."""
    pattern = np.random.default_rng(identity).integers(0, 256, (4, 4, 3))
    pattern = pattern.repeat(size[0] // 4, axis=0).repeat(size[1] // 4, axis=1)
    noise = np.random.default_rng((identity, 1)).integers(-40, 40, (count, *size, 3))
    return np.clip(pattern + noise, 0, 255).astype(np.uint8)


def write_set(
    path: Path, identities: range, photos: int, labels: list[int] | None = None, **meta: object
) -> shards.Shards:
    """A face set; label k is that of the k-th identity unless `labels` says otherwise."""
    rows = [
        {
            "image": encode_jpeg(image, 90),
            "label": place if labels is None else labels[place],
            "identity": f"p{identity:03d}",
            "source": f"p{identity:03d}/{number}.jpg",
        }
        for place, identity in enumerate(identities)
        for number, image in enumerate(faces_of(identity, photos))
    ]
    described = {"kind": "faces", "dataset": path.name, "size": SIZE, "template": TEMPLATE} | meta
    shard_writing.write_shards(rows, path, shards.Meta(**described))  # type: ignore[arg-type]
    return shards.read_shards(path)


def recipe(**changes: object) -> Train:
    """A recipe that takes a second."""
    fields = {
        "seed": 3,
        "epochs": 2,
        "batch": 8,
        "lr": 0.05,
        "schedule": Schedule(milestones=(5,), warmup=0.0),
        "backbone": TINY,
        "head": HeadParams(scale=16.0, margin=0.2),
    }
    return Train(**(fields | changes))  # type: ignore[arg-type]
