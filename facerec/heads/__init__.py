"""Losses that train an embedding, found by name. A new one is one new file and one line in `HEADS`.

A head is a module (embeddings (b, dim), labels (b,)) -> loss, with `.accuracy` and mostly `.logits` beside it.
"""

from __future__ import annotations

from typing import Any

from facerec import distributed
from facerec.core import ParamsError, registry
from facerec.core.registry import create_registered
from facerec.heads import chunked
from facerec.heads.adacos import AdaCos
from facerec.heads.adaface import AdaFace
from facerec.heads.arcface import ArcFace
from facerec.heads.base import CosineHead, Head
from facerec.heads.chunked import Lean
from facerec.heads.circle import Circle
from facerec.heads.combined import Combined
from facerec.heads.cosface import CosFace
from facerec.heads.curricularface import CurricularFace
from facerec.heads.magface import MagFace
from facerec.heads.multiface import MultiFace
from facerec.heads.replicated import Replicated
from facerec.heads.sharded import Sharded
from facerec.heads.softmax import NormFace, Softmax
from facerec.heads.sphereface import SphereFace
from facerec.heads.subcenter import SubCenterArcFace
from facerec.heads.triplet import Triplet
from facerec.heads.uniface import UniFace

__all__ = [
    "HEADS",
    "CosineHead",
    "Head",
    "Lean",
    "Replicated",
    "Sharded",
    "build_head",
    "build_sharded",
    "can_be_split",
    "head_options",
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


def build_sharded(
    name: str, dim: int, classes: int, rate: float = 1.0, seed: int = 0, **options: Any
) -> Sharded:
    """The head `name` with its classes split over the joined processes, each using a share `rate` of them a step.

    Raises ParamsError as `build`, for heads that cannot be split, and for fewer than 2 classes a process.
    """
    start, stop = distributed.rows_of(classes)
    if classes < 2 * distributed.world():
        raise ParamsError(
            f"{classes} classes cannot be split over {distributed.world()} processes; start fewer."
        )
    return Sharded(build_head(name, dim, stop - start, **options), classes, rate, seed)


def can_be_split(name: str) -> bool:
    """Whether the head `name` can be computed in parts of its classes: `Lean`, `Sharded`, sampled."""
    return chunked.looks_at_own_class(HEADS[name])


def head_options(name: str) -> list[str]:
    """Names of the options the head `name` takes, such as scale and margin."""
    return registry.options_of(HEADS[name], ("dim", "classes"))
