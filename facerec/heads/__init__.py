"""Losses that train an embedding, found by name.

A head is a module (embeddings (b, dim), labels (b,)) -> loss with an `accuracy`, and mostly with `logits`. A new one
is a class over `CosineHead` (or `Head`), such as those in `margins.py`, and a line in `HEADS`.

>>> import torch
>>> head = build_head("arcface", dim=128, classes=10, margin=0.4)
>>> loss = head(torch.randn(4, 128), torch.tensor([0, 1, 2, 9]))
>>> loss.backward()
"""

from __future__ import annotations

from typing import Any

from facerec.core import create_registered, options_of
from facerec.heads.adaptive import AdaCos, AdaFace, CurricularFace, MagFace
from facerec.heads.base import CosineHead, Head
from facerec.heads.chunked import Chunked, is_margin_head
from facerec.heads.margins import ArcFace, Combined, CosFace, MultiFace, NormFace, Softmax, SphereFace, SubCenterArcFace
from facerec.heads.pairwise import Circle, Triplet, UniFace
from facerec.heads.sharded import Replicated, Sharded, classes_held, spread_head

__all__ = [
    "HEADS",
    "Chunked",
    "CosineHead",
    "Head",
    "Replicated",
    "Sharded",
    "build_head",
    "build_sharded",
    "classes_held",
    "head_options",
    "is_margin_head",
    "spread_head",
]

HEADS: dict[str, type[Head]] = {
    "adacos": AdaCos,
    "adaface": AdaFace,
    "arcface": ArcFace,
    "circle": Circle,
    "combined": Combined,
    "cosface": CosFace,
    "curricularface": CurricularFace,
    "magface": MagFace,
    "multiface": MultiFace,
    "normface": NormFace,
    "softmax": Softmax,
    "sphereface": SphereFace,
    "subcenter-arcface": SubCenterArcFace,
    "triplet": Triplet,
    "uniface": UniFace,
}


def build_head(name: str, dim: int, classes: int, **options: Any) -> Head:
    """The head `name` for `classes` identities and embeddings of length `dim`, freshly initialised.

    Options such as `scale` and `margin` default to the published ones. Raises ParamsError for an
    unknown name or option.
    """
    return create_registered("head", HEADS, name, {"dim": dim, "classes": classes}, options)


def build_sharded(name: str, dim: int, classes: int, rate: float = 1.0, seed: int = 0, **options: Any) -> Sharded:
    """The head `name` with its classes split over the joined processes, each using a share `rate` of them per step.

    Raises ParamsError as `build_head`, for heads that cannot be split, and for fewer than 2 classes per process.
    """
    held = classes_held(HEADS.get(name, Head), classes)
    return Sharded(build_head(name, dim, held, **options), classes, rate, seed)


def head_options(name: str) -> list[str]:
    """Names of the options of the head `name`, such as scale and margin."""
    return options_of(HEADS[name], ("dim", "classes"))
